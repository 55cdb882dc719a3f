#include <doctest/doctest.h>

#include "chains.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

/// The largest |analytic - numeric| / max(|analytic|, |numeric|, 1e-6) over all parameters and inputs, the numeric one
/// by central differences.
double worst_error(const Layers& layers, const nn::Loss& loss, Set<double> set) {
  train::Model<double> model(layers, 3);
  ByHand<double>(model, loss).pass(set.for_loss(loss));
  const auto gradients = gradients_of(model);
  const auto& input = model.deltas().delta_buffer(0);
  double worst = 0;
  const auto compare = [&](double& v, double analytic) {
    const double before = v, h = 1e-5 * std::max(1.0, std::abs(before));
    v = before + h;
    const double up = evaluate(model, loss, set.for_loss(loss));
    v = before - h;
    const double down = evaluate(model, loss, set.for_loss(loss));
    v = before;
    const double numeric = (up - down) / (2 * h);
    worst = std::max(worst, std::abs(analytic - numeric) / std::max({std::abs(analytic), std::abs(numeric), 1e-6}));
  };
  double* values = model.network().parameters()->values.data();
  for (std::size_t i = 0; i < gradients.size(); ++i) compare(values[i], gradients[i]);
  for (std::size_t i = 0; i < set.x.size(); ++i) compare(set.x[i], input.data()[i]);
  return worst;
}

Layers deep(const std::string& f) { return {linear(3, 6), activation(f), linear(6, 5), activation(f), linear(5, 4)}; }

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
    CAPTURE(name);
    CHECK(worst_error(deep(name), mse, set) < 1e-5);
    CHECK(worst_error(deep(name), ce, weighted) < 1e-5);
  }
}

TEST_CASE("backward adds to the gradients and gives every delta") {
  const nn::NamedLoss loss("MSELoss", nn::Reduction::mean, 1.0);
  const Set<double> set(5, 3, 4);
  train::Model<double> model(deep("Tanh"), 1);
  ByHand<double> hand(model, loss);
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
