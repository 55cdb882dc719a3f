// Training with several outputs.
#include <doctest/doctest.h>

#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

/// Two inputs, a trunk and two outputs: regression and classification.
nn::Block block() {
  return sequential(concat(linear(3, 4), linear(2, 4)), activation("Tanh"), heads(linear(8, 2), linear(8, 5)));
}

/// Row weights of the first output.
template <class T>
struct Task {
  Tables<T> tables{70, {3, 2}, {2, 5}};
  std::vector<std::int64_t> classes;
  std::vector<T> weights;

  Task() {
    for (Index i = 0; i < 70; ++i) classes.push_back(i * 13 % 5), weights.push_back(T(0.5) + T(i % 3));
  }
  train::Data data(Index first = 0, Index rows = 70) const {
    train::Data d = tables.data();
    d.targets[0].weights = table(weights.data(), 70, 1);
    d.targets[1].y = {reinterpret_cast<const std::byte*>(classes.data()), Dtype::int64, 70, 1, 8, 0};
    const auto cut = [&](StridedView& s) { s.data += first * s.row_stride, s.rows = rows; };
    for (StridedView& x : d.x) cut(x);
    for (train::Targets& a : d.targets) cut(a.y);
    cut(*d.targets[0].weights);
    return d;
  }
};

Losses losses(double first, double second) { return {{&squared_error(), first}, {&cross_entropy(), second}}; }

}  // namespace

TEST_CASE_TEMPLATE("fit with several losses gives the bits of a manual loop", T, float, double) {
  const Task<T> task;
  Model<T> fitted(block(), 4), model(block(), 4);
  auto fitted_rule = optimizer(fitted, "Adam", adam_options(0.01)), rule = optimizer(model, "Adam", adam_options(0.01));
  const auto history =
      fit(fitted, fitted_rule, losses(0.5, 2), task.data(), {.size = 30, .shuffle = false}, {.epochs = 3});
  ManualStep<T> hand(model, losses(0.5, 2));
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    double sum = 0;
    for (const Index first : {0, 30, 60}) {
      const Index rows = std::min<Index>(30, 70 - first);
      sum += static_cast<double>(rows) / 70 * hand.step(task.data(first, rows), rule);
    }
    CHECK(history.loss[epoch] == doctest::Approx(sum).epsilon(1e-14));
    CHECK(history.loss[epoch] ==
          doctest::Approx(0.5 * history.losses[0][epoch] + 2 * history.losses[1][epoch]).epsilon(1e-14));
  }
  CHECK(first_difference(values_of(fitted), values_of(model)) == -1);
}

TEST_CASE("the history has the loss of each head, in training and validation") {
  const Task<double> task;
  const train::Data all = task.data(), held_out = task.data(40, 30);
  Model<double> model(block(), 4);
  auto rule = optimizer(model, "SGD", sgd_options(0.05));
  const double mse = evaluate(model, losses(1, 0), all), ce = evaluate(model, losses(0, 1), all);
  const auto history = fit(model, rule, losses(0.5, 2), all, {.size = 70}, {.epochs = 2, .validation = &held_out});
  CHECK(history.losses.size() == 2);
  CHECK(history.losses[0][0] == doctest::Approx(mse).epsilon(1e-13));
  CHECK(history.losses[1][0] == doctest::Approx(ce).epsilon(1e-13));
  REQUIRE(history.val_losses.size() == 2);
  CHECK(history.val_losses[0][1] == doctest::Approx(evaluate(model, losses(1, 0), held_out)).epsilon(1e-14));
  CHECK(history.val_losses[1][1] == doctest::Approx(evaluate(model, losses(0, 1), held_out)).epsilon(1e-14));
  CHECK(history.val_loss[1] == evaluate(model, losses(0.5, 2), held_out));
}

TEST_CASE("a head of weight 0 does not contribute") {
  const Task<double> task;
  Model<double> model(block(), 4);
  const auto before = values_of(model);
  auto rule = optimizer(model, "SGD", sgd_options(0.05));
  const auto history = fit(model, rule, losses(1, 0), task.data(), {.size = 20}, {.epochs = 2});
  const Range own = model.network().parameters_of(4), other = model.network().parameters_of(3);
  const auto after = values_of(model);
  CHECK(first_difference(after.data() + own.begin, before.data() + own.begin, own.size()) == -1);
  CHECK(first_difference(after.data() + other.begin, before.data() + other.begin, other.size()) != -1);
  CHECK(history.losses[1][0] > 0);
  CHECK(history.loss == history.losses[0]);
}

TEST_CASE("with one output the history has no losses per head") {
  const Set<double> set(8, 2, 1);
  Model<double> model(Layers{linear(2, 1)}, 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.05));
  const train::Data data = set.values();
  const auto history = fit(model, rule, squared_error(), data, {.size = 8}, {.epochs = 1, .validation = &data});
  CHECK(history.losses.empty());
  CHECK(history.val_losses.empty());
  CHECK(history.val_loss.size() == 1);
}
