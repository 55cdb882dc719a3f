#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "networks.hpp"

namespace deltaprop::testing {

/// The derivative of f with respect to v, by central differences.
inline double difference(double& v, const std::function<double()>& f) {
  const double before = v, h = 1e-5 * std::max(1.0, std::abs(before));
  v = before + h;
  const double up = f();
  v = before - h;
  const double down = f();
  v = before;
  return (up - down) / (2 * h);
}

/// `floor`: the size below which numbers count as this large, since differences do not resolve them.
inline double relative_error(double a, double b, double floor = 1e-6) {
  return std::abs(a - b) / std::max({std::abs(a), std::abs(b), floor});
}

/// The largest relative error of a backward pass against central differences, over all parameters and inputs. `x`:
/// where the data's inputs lie.
inline double worst_error(runtime::Model<double>& model, const Losses& losses, const train::Data& data,
                          const std::vector<double*>& x, double floor = 1e-6) {
  zero_gradients(model);
  ByHand<double>(model, losses).pass(data);
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
