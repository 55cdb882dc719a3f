// The delta recursion, and inference, through trees of every kind.
#include <doctest/doctest.h>

#include "counted_new.hpp"
#include "deltaprop/core/errors.hpp"
#include "differences.hpp"
#include "trees.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

std::shared_ptr<nn::Layer> f() { return activation("Tanh"); }

Losses one_each(std::size_t heads) {
  Losses losses;
  for (std::size_t k = 0; k < heads; ++k) losses.push_back({&squared_error(), 1.0 + static_cast<double>(k)});
  return losses;
}

template <class T>
std::vector<std::vector<T>> outputs_of(const Model<T>& model) {
  std::vector<std::vector<T>> values;
  for (std::size_t k = 0; k < model.passed().outputs.size(); ++k) {
    const auto a = model.output(static_cast<Index>(k));
    values.emplace_back(a.data, a.data + a.size());
  }
  return values;
}

}  // namespace

TEST_CASE("gradients and input deltas of every tree agree with finite differences") {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    Tables<double> tables(5, tree.in, tree.out);
    Model<double> model(tree.block, 3);
    std::vector<double*> x;
    for (auto& table : tables.x) x.push_back(table.data());
    CHECK(worst_error(model, one_each(tree.out.size()), tables.data(), x) < 1e-6);
  }
}

TEST_CASE("the delta of a residual block adds both paths") {
  Model<double> model(residual(residual(activation("ReLU"))), 1);
  const std::vector<double> x{2, -3}, c{5, 7};
  forward(model, table(x.data(), 1, 2));
  CHECK(outputs_of(model)[0] == std::vector<double>{6, -6});  // x + (x + relu(x))
  backward(model, table(c.data(), 1, 2));
  const auto delta = model.deltas().delta(0);
  CHECK(std::vector<double>(delta.data, delta.data + 2) == std::vector<double>{15, 14});
}

TEST_CASE("one input for all branches equals the same array for each branch") {
  Model<double> model(concat(linear(3, 2), sequential(f(), linear(3, 4))), 1);
  const Tables<double> tables(6, {3}, {6});
  const StridedView x = tables.inputs()[0];
  ManualStep<double> hand(model, squared_error());
  const auto pass = [&](train::Inputs inputs) {
    zero_gradients(model);
    train::Data data = tables.data();
    data.x = std::move(inputs);
    hand.pass(data);
  };
  pass({x});
  const auto gradients = gradients_of(model);
  const auto whole = model.deltas().delta(model.passed().inputs[0]);
  const std::vector<double> delta(whole.data, whole.data + whole.size());
  pass({x, x});
  CHECK(first_difference(gradients_of(model), gradients) == -1);
  REQUIRE(model.passed().inputs.size() == 2);
  const auto first = model.deltas().delta(model.passed().inputs[0]),
             second = model.deltas().delta(model.passed().inputs[1]);
  for (Index i = 0; i < 18; ++i) CHECK(first.data[i] + second.data[i] == delta[at(i)]);
}

TEST_CASE_TEMPLATE("inference of every tree gives the bits of the training pass, for a batch and for single rows", T,
                   float, double) {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    const Tables<T> tables(700, tree.in, tree.out);
    Model<T> model(tree.block, 3);
    model.forward(tables.inputs());
    const auto all = inferred(model, tables.inputs());
    REQUIRE(all.size() == tree.out.size());
    CHECK(all == outputs_of(model));
    for (const Index row : {0, 255, 699}) {
      train::Inputs one = tables.inputs();
      for (StridedView& x : one) x.data += row * x.row_stride, x.rows = 1;
      const auto alone = inferred(model, one);
      for (std::size_t k = 0; k < all.size(); ++k) {
        CHECK(first_difference(alone[k].data(), all[k].data() + row * tree.out[k], tree.out[k]) == -1);
      }
    }
  }
}

