#include "deltaprop/runtime/model.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

TEST_CASE("a manual pass requires forward before backward") {
  runtime::Model<float> model({linear(3, 4), activation("Tanh")}, 1);
  const Set<float> set(5, 3, 4);
  const StridedView x = table(set.x.data(), 5, 3), delta = table(set.y.data(), 5, 4);
  CHECK_THROWS_AS(model.output(), std::runtime_error);
  CHECK_THROWS_AS(model.activations(), std::runtime_error);
  CHECK_THROWS_AS(model.deltas(), std::runtime_error);
  CHECK_THROWS_WITH_AS(
      backward(model, delta),
      "backward: expected a fresh training pass; call net.forward(x), not net(x), before each backward",
      std::runtime_error);
  inferred(model, x);
  CHECK_THROWS_AS(backward(model, delta), std::runtime_error);

  forward(model, x);
  CHECK(model.output().rows == 5);
  CHECK(model.output().cols == 4);
  CHECK(first_difference(model.activations().a(0).data, set.x.data(), 15) == -1);
  CHECK_THROWS_AS(model.deltas(), std::runtime_error);
  backward(model, delta);
  CHECK(first_difference(model.deltas().delta(2).data, set.y.data(), 20) == -1);
  CHECK_NOTHROW(model.activations());
  CHECK_THROWS_AS(backward(model, delta), std::runtime_error);

  forward(model, x);
  CHECK_THROWS_AS(model.deltas(), std::runtime_error);
  model.forget_pass();
  CHECK_THROWS_AS(backward(model, delta), std::runtime_error);
}

TEST_CASE_TEMPLATE("manual passes of varying size do not leave data of larger ones", T, float, double) {
  const Set<T> large(300, 3, 4), small = large.select(run_of(0, 7));
  const nn::NamedLoss loss("MSELoss", nn::Reduction::mean, 1.0);
  runtime::Model<T> used({linear(3, 4), activation("Tanh")}, 1), fresh({linear(3, 4), activation("Tanh")}, 1);
  ManualStep<T> hand(used, loss);
  hand.pass(large.values());
  std::fill_n(used.network().parameters()->gradients.data(), 16, T(0));
  hand.pass(small.values());
  ManualStep<T>(fresh, loss).pass(small.values());
  CHECK(used.deltas().rows() == 7);
  CHECK(first_difference(gradients_of(used), gradients_of(fresh)) == -1);
  CHECK(first_difference(used.deltas().delta(0).data, fresh.deltas().delta(0).data, 21) == -1);
}

TEST_CASE("a pass over no rows adds nothing") {
  runtime::Model<double> model({linear(3, 4), activation("Tanh")}, 1);
  const Set<double> none(0, 3, 4);
  CHECK(ManualStep<double>(model, nn::NamedLoss("MSELoss", nn::Reduction::mean, 1.0)).pass(none.values()) == 0);
  const auto g = gradients_of(model);
  CHECK(std::all_of(g.begin(), g.end(), [](double v) { return v == 0; }));
}
