#pragma once

#include <string>
#include <vector>

#include "deltaprop/core/random.hpp"

namespace deltaprop::nn {

/// How a weight of (fan_in, fan_out) starts.
enum class Initialiser { standard, kaiming_uniform, kaiming_normal, xavier_uniform, xavier_normal };

/// By name ("default", "kaiming_uniform", ..., and Keras's "he_..." and "glorot_..."); ValueError for others.
Initialiser initialiser(const std::string& name);

/// Fills weight (fan_in * fan_out values, row-major (in, out)) and bias (fan_out values):
///   standard         both uniform on +-1 / sqrt(fan_in), PyTorch's default for Linear
///   kaiming_uniform  uniform on +-sqrt(6 / fan_in), bias 0; normal: deviation sqrt(2 / fan_in)
///                    (He et al., "Delving deep into rectifiers", 2015, equation 10)
///   xavier_uniform   uniform on +-sqrt(6 / (fan_in + fan_out)), bias 0; normal: deviation
///                    sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010, equation 16)
void initialise(Initialiser how, const Random& random, Index fan_in, Index fan_out, double* weight, double* bias);

}  // namespace deltaprop::nn
