// Frozen layers: which deltas and gradients are computed, and what does not change.
#include <doctest/doctest.h>

#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

Layers three() { return {linear(3, 4), activation("Tanh"), linear(4, 4), activation("Tanh"), linear(4, 2)}; }

template <class T>
std::vector<T> part(const std::vector<T>& all, Range r) {
  return {all.begin() + r.begin, all.begin() + r.end};
}

bool all_zero(const auto& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](auto v) { return v == 0; });
}

/// The identity; counts its backward passes, which always have to run.
class AlwaysBackward final : public nn::BothPrecisions<AlwaysBackward> {
 public:
  std::string describe() const override { return "AlwaysBackward()"; }
  bool always_backward() const override { return true; }
  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    trained += f.training;
    std::copy_n(f.x.data, f.x.size(), f.y.data);
  }
  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    ++backward_calls;
    delta_requests += b.delta_x.data != nullptr;
    if (b.delta_x.data != nullptr) std::copy_n(b.delta_y.data, b.delta_y.size(), b.delta_x.data);
  }
  mutable int trained = 0, backward_calls = 0, delta_requests = 0;
};

/// The values whose deltas a backward pass for the gradients computes.
std::vector<Index> computed_deltas(const nn::Network<double>& network, Index in) {
  const nn::Subgraph& subgraph = network.plan().subgraph(0);
  engine::Workspace<double> workspace;
  workspace.shape(network, subgraph, {in});
  workspace.resize(2);
  engine::Program program;
  engine::add_forward(program, network, subgraph, workspace);
  engine::add_backward(program, network, subgraph, workspace, engine::GradientScope::gradients);
  const auto x = numbers<double>(2 * in, 1);
  std::copy(x.begin(), x.end(), workspace.a(0).data);
  for (const Index v : subgraph.outputs) std::fill_n(workspace.delta(v).data, workspace.delta(v).size(), 1.0);
  program.run(2, 2, 1);
  std::vector<Index> values;
  for (Index v = 0; v < network.plan().values(); ++v) {
    const auto d = workspace.delta(v);
    if (std::any_of(d.data, d.data + d.size(), [](double e) { return e != 0; })) values.push_back(v);
  }
  return values;
}

}  // namespace

TEST_CASE("deltas that no gradient needs are not computed") {
  nn::Network<double> chain(three(), 1);
  CHECK(computed_deltas(chain, 3) == std::vector<Index>{1, 2, 3, 4, 5});
  chain.set_frozen(2, true);
  CHECK(computed_deltas(chain, 3) == std::vector<Index>{1, 2, 3, 4, 5});
  chain.set_frozen(0, true);
  CHECK(computed_deltas(chain, 3) == std::vector<Index>{5});
  chain.set_frozen(2, false);
  CHECK(computed_deltas(chain, 3) == std::vector<Index>{3, 4, 5});

  // fork 0 > 1 2, layer0 1 > 3, layer1 2 > 4, layer2 4 > 5, concat 3 5 > 6
  nn::Network<double> branches(concat(linear(3, 4), sequential(linear(3, 4), linear(4, 2))), 1);
  branches.set_frozen(1, true);
  CHECK(computed_deltas(branches, 3) == std::vector<Index>{3, 5, 6});
}

TEST_CASE_TEMPLATE("a manual pass computes no gradient of a frozen layer, and the others keep their bits", T, float,
                   double) {
  const Set<T> set(9, 3, 2);
  Model<T> model(three(), 1), free(three(), 1);
  ManualStep<T>(free, squared_error()).pass(set.values());
  const auto all = gradients_of(free);
  ManualStep<T> hand(model, squared_error());
  hand.pass(set.values());
  // Recompiled twice.
  for (const Index layer : {0, 2, 4, 2}) {
    CAPTURE(layer);
    model.set_frozen(layer, true);
    zero_gradients(model);
    hand.pass(set.values());
    for (const Index other : {0, 2, 4}) {
      const Range r = model.network().parameters_of(other);
      const auto gradients = part(gradients_of(model), r);
      if (other == layer) CHECK(all_zero(gradients));
      if (other != layer) CHECK(first_difference(gradients, part(all, r)) == -1);
    }
    // A manual pass computes all deltas nevertheless.
    CHECK(first_difference(model.deltas().delta(0).data, free.deltas().delta(0).data, 27) == -1);
    model.set_frozen(layer, false);
  }
}

TEST_CASE("the version counts actual changes of layers with parameters or buffers") {
  Model<double> model({linear(2, 3), activation("Tanh"), std::make_shared<Centre>(3)}, 1);
  const Index version = model.network().version();
  model.set_frozen(1, true);
  model.set_frozen(0, false);
  CHECK(model.network().version() == version);
  CHECK_FALSE(model.network().frozen(1));
  model.set_frozen(0, true);
  model.set_frozen(0, true);
  CHECK(model.network().version() == version + 1);
  CHECK(model.network().parameters()->list[0].frozen);
  CHECK_FALSE(model.network().trains(0));
  model.set_frozen(2, true);  // has buffers only
  CHECK(model.network().version() == version + 2);
  CHECK_THROWS_AS(model.set_frozen(3, true), std::out_of_range);
}

