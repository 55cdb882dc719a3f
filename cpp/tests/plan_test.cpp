#include "deltaprop/nn/plan.hpp"

#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "trees.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using nn::Node;
using nn::Plan;
using Values = std::vector<Index>;

namespace {

std::shared_ptr<nn::Layer> f() { return activation("Tanh"); }

/// Nodes as text: "layer0 0 > 1, ...".
std::string text(const Plan& plan, Range nodes) {
  static const char* const kinds[] = {"layer", "fork", "add", "concat"};
  std::string all;
  for (Index n = nodes.begin; n < nodes.end; ++n) {
    const Node& node = plan.node(n);
    all += all.empty() ? "" : ", ";
    all += kinds[static_cast<int>(node.kind)];
    if (node.kind == Node::Kind::layer) all += std::to_string(node.layer);
    for (const Index v : node.inputs) all += " " + std::to_string(v);
    all += " >";
    for (const Index v : node.outputs) all += " " + std::to_string(v);
  }
  return all;
}
std::string text(const Plan& plan) { return text(plan, plan.subgraph(0).nodes); }

Values numbered(Index n) { return run_of(0, n); }

}  // namespace

TEST_CASE("the plan of each kind of block") {
  CHECK(text(Plan(sequential(f(), f()))) == "layer0 0 > 1, layer1 1 > 2");
  CHECK(text(Plan(residual(f(), f()))) == "fork 0 > 1 2, layer0 2 > 3, layer1 3 > 4, add 1 4 > 5");
  CHECK(text(Plan(concat(f(), f(), f()))) ==
        "fork 0 > 1 2 3, layer0 1 > 4, layer1 2 > 5, layer2 3 > 6, concat 4 5 6 > 7");
  CHECK(text(Plan(concat(f()))) == "layer0 0 > 1, concat 1 > 2");
  CHECK(text(Plan(heads(f(), f()))) == "fork 0 > 1 2, layer0 1 > 3, layer1 2 > 4");
  // Heads that continue in branches need no second fork.
  CHECK(text(Plan(sequential(heads(f(), f()), concat(f(), f())))) ==
        "fork 0 > 1 2, layer0 1 > 3, layer1 2 > 4, layer2 3 > 5, layer3 4 > 6, concat 5 6 > 7");
}

TEST_CASE("every value has one writer and then at most one reader, and layers are in order") {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    const Plan plan(tree.block);
    const nn::Subgraph& all = plan.subgraph(0);
    REQUIRE(all.nodes.begin == 0);
    REQUIRE(all.nodes.end == static_cast<Index>(plan.nodes().size()));
    std::vector<int> written(at(plan.values())), read(at(plan.values()));
    written[0] = 1;
    Index layers = 0;
    for (const Node& node : plan.nodes()) {
      if (node.kind == Node::Kind::layer) CHECK(node.layer == layers++);
      for (const Index v : node.inputs) CHECK((written[at(v)] == 1 && ++read[at(v)] == 1));
      for (const Index v : node.outputs) CHECK(++written[at(v)] == 1);
    }
    for (const Index v : all.outputs) CHECK(++read[at(v)] == 1);
    CHECK(read == std::vector<int>(at(plan.values()), 1));
    CHECK(all.inputs == Values{0});
    CHECK(all.outputs.size() == tree.out.size());
  }
}

TEST_CASE("subgraphs are the blocks in pre-order") {
  const Plan plan(sequential(f(), residual(f(), concat(f(), f()))));
  const char* const nodes[] = {
      "layer0 0 > 1, fork 1 > 2 3, layer1 3 > 4, fork 4 > 5 6, layer2 5 > 7, layer3 6 > 8, concat 7 8 > 9, add 2 9 > "
      "10",
      "layer0 0 > 1",
      "fork 1 > 2 3, layer1 3 > 4, fork 4 > 5 6, layer2 5 > 7, layer3 6 > 8, concat 7 8 > 9, add 2 9 > 10",
      "layer1 3 > 4",
      "fork 4 > 5 6, layer2 5 > 7, layer3 6 > 8, concat 7 8 > 9",
      "layer2 5 > 7",
      "layer3 6 > 8"};
  const Values inputs{0, 0, 1, 3, 4, 5, 6}, outputs{10, 1, 10, 4, 9, 7, 8};
  REQUIRE(plan.subgraphs().size() == 7);
  for (std::size_t i = 0; i < 7; ++i) {
    CAPTURE(i);
    CHECK(text(plan, plan.subgraphs()[i].nodes) == nodes[i]);
    CHECK(plan.subgraphs()[i].inputs == Values{inputs[i]});
    CHECK(plan.subgraphs()[i].outputs == Values{outputs[i]});
  }
}

