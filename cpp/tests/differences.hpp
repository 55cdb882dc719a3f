#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "networks.hpp"

namespace deltaprop::testing {

/// df/dv by central differences.
inline double difference(double& v, const std::function<double()>& f) {
  const double before = v, h = 1e-5 * std::max(1.0, std::abs(before));
  v = before + h;
  const double up = f();
  v = before - h;
  const double down = f();
  v = before;
  return (up - down) / (2 * h);
}

/// Relative error with denominator at least `floor`, the resolution of the differences.
inline double relative_error(double a, double b, double floor = 1e-6) {
  return std::abs(a - b) / std::max({std::abs(a), std::abs(b), floor});
}

/// The largest relative error of a backward pass compared with central differences, over all parameters and inputs.
/// `x`: the memory of the inputs.
inline double worst_error(runtime::Model<double>& model, const Losses& losses, const train::Data& data,
                          const std::vector<double*>& x, double floor = 1e-6) {
  zero_gradients(model);
  ManualStep<double>(model, losses).pass(data);
  const auto gradients = gradients_of(model);
  const auto loss = [&] { return evaluate(model, losses, data); };
  double worst = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    double& v = model.network().parameters()->values.data()[i];
    worst = std::max(worst, relative_error(gradients[i], difference(v, loss), floor));
  }
  for (std::size_t k = 0; k < x.size(); ++k) {
    const auto delta = model.deltas().delta(model.passed().inputs[k]);
    for (Index i = 0; i < delta.size(); ++i) {
      worst = std::max(worst, relative_error(delta.data[i], difference(x[k][i], loss), floor));
    }
  }
  return worst;
}

}  // namespace deltaprop::testing
