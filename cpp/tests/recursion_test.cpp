#include "deltaprop/engine/recursion.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

Layers mixed() {
  return {linear(20, 33), activation("Tanh"), linear(33, 17), activation("ReLU"), linear(17, 5), activation("Sigmoid")};
}

template <class T>
struct Pass {
  std::vector<std::vector<T>> a, delta;
  std::vector<T> gradients;
};

/// A forward and backward pass in tiles of `tile` rows.
template <class T>
Pass<T> pass(const nn::Network<T>& network, const Set<T>& set, Index rows_per_tile, engine::GradientScope scope) {
  const nn::Subgraph& subgraph = network.plan().subgraph(0);
  engine::Workspace<T> workspace;
  workspace.shape(network, subgraph, {set.in});
  workspace.resize(set.rows);
  engine::Program forward, backward;
  engine::add_forward(forward, network, subgraph, workspace);
  engine::add_backward(backward, network, subgraph, workspace, scope);
  std::copy(set.x.begin(), set.x.end(), workspace.a(subgraph.inputs[0]).data);
  std::copy(set.y.begin(), set.y.end(), workspace.delta(subgraph.outputs[0]).data);
  forward.run(set.rows, rows_per_tile, 1);
  backward.run(set.rows, rows_per_tile, 1);
  for (const auto& tile : engine::gradient_tiles(network)) engine::compute_gradient(network, workspace, tile);
  Pass<T> result;
  for (Index v = 0; v < network.plan().values(); ++v) {
    const auto a = workspace.a(v), d = workspace.delta(v);
    result.a.emplace_back(a.data, a.data + a.size());
    result.delta.emplace_back(d.data, d.data + d.size());
  }
  const auto& p = *network.parameters();
  result.gradients.assign(p.gradients.data(), p.gradients.data() + p.size());
  return result;
}

}  // namespace

TEST_CASE_TEMPLATE("a pass gives the same bits for tiles of any size", T, float, double) {
  const nn::Network<T> network(mixed(), 1);
  const Set<T> set(301, 20, 5);
  const auto whole = pass(network, set, 301, engine::GradientScope::inputs);
  for (const Index tile : {1, 5, 12, 192, 300}) {
    CAPTURE(tile);
    const auto tiled = pass(network, set, tile, engine::GradientScope::inputs);
    for (std::size_t i = 0; i < whole.a.size(); ++i) {
      CHECK(first_difference(tiled.a[i], whole.a[i]) == -1);
      CHECK(first_difference(tiled.delta[i], whole.delta[i]) == -1);
    }
    CHECK(first_difference(tiled.gradients, whole.gradients) == -1);
  }
}

TEST_CASE_TEMPLATE("deltas that no gradient needs are not computed, and the gradients are the same", T, float, double) {
  const nn::Network<T> network({activation("Tanh"), linear(20, 9), activation("ReLU"), linear(9, 5)}, 1);
  const Set<T> set(10, 20, 5);
  const auto all = pass(network, set, 4, engine::GradientScope::inputs);
  const auto some = pass(network, set, 4, engine::GradientScope::gradients);
  CHECK(first_difference(some.gradients, all.gradients) == -1);
  const std::vector<T> untouched(200);
  CHECK(first_difference(some.delta[0], untouched) == -1);
  CHECK(first_difference(some.delta[1], untouched) == -1);
  CHECK(first_difference(some.delta[2], all.delta[2]) == -1);
  CHECK(first_difference(all.delta[0], untouched) != -1);
}

TEST_CASE("a network without parameters has no gradient tiles") {
  const nn::Network<float> network(Layers{activation("Tanh"), activation("ReLU")}, 1);
  CHECK(engine::gradient_tiles(network).empty());
}

TEST_CASE("gradient tiles cover the flat buffer once, each within one parameter") {
  const nn::Network<float> network({linear(1000, 300), activation("ReLU"), linear(300, 10)}, 1);
  const auto& list = network.parameters()->list;
  Index end = 0;
  std::vector<int> seen(list.size());
  for (const auto& tile : engine::gradient_tiles(network)) {
    const Parameter& p = list[at(tile.parameter)];
    REQUIRE(tile.run.begin == end);
    REQUIRE(tile.layer == p.layer);
    REQUIRE((tile.run.begin >= p.range.begin && tile.run.end <= p.range.end));
    ++seen[at(tile.parameter)];
    end = tile.run.end;
  }
  CHECK(end == network.parameters()->size());
  CHECK(seen[0] > 1);
  CHECK(std::all_of(seen.begin(), seen.end(), [](int n) { return n > 0; }));
}

