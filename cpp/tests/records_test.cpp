// Schedules and the history of fit.
#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

Layers small() { return {linear(2, 6), activation("Tanh"), linear(6, 1)}; }

double norm(const double* numbers, Index n) {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += numbers[i] * numbers[i];
  return std::sqrt(sum);
}

train::Schedule schedule(bool every_update, Index option, std::vector<double> values) {
  return {.every_update = every_update, .columns = {{.group = 0, .option = option, .values = std::move(values)}}};
}

}  // namespace

TEST_CASE("schedules by epoch and by update equal setting the option manually") {
  const Set<double> set(20, 2, 1);
  const std::vector<double> rates{0.1, 0.05, 0.2, 0.01};
  for (const bool every_update : {false, true}) {
    CAPTURE(every_update);
    Model<double> model(small(), 1), other(small(), 1);
    auto rule = optimizer(model, "SGD", sgd_options(0.5)), other_rule = optimizer(other, "SGD", sgd_options(0.5));
    const Index epochs = every_update ? 2 : 4;
    std::vector<double> seen;
    const auto history =
        fit(model, rule, squared_error(), set.values(), {.size = 10, .shuffle = false},
            {.epochs = epochs, .schedule = schedule(every_update, 0, rates), .batch_end = [&](const auto&, double) {
               seen.push_back(rule.group(0).options[0]);
               return false;
             }});
    ManualStep<double> hand(other, squared_error());
    std::vector<double> used;
    for (Index update = 0; update < 2 * epochs; ++update) {
      used.push_back(rates[at(every_update ? update : update / 2)]);
      other_rule.set_option(0, 0, used.back());
      const Index first = update % 2 * 10;
      hand.step(set.select(run_of(first, first + 10)).values(), other_rule);
    }
    CHECK(seen == used);
    CHECK(first_difference(values_of(model), values_of(other)) == -1);
    // The learning rate at the end of the epoch.
    CHECK(history.lr == (every_update ? std::vector<double>{0.05, 0.01} : rates));
  }
}

TEST_CASE("a schedule value out of range stops fit before the update") {
  const Set<double> set(20, 2, 1);
  Model<double> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.5));
  const auto fail = [&] {
    fit(model, rule, squared_error(), set.values(), {.size = 10},
        {.epochs = 2, .schedule = schedule(false, 0, {0.1, -1})});
  };
  CHECK_THROWS_AS(fail(), ValueError);
  CHECK(rule.steps() == 2);
}

TEST_CASE("recorded norms are means over the updates of an epoch, layer by layer") {
  const Set<double> set(20, 2, 1);
  Model<double> model(small(), 1), other(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1)), other_rule = optimizer(other, "SGD", sgd_options(0.1));
  const auto history = fit(model, rule, squared_error(), set.values(), {.size = 10, .shuffle = false},
                           {.epochs = 2, .record_activations = true, .record_deltas = true, .record_gradients = true});
  REQUIRE(history.activation_norms.size() == 6);
  REQUIRE(history.delta_norms.size() == 6);
  REQUIRE(history.gradient_norms.size() == 6);
  ManualStep<double> hand(other, squared_error());
  for (std::size_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<double> a(3), delta(3), gradient(3);
    for (const Index first : {0, 10}) {
      hand.pass(set.select(run_of(first, first + 10)).values());
      for (Index i = 0; i < 3; ++i) {
        const auto& w = other.deltas();
        a[at(i)] += norm(w.a(i + 1).data, w.a(i + 1).size()) / 2;
        delta[at(i)] += norm(w.delta(i + 1).data, w.delta(i + 1).size()) / 2;
        gradient[at(i)] += norm(other.network().gradients_of(i), other.network().parameters_of(i).size()) / 2;
      }
      other_rule.step();
      other_rule.zero_grad();
    }
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(history.activation_norms[3 * epoch + i] == doctest::Approx(a[i]).epsilon(1e-13));
      CHECK(history.delta_norms[3 * epoch + i] == doctest::Approx(delta[i]).epsilon(1e-13));
      CHECK(history.gradient_norms[3 * epoch + i] == doctest::Approx(gradient[i]).epsilon(1e-13));
    }
  }
}