TEST_CASE_TEMPLATE("a pass through every tree gives the same bits for tiles of any size", T, float, double) {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    const Tables<T> tables(101, tree.in, tree.out);
    const nn::Network<T> network(tree.block, 3);
    const nn::Subgraph subgraph =
        network.plan().resolve_inputs(network.plan().subgraph(0), static_cast<Index>(tree.in.size()), tree.block);
    const auto gradients = [&](Index rows_per_tile) {
      engine::Workspace<T> workspace;
      workspace.shape(network, subgraph, tree.in);
      workspace.resize(tables.rows);
      engine::Program program;
      engine::add_forward(program, network, subgraph, workspace);
      engine::add_backward(program, network, subgraph, workspace, engine::GradientScope::gradients);
      for (std::size_t k = 0; k < tree.in.size(); ++k) {
        std::copy(tables.x[k].begin(), tables.x[k].end(), workspace.a(subgraph.inputs[k]).data);
      }
      for (std::size_t k = 0; k < tree.out.size(); ++k) {
        std::copy(tables.y[k].begin(), tables.y[k].end(), workspace.delta(subgraph.outputs[k]).data);
      }
      program.run(tables.rows, rows_per_tile, 1);
      for (const auto& tile : engine::gradient_tiles(network)) engine::compute_gradient(network, workspace, tile);
      const auto& p = *network.parameters();
      return std::vector<T>(p.gradients.data(), p.gradients.data() + p.size());
    };
    const auto whole = gradients(101);
    for (const Index tile : {1, 12, 100}) CHECK(first_difference(gradients(tile), whole) == -1);
  }
}

TEST_CASE("an in-place activation overwrites its input if no later operation reads it") {
  const nn::Network<double> network(
      {linear(3, 8), activation("Tanh"), activation("ReLU"), linear(8, 8), activation("GELU")}, 1);
  for (const bool in_place : {false, true}) {
    CAPTURE(in_place);
    engine::Workspace<double> workspace;
    workspace.shape(network, network.plan().subgraph(0), {3}, in_place);
    workspace.resize(5);
    const auto shared = [&](Index x, Index y) {
      CHECK((workspace.a(x).data == workspace.a(y).data) == (workspace.delta(x).data == workspace.delta(y).data));
      return workspace.a(x).data == workspace.a(y).data;
    };
    CHECK(shared(1, 2) == in_place);
    CHECK_FALSE(shared(2, 3));  // the delta of Tanh is computed from its output
    CHECK_FALSE(shared(3, 4));
    CHECK_FALSE(shared(4, 5));  // that of GELU from its input
  }
}

TEST_CASE("every block of a tree can run alone on the activations of the pass") {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    const Tables<double> tables(4, tree.in, tree.out);
    Model<double> model(tree.block, 3);
    model.forward(tables.inputs());
    const auto& w = model.activations();
    const nn::Plan& plan = model.network().plan();
    for (std::size_t i = 1; i < plan.subgraphs().size(); ++i) {
      const nn::Subgraph& subgraph = plan.subgraphs()[i];
      train::Inputs x;
      for (const Index v : subgraph.inputs) x.push_back(table<double>(w.a(v).data, 4, w.width(v)));
      if (subgraph.inputs == plan.subgraph(0).inputs) x = tables.inputs();
      const auto out = inferred(model, x, static_cast<Index>(i));
      REQUIRE(out.size() == subgraph.outputs.size());
      for (std::size_t k = 0; k < out.size(); ++k) {
        CHECK(first_difference(out[k].data(), w.a(subgraph.outputs[k]).data, w.a(subgraph.outputs[k]).size()) == -1);
      }
    }
  }
}