TEST_CASE_TEMPLATE("fit does not change a frozen layer and gives the bits of a manual loop", T, float, double) {
  const Set<T> set(300, 3, 2);
  for (const Index layer : {0, 2, 4}) {
    CAPTURE(layer);
    Model<T> model(three(), 1), other(three(), 1);
    const auto before = values_of(model);
    model.set_frozen(layer, true);
    other.set_frozen(layer, true);
    auto rule = optimizer(model, "Adam", adam_options(0.01)), other_rule = optimizer(other, "Adam", adam_options(0.01));
    fit(model, rule, squared_error(), set.values(), {.size = 300}, {.epochs = 5});
    ManualStep<T> hand(other, squared_error());
    for (int i = 0; i < 5; ++i) hand.step(set.values(), other_rule);
    const auto after = values_of(model);
    CHECK(first_difference(after, values_of(other)) == -1);
    for (const Index l : {0, 2, 4}) {
      const Range r = model.network().parameters_of(l);
      CHECK((first_difference(part(after, r), part(before, r)) == -1) == (l == layer));
    }
  }
}

TEST_CASE("callbacks may freeze and unfreeze between epochs and between updates") {
  const Set<double> set(40, 3, 2);
  const auto trained = [&](auto run) {
    Model<double> model(three(), 1);
    auto rule = optimizer(model, "SGD", sgd_options(0.1, 0.9));
    run(model, rule);
    return values_of(model);
  };
  const Batches batches{.size = 10};
  const auto apart = trained([&](Model<double>& model, auto& rule) {
    for (const bool frozen : {true, false, true}) {
      model.set_frozen(2, frozen);
      fit(model, rule, squared_error(), set.values(), batches, {.epochs = 1});
    }
  });
  const auto by_epoch = trained([&](Model<double>& model, auto& rule) {
    model.set_frozen(2, true);
    fit(model, rule, squared_error(), set.values(), batches, {.epochs = 3, .epoch_end = [&](const auto& h) {
                                                                model.set_frozen(2, h.epochs != 1);
                                                                return false;
                                                              }});
  });
  const auto by_update = trained([&](Model<double>& model, auto& rule) {
    model.set_frozen(2, true);
    fit(model, rule, squared_error(), set.values(), batches, {.epochs = 3, .batch_end = [&](const auto& h, double) {
                                                                model.set_frozen(2, h.updates < 4 || h.updates >= 8);
                                                                return false;
                                                              }});
  });
  CHECK(first_difference(by_epoch, apart) == -1);
  CHECK(first_difference(by_update, apart) == -1);
}

TEST_CASE("with all layers frozen, fit only evaluates the loss") {
  const Set<double> set(20, 3, 2);
  Model<double> model(three(), 1);
  const auto before = values_of(model);
  for (const Index layer : {0, 2, 4}) model.set_frozen(layer, true);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  const auto history = fit(model, rule, squared_error(), set.values(), {.size = 20}, {.epochs = 2});
  CHECK(history.loss == std::vector<double>(2, evaluate(model, squared_error(), set.values())));
  CHECK(first_difference(values_of(model), before) == -1);
}

TEST_CASE("always_backward layers run backward even if no delta is needed") {
  const auto first = std::make_shared<AlwaysBackward>(), second = std::make_shared<AlwaysBackward>();
  Model<double> model({first, linear(3, 2), second}, 1);
  model.set_frozen(1, true);
  const Set<double> set(8, 3, 2);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  fit(model, rule, squared_error(), set.values(), {.size = 8}, {.epochs = 3});
  CHECK(first->trained == 3);
  CHECK(first->backward_calls == 3);
  CHECK(first->delta_requests == 0);
  CHECK(second->backward_calls == 3);
  CHECK(second->delta_requests == 3);
  CHECK(first->trained == second->trained);
}

TEST_CASE("a frozen layer uses its running statistics and does not update them") {
  const Set<double> set(10, 2, 2);
  Model<double> model(Layers{std::make_shared<Centre>(2), linear(2, 2)}, 1);
  const StridedView x = set.values().x[0];
  CHECK(buffers_of(model) == std::vector<double>{0.25, 0.25});
  forward(model, x);
  const auto learned = buffers_of(model);
  CHECK(learned[0] != 0.25);
  CHECK(inferred(model, x) != std::vector<double>(model.output().data, model.output().data + 20));
  model.set_frozen(0, true);
  forward(model, x);
  CHECK(buffers_of(model) == learned);
  CHECK(inferred(model, x) == std::vector<double>(model.output().data, model.output().data + 20));
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  const double now = evaluate(model, squared_error(), set.values());
  CHECK(fit(model, rule, squared_error(), set.values(), {.size = 10}, {.epochs = 1}).loss[0] == now);
  CHECK(buffers_of(model) == learned);
}
