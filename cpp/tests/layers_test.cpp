// Services of the engine for layers: saved numbers, random draws, learning from the data.
#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

/// y = x u with u drawn per pass, layer, row and feature, and saved for the backward pass.
class Noise final : public nn::BothPrecisions<Noise> {
 public:
  std::string describe() const override { return "Noise()"; }
  Index saved_per_row(Index in) const override { return in; }

  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    const Random random(f.draws.seed, Purpose::dropout, f.draws.pass, f.draws.layer);
    for (Index i = 0; i < f.x.size(); ++i) {
      const auto element = static_cast<std::uint64_t>(f.draws.first_row * f.x.cols + i);
      const T u = f.training ? static_cast<T>(random.uniform(element)) : T(1);
      if (f.saved.data != nullptr) f.saved.data[i] = u;
      f.y.data[i] = u * f.x.data[i];
    }
  }
  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    for (Index i = 0; b.delta_x.data != nullptr && i < b.x.size(); ++i) {
      b.delta_x.data[i] = b.saved.data[i] * b.delta_y.data[i];
    }
  }
};

/// y = x minus the first row of the data.
class Learner final : public nn::BothPrecisions<Learner> {
 public:
  std::string describe() const override { return "Learner()"; }
  std::vector<ParameterShape> buffers() const override { return {{"first", {2}}, {"learned", {1}}}; }
  void initialise_buffers(double* b) const override { std::fill_n(b, 3, 0.0); }
  bool learns_from_data() const override { return true; }
  bool has_learned(const float* b) const override { return b[2] != 0; }
  bool has_learned(const double* b) const override { return b[2] != 0; }

  template <class T>
  void run_learn(const StridedView& x, const InterruptCheck& check_interrupt, T* buffers) const {
    check_interrupt();
    gather<T>(x, nullptr, 0, {buffers, 1, 2});
    buffers[2] = 1;
  }
  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    for (Index i = 0; i < f.x.size(); ++i) f.y.data[i] = f.x.data[i] - f.buffers[i % 2];
  }
  template <class T>
  void run_backward(const nn::Backward<T>&) const {}
};

std::shared_ptr<nn::Layer> learner() { return std::make_shared<Learner>(); }

}  // namespace

TEST_CASE_TEMPLATE("draws depend on seed, pass, layer and row, not on tiles", T, float, double) {
  const Index rows = 3000;
  const std::vector<T> ones(at(rows * 5), T(1));
  const StridedView x = table(ones.data(), rows, 5);
  Model<T> model(sequential(std::make_shared<Noise>(), activation("Tanh"), std::make_shared<Noise>()), 9);
  REQUIRE(engine::rows_per_tile<T>(0, {5, 5, 5, 5}) < rows);
  for (std::uint32_t pass = 0; pass < 2; ++pass) {
    forward(model, x);
    backward(model, x);
    const auto u = model.activations().a(1);
    const Random random(9, Purpose::dropout, pass, 0);
    for (const Index i : {0, 4, 5, 11111, 14999}) {
      CHECK(u.data[i] == static_cast<T>(random.uniform(static_cast<std::uint64_t>(i))));
    }
    // Backward gets the saved numbers of each row.
    const auto& w = model.deltas();
    const Random second(9, Purpose::dropout, pass, 2);
    for (const Index i : {0, 7, 14999}) {
      CHECK(w.delta(2).data[i] == static_cast<T>(second.uniform(static_cast<std::uint64_t>(i))));
    }
  }
  CHECK(model.passes == 2);
  CHECK(inferred(model, x) == inferred(model, x));
}

TEST_CASE("fit numbers its passes consecutively, so no draw repeats") {
  const Set<double> set(20, 3, 3);
  const auto block = [] { return sequential(std::make_shared<Noise>(), linear(3, 3)); };
  Model<double> model(block(), 9), other(block(), 9);
  auto rule = optimizer(model, "SGD", sgd_options(0.1)), other_rule = optimizer(other, "SGD", sgd_options(0.1));
  fit(model, rule, squared_error(), set.values(), {.size = 20}, {.epochs = 3});
  CHECK(model.passes == 3);
  ManualStep<double> hand(other, squared_error());
  for (int i = 0; i < 3; ++i) hand.step(set.values(), other_rule);
  CHECK(first_difference(values_of(model), values_of(other)) == -1);
}

TEST_CASE("layers learn once from the data that reaches them") {
  const Tables<double> tables(4, {2, 2}, {4});
  Model<double> model(sequential(concat(sequential(learner(), linear(2, 2)), residual(learner()))), 1);
  int polls = 0;
  model.learn(0, tables.inputs(), false, [&] { ++polls; });
  CHECK(polls == 4);  // two scans per input: check_input, then learn
  const std::vector<double> expected{tables.x[0][0], tables.x[0][1], 1, tables.x[1][0], tables.x[1][1], 1};
  CHECK(buffers_of(model) == expected);
  // Not again unless requested, and not if frozen.
  train::Inputs swapped{tables.inputs()[1], tables.inputs()[0]};
  model.learn(0, swapped, false, [&] { ++polls; });
  CHECK(polls == 4);
  CHECK(buffers_of(model) == expected);
  model.set_frozen(0, true);
  model.learn(0, swapped, true, [] {});
  CHECK(buffers_of(model) == std::vector<double>{tables.x[0][0], tables.x[0][1], 1, tables.x[0][0], tables.x[0][1], 1});
}

TEST_CASE("layers of all branches learn from a forked input") {
  const Tables<double> tables(4, {2}, {4});
  Model<double> model(concat(learner(), concat(learner())), 1);
  model.learn(0, tables.inputs(), false, [] {});
  const double a = tables.x[0][0], b = tables.x[0][1];
  CHECK(buffers_of(model) == std::vector<double>{a, b, 1, a, b, 1});
}

TEST_CASE("a layer that learns from data must read an input of the network") {
  const Tables<double> tables(4, {2}, {2});
  Model<double> model(sequential(linear(2, 2), learner()), 1);
  CHECK_THROWS_WITH_AS(model.learn(0, tables.inputs(), false, [] {}),
                       "Learner(): expected to stand first in a network or a branch", ValueError);
  // As a block on its own, it does.
  CHECK_NOTHROW(model.learn(2, tables.inputs(), false, [] {}));
  CHECK(buffers_of(model)[0] == tables.x[0][0]);
}
