#pragma once

#include <string>
#include <vector>

#include "deltaprop/core/random.hpp"

namespace deltaprop::nn {

struct InitialiserEntry;

/// Initialises an array of shape (fan_out, fan_in, ...): a function of PyTorch's nn.init and its options, in PyTorch's
/// order. Draw i goes to element i in column-major order (first axis fastest), the order in which weights are stored.
class Initialiser {
 public:
  /// By name, with default options: one that has defaults for all its options, "default" (as PyTorch's Linear), or
  /// Keras's "he_..." and "glorot_..."; ValueError for others.
  explicit Initialiser(const std::string& name);
  /// ValueError for an unknown name or a wrong number of options. The caller has checked their ranges.
  Initialiser(const std::string& name, std::vector<double> options);

  /// Writes all elements; ValueError if the initialiser needs fan_in or fan_out and the shape has none.
  void fill(const Random& random, const std::vector<Index>& shape, double* values) const;
  /// Writes the weight of a Linear layer and, if not null, its bias: 0, except for "default", which draws it like the
  /// weight.
  void fill_linear(const Random& random, Index fan_in, Index fan_out, double* weight, double* bias) const;

 private:
  const InitialiserEntry* entry_;
  std::vector<double> options_;
};

}  // namespace deltaprop::nn