TEST_CASE("inference reuses buffers: a chain of any length needs two, a residual block one more") {
  const auto slots = [](const nn::Block& block) {
    const Model<float> model(block, 1);
    const std::vector<float> x(12), out(12);
    const train::Inputs inputs{table(x.data(), 3, 4)};
    auto inference = model.inference(model.resolve_inputs(inputs), inputs);
    const std::vector<Matrix<float>> into{{const_cast<float*>(out.data()), 3, 4}};
    const long before = allocations;
    model.infer(inference, inputs, into);
    const long once = allocations - before;
    model.infer(inference, inputs, into);
    CHECK(allocations - before == once);
    return inference.numbers_a_row() / 4;
  };
  CHECK(slots(sequential(f())) == 1);
  CHECK(slots(sequential(f(), f())) == 2);
  CHECK(slots(sequential(f(), f(), f(), f(), f(), f(), f(), f(), f())) == 2);
  CHECK(slots(residual(f())) == 2);
  CHECK(slots(residual(f(), f(), f(), f(), f())) == 3);
  CHECK(slots(sequential(residual(f(), f(), f()), f(), residual(f(), f(), f()))) == 3);
  CHECK(slots(residual(residual(residual(f(), f(), f())))) == 3);
}

TEST_CASE("widths that depend on the input are checked when it is known") {
  const Tables<double> narrow(3, {1}, {1}), right(3, {2}, {1}), wide(3, {3}, {1});
  Model<double> model(sequential(concat(f(), f()), linear(4, 1)), 1);
  // Twice: a failed check must not be cached as passed.
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_WITH_AS(model.forward(narrow.inputs()), "Linear(4, 1): expected 4 features, got 2", ValueError);
    CHECK_THROWS_WITH_AS(inferred(model, wide.inputs()), "Linear(4, 1): expected 4 features, got 6", ValueError);
    CHECK_THROWS_AS(model.output(), std::runtime_error);
  }
  CHECK_NOTHROW(model.forward(right.inputs()));
  for (int i = 0; i < 2; ++i) CHECK_THROWS_AS(model.forward(wide.inputs()), ValueError);
  CHECK_NOTHROW(model.forward(right.inputs()));
  Model<double> sum(residual(concat(f(), f())), 1);
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_WITH_AS(sum.forward(right.inputs()),
                         "Residual: expected as many outputs as inputs, got 2 inputs and 4 outputs", ValueError);
  }
}

TEST_CASE("mismatched inputs are rejected, and the message names the layer") {
  const nn::Network<float> network(sequential(concat(linear(3, 2), sequential(f(), linear(4, 2))), f()), 1);
  CHECK_NOTHROW(network.resolve_inputs(0, {{5, 3}, {5, 4}}));
  CHECK_NOTHROW(network.resolve_inputs(0, {{3}, {4}}));
  const auto refused = [&](const std::vector<std::vector<Index>>& shapes, const char* message) {
    CAPTURE(message);
    CHECK_THROWS_WITH_AS(network.resolve_inputs(0, shapes), message, ValueError);
  };
  refused({{5, 3}, {5, 3}}, "Linear(4, 2): expected input (N, 4), got (5, 3)");
  refused({{5, 4}, {5, 4}}, "Linear(3, 2): expected input (N, 3), got (5, 4)");
  refused({{5, 3}}, "Linear(4, 2): expected input (N, 4), got (5, 3)");
  refused({{5, 3}, {4, 4}}, "Concat: expected inputs of as many rows, got (5, 3) and (4, 4)");
  refused({{3}, {1, 4}}, "Concat: expected inputs of as many rows, got (3,) and (1, 4)");
  refused({{5, 3}, {5, 4}, {5, 4}}, "Concat: expected one input or a tuple of 2, got 3");
}

TEST_CASE("parameters of a tree are named by their path") {
  const nn::Network<float> network(sequential(linear(3, 2), residual(f(), concat(linear(2, 1), linear(2, 1)))), 1);
  std::vector<std::string> names;
  for (const Parameter& p : network.parameters()->list) names.push_back(p.shape.name);
  CHECK(names ==
        std::vector<std::string>{"0.weight", "0.bias", "1.1.0.weight", "1.1.0.bias", "1.1.1.weight", "1.1.1.bias"});
}