TEST_CASE("outputs of a fork alias its input, and deltas of summands alias the delta of the sum") {
  // fork 0 > 1 2, fork 2 > 3 4, layer0 4 > 5, add 3 5 > 6, add 1 6 > 7
  const Plan plan(residual(residual(f())));
  const nn::Subgraph& all = plan.subgraph(0);
  CHECK(plan.activation_buffer_index(all) == Values{0, 0, 0, 0, 0, 5, 6, 7});
  CHECK(plan.delta_buffer_index(all) == Values{0, 7, 2, 7, 4, 7, 7, 7});
  // The inner subgraph does not depend on the outer one.
  const nn::Subgraph& inner = plan.subgraph(1);
  CHECK(plan.activation_buffer_index(inner) == Values{0, 1, 2, 2, 2, 5, 6, 7});
  CHECK(plan.delta_buffer_index(inner) == Values{0, 1, 2, 6, 4, 6, 6, 7});
  const Plan chain(sequential(f(), f()));
  CHECK(chain.activation_buffer_index(chain.subgraph(0)) == numbered(3));
  CHECK(chain.delta_buffer_index(chain.subgraph(0)) == numbered(3));
}

TEST_CASE("several inputs bypass the fork") {
  const nn::Block block = sequential(concat(f(), f()), f());
  const Plan plan(block);
  const nn::Subgraph one = plan.resolve_inputs(plan.subgraph(0), 1, block);
  CHECK(text(plan, one.nodes) == "fork 0 > 1 2, layer0 1 > 3, layer1 2 > 4, concat 3 4 > 5, layer2 5 > 6");
  const nn::Subgraph two = plan.resolve_inputs(plan.subgraph(0), 2, block);
  CHECK(text(plan, two.nodes) == "layer0 1 > 3, layer1 2 > 4, concat 3 4 > 5, layer2 5 > 6");
  CHECK(two.inputs == Values{1, 2});
  CHECK(two.outputs == one.outputs);
  CHECK(plan.activation_buffer_index(two) == numbered(7));
}

TEST_CASE("a wrong number of inputs is rejected") {
  const auto resolve_inputs = [](const nn::Block& block, Index inputs) {
    const Plan plan(block);
    return plan.resolve_inputs(plan.subgraph(0), inputs, block);
  };
  CHECK_THROWS_WITH_AS(resolve_inputs(sequential(concat(f(), f())), 3),
                       "Concat: expected one input or a tuple of 2, got 3", ValueError);
  CHECK_THROWS_WITH_AS(resolve_inputs(heads(f(), f()), 0), "Heads: expected one input or a tuple of 2, got 0",
                       ValueError);
  CHECK_THROWS_WITH_AS(resolve_inputs(sequential(f(), concat(f(), f())), 2),
                       "Tanh(): expected one input, got a tuple of 2", ValueError);
  CHECK_THROWS_WITH_AS(resolve_inputs(residual(concat(f(), linear(2, 2)), linear(4, 2)), 2),
                       "Tanh(): expected one input, got a tuple of 2", ValueError);
  // A fork at the start of the only branch does not accept several inputs.
  for (const nn::Block& block : {concat(residual(f())), concat(concat(f(), f()))}) {
    CHECK_THROWS_WITH_AS(resolve_inputs(block, 2),
                         (block.describe() + ": expected one input or a tuple of 1, got 2").c_str(), ValueError);
  }
  // A block inside a tree accepts as many inputs as it has.
  const nn::Block joined = sequential(heads(f(), f()), concat(f(), f()));
  const Plan plan(joined);
  REQUIRE(plan.subgraph(4).inputs.size() == 2);
  CHECK_THROWS_WITH_AS(plan.resolve_inputs(plan.subgraph(4), 1, joined.children()[1]),
                       "Concat: expected a tuple of 2 inputs, got 1", ValueError);
}
