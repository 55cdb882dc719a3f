#include <doctest/doctest.h>

#include "chains.hpp"
#include "differences.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

Layers deep(const std::string& f, const std::vector<double>& options = {}) {
  return {linear(3, 6), activation(f, options), linear(6, 5), activation(f, options), linear(5, 4)};
}

}  // namespace

TEST_CASE("gradients agree with finite differences") {
  const nn::NamedLoss mse("MSELoss", nn::Reduction::mean, 0.5);
  const nn::NamedLoss ce("CrossEntropyLoss", nn::Reduction::sum);
  Set<double> set(7, 3, 4);
  Set<double> weighted = set;
  for (Index i = 0; i < set.rows; ++i) weighted.weights.push_back(0.5 + static_cast<double>(i % 3));
  const auto& known = kernels::get<double>();
  for (Index i = 0; i < known.activation_count; ++i) {
    const std::string name = known.activations[i].name;
    // Valid for every activation: Hardtanh's bounds are ordered, no slope is 0.
    std::vector<double> options{0.1, 0.7};
    options.resize(known.activations[i].options.size());
    CAPTURE(name);
    runtime::Model<double> model(deep(name, options), 3);
    // With these two, gradients are too small for differences of the summed loss.
    const double floor = name == "Tanhshrink" || name == "CELU" ? 1e-4 : 1e-6;
    CHECK(worst_error(model, {{&mse}}, set.values(), {set.x.data()}, floor) < 1e-5);
    CHECK(worst_error(model, {{&ce}}, weighted.labels(), {weighted.x.data()}, floor) < 1e-5);
  }
}

TEST_CASE("backward accumulates gradients and computes every delta") {
  const nn::NamedLoss loss("MSELoss", nn::Reduction::mean, 1.0);
  const Set<double> set(5, 3, 4);
  runtime::Model<double> model(deep("Tanh"), 1);
  ManualStep<double> hand(model, loss);
  hand.pass(set.values());
  const auto once = gradients_of(model);
  hand.pass(set.values());
  const auto twice = gradients_of(model);
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == 2 * once[i]);
  // delta[i] = delta[i + 1] df/da: for the last layer, delta w^T.
  const auto& w = model.deltas();
  const double* last = model.network().values_of(4);
  for (Index i = 0; i < 5; ++i) {
    for (Index j = 0; j < 5; ++j) {
      double sum = 0;
      for (Index k = 0; k < 4; ++k) sum = fused(w.delta(5).row(i)[k], last[j * 4 + k], sum);
      CHECK(w.delta(4).row(i)[j] == sum);
    }
  }
}