TEST_CASE("only requested quantities are recorded") {
  const Set<double> set(20, 2, 1);
  Model<double> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  const auto history =
      fit(model, rule, squared_error(), set.values(), {.size = 10}, {.epochs = 1, .record_deltas = true});
  CHECK(history.activation_norms.empty());
  CHECK(history.gradient_norms.empty());
  CHECK(history.delta_norms.size() == 3);
}

TEST_CASE("for a frozen layer the delta norm is recorded, and the gradient norm is 0") {
  const Set<double> set(20, 2, 1);
  Model<double> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(1e-12));
  const auto history =
      fit(model, rule, squared_error(), set.values(), {.size = 20},
          {.epochs = 2, .record_deltas = true, .record_gradients = true, .epoch_end = [&](const auto&) {
             model.set_frozen(0, true);
             return false;
           }});
  CHECK(history.gradient_norms[0] > 0);
  CHECK(history.gradient_norms[3] == 0);
  CHECK(history.gradient_norms[5] == doctest::Approx(history.gradient_norms[2]).epsilon(1e-6));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(history.delta_norms[3 + i] == doctest::Approx(history.delta_norms[i]).epsilon(1e-6));
  }
  // Also if frozen from the first epoch.
  Model<double> frozen(small(), 1);
  frozen.set_frozen(0, true);
  auto frozen_rule = optimizer(frozen, "SGD", sgd_options(1e-12));
  const auto again =
      fit(frozen, frozen_rule, squared_error(), set.values(), {.size = 20}, {.epochs = 1, .record_deltas = true});
  CHECK(again.delta_norms[0] == history.delta_norms[0]);
}

TEST_CASE("batch_end receives the loss of each update and may stop within an epoch") {
  const Set<double> set(40, 2, 1);
  Model<double> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  std::vector<double> losses;
  const auto history = fit(model, rule, squared_error(), set.values(), {.size = 10},
                           {.epochs = 5, .batch_end = [&](const train::History& h, double loss) {
                              losses.push_back(loss);
                              CHECK(static_cast<Index>(losses.size()) == h.updates);
                              return h.updates == 6;
                            }});
  CHECK(history.stop_reason == "callback");
  CHECK(history.updates == 6);
  CHECK(history.epochs == 2);
  CHECK(history.loss[0] == doctest::Approx((losses[0] + losses[1] + losses[2] + losses[3]) / 4).epsilon(1e-14));
  CHECK(history.loss[1] == doctest::Approx((losses[4] + losses[5]) / 2).epsilon(1e-14));
}

TEST_CASE("a stop rule continues from earlier evaluations") {
  const Set<double> set(40, 2, 1);
  const auto fitted = [&](Model<double>& model, optim::Optimizer<double>& rule, Index epochs,
                          std::vector<double> before) {
    return fit(model, rule, squared_error(), set.values(), {.size = 40},
               {.epochs = epochs, .stop = train::StopOnPlateau{1e-4, false}, .stop_losses = std::move(before)});
  };
  Model<double> whole(small(), 1), parts(small(), 1);
  auto whole_rule = optimizer(whole, "SGD", sgd_options(0.1)), parts_rule = optimizer(parts, "SGD", sgd_options(0.1));
  const auto at_once = fitted(whole, whole_rule, 1000, {});
  REQUIRE(at_once.stop_reason == "plateau");
  REQUIRE(at_once.epochs > 3);
  const auto first = fitted(parts, parts_rule, at_once.epochs - 1, {});
  CHECK(first.stop_reason == "epochs");
  const auto second = fitted(parts, parts_rule, 1000, first.stop_losses);
  CHECK(second.stop_reason == "plateau");
  CHECK(second.epochs == 1);
  CHECK(second.stop_losses == at_once.stop_losses);
  CHECK(values_of(parts) == values_of(whole));
}