TEST_CASE("a tile has at least one row") {
  CHECK(engine::rows_per_tile<float>(0, {0, 0}) > 0);
  CHECK(engine::rows_per_tile<double>(1, {1, 1}) > 0);
  CHECK(engine::rows_per_tile<double>(Index{1} << 40, {1 << 20, 1 << 20}) > 0);
}

TEST_CASE_TEMPLATE("a row predicted alone has the same bits as in a batch", T, float, double) {
  const runtime::Model<T> model(mixed(), 2);
  const Set<T> set(1000, 20, 5);
  const auto all = inferred(model, table(set.x.data(), 1000, 20));
  REQUIRE(all.size() == 5000);
  for (Index i = 0; i < 1000; ++i) {
    const auto one = inferred(model, table(set.x.data() + i * 20, 1, 20));
    REQUIRE(first_difference(one.data(), all.data() + i * 5, 5) == -1);
  }
  for (const Index batch : {7, 256, 999}) {
    std::vector<T> parts;
    for (Index first = 0; first < 1000; first += batch) {
      const auto part = inferred(model, table(set.x.data() + first * 20, std::min(batch, 1000 - first), 20));
      parts.insert(parts.end(), part.begin(), part.end());
    }
    CHECK(first_difference(parts, all) == -1);
  }
}

TEST_CASE_TEMPLATE("inference gives the bits of the training pass", T, float, double) {
  runtime::Model<T> model(mixed(), 2);
  const Set<T> set(333, 20, 5);
  const StridedView x = table(set.x.data(), 333, 20);
  forward(model, x);
  CHECK(first_difference(inferred(model, x).data(), model.output().data, 333 * 5) == -1);
}

TEST_CASE_TEMPLATE("running the blocks one by one equals running the network", T, float, double) {
  const runtime::Model<T> model(sequential(linear(20, 33), residual(activation("Tanh"), linear(33, 33)), linear(33, 5)),
                                2);
  const Set<T> set(600, 20, 5);
  const StridedView x = table(set.x.data(), 600, 20);
  std::vector<T> rows = set.x;
  // Block 0 is the whole network; 3 and 4 are inside the residual block.
  for (const Index block : {1, 2, 5}) {
    rows = inferred(model, {table(rows.data(), 600, static_cast<Index>(rows.size()) / 600)}, block)[0];
  }
  CHECK(first_difference(rows, inferred(model, x)) == -1);
}

TEST_CASE("empty inputs give empty outputs") {
  const runtime::Model<float> model(mixed(), 2), wide(Layers{activation("ReLU")}, 2);
  CHECK(inferred(model, table<float>(nullptr, 0, 20)).empty());
  CHECK(inferred(wide, table<float>(nullptr, 3, 0)).empty());
}

TEST_CASE("a layer that couples rows gets the whole batch") {
  const auto spy = std::make_shared<Recorder>(false);
  runtime::Model<float> model({linear(2, 3), spy, activation("ReLU")}, 1);
  const Set<float> set(5000, 2, 3);
  inferred(model, table(set.x.data(), 5000, 2));
  forward(model, table(set.x.data(), 5000, 2));
  REQUIRE(spy->inferred.size() == 1);
  CHECK(spy->inferred[0].size() == 5000);
  REQUIRE(spy->trained.size() == 1);
  CHECK(spy->trained[0].size() == 5000);
  evaluate(model, nn::NamedLoss("MSELoss", nn::Reduction::mean, 1.0), set.values());
  CHECK(spy->inferred.back().size() == 5000);
}

TEST_CASE("several threads may run inference concurrently") {
  const runtime::Model<float> model(mixed(), 2);
  const Set<float> set(500, 20, 5);
  const StridedView x = table(set.x.data(), 500, 20);
  const auto alone = inferred(model, x);
  std::vector<Index> differences(4, -2);
  std::vector<std::thread> threads;
  for (Index& d : differences) {
    threads.emplace_back([&] {
      d = -1;
      for (int i = 0; i < 20 && d == -1; ++i) d = first_difference(inferred(model, x), alone);
    });
  }
  for (auto& t : threads) t.join();
  CHECK(differences == std::vector<Index>(4, -1));
}
