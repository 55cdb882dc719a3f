#include "deltaprop/nn/network.hpp"

#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using nn::Network;

namespace {

Layers three() { return {linear(3, 5), activation("Tanh"), linear(5, 2)}; }

template <class T>
std::vector<T> values(const Network<T>& network) {
  const auto& p = *network.parameters();
  return {p.values.data(), p.values.data() + p.size()};
}

}  // namespace

TEST_CASE_TEMPLATE("parameters are contiguous in the flat buffer", T, float, double) {
  const Network<T> network(three(), 1);
  const auto& p = *network.parameters();
  const std::vector<std::string> names{"0.weight", "0.bias", "2.weight", "2.bias"};
  const std::vector<std::vector<Index>> shapes{{3, 5}, {5}, {5, 2}, {2}};
  REQUIRE(p.list.size() == 4);
  Index end = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(p.list[i].shape.name == names[i]);
    CHECK(p.list[i].shape.shape == shapes[i]);
    CHECK(p.list[i].shape.transposed == (shapes[i].size() == 2));
    CHECK(p.list[i].layer == (i < 2 ? 0 : 2));
    CHECK(p.list[i].range.begin == end);
    end = p.list[i].range.end;
    CHECK(p.list[i].range.size() == p.list[i].shape.size());
  }
  CHECK(p.size() == 32);
  CHECK(p.values.size() == 32);
  CHECK(p.gradients.size() == 32);
  CHECK(reinterpret_cast<std::uintptr_t>(p.values.data()) % 64 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(p.gradients.data()) % 64 == 0);
  CHECK(network.parameters_of(1).size() == 0);
  CHECK(network.values_of(2) == p.values.data() + 20);
  CHECK(network.gradients_of(2) == p.gradients.data() + 20);
  CHECK(std::all_of(p.gradients.data(), p.gradients.data() + 32, [](T g) { return g == 0; }));
}

// Expected values from an independent Python implementation.
TEST_CASE("initial parameters are the same on every machine") {
  const Network<double> network({activation("ReLU"), linear(3, 2)}, 7);
  const std::vector<double> expected{-0x1.de1b5eb042c9ap-2, -0x1.e6913fd29a8e8p-5, 0x1.9141bcfb57cc7p-3,
                                     -0x1.f2da8cd3b392ap-2, 0x1.d68752f607ab5p-5,  -0x1.ed3c3b95e0c46p-3,
                                     0x1.1c547e451b34fp-2,  0x1.0cbdad7ede2e6p-1};
  CHECK(first_difference(values(network), expected) == -1);
}

TEST_CASE("initial parameters depend only on the seed and the position of the layer") {
  const auto a = values(Network<double>(three(), 5));
  CHECK(a == values(Network<double>(three(), 5)));
  CHECK(a != values(Network<double>(three(), 6)));
  auto rounded = values(Network<float>(three(), 5));
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(rounded[i] == static_cast<float>(a[i]));
  // The first layer does not depend on later ones; at another position the same layer has other draws.
  const auto longer = values(Network<double>({linear(3, 5), linear(5, 5), linear(5, 2)}, 5));
  CHECK(std::equal(a.begin(), a.begin() + 20, longer.begin()));
  CHECK_FALSE(std::equal(a.end() - 12, a.end(), longer.begin() + 20));
}

TEST_CASE("empty networks and mismatched widths are rejected") {
  CHECK_THROWS_WITH_AS(Network<float>({}, 0), "Sequential: expected one layer or more, got none", ValueError);
  CHECK_THROWS_WITH_AS(Network<float>({linear(3, 5), activation("Tanh"), linear(4, 2)}, 0),
                       "Sequential: layer 2, Linear(4, 2), expected 4 features, got 5 from layer 1, Tanh()",
                       ValueError);
  CHECK_THROWS_AS(activation("Cube"), ValueError);
}

TEST_CASE("widths() follows the plan, and resolve_inputs() checks the shape") {
  const Network<float> network({activation("ReLU"), linear(3, 5), activation("Tanh")}, 0);
  CHECK(network.widths(network.plan().subgraph(0), {3}) == std::vector<Index>{3, 3, 5, 5});
  CHECK(network.widths(network.plan().subgraph(2), {3}) == std::vector<Index>{0, 3, 5, 0});
  const auto check = [&](const std::vector<Index>& shape) { network.resolve_inputs(0, {shape}); };
  CHECK_NOTHROW(check({3}));
  CHECK_NOTHROW(check({0, 3}));
  CHECK_THROWS_WITH_AS(check({2, 4}), "Linear(3, 5): expected input (N, 3), got (2, 4)", ValueError);
  CHECK_THROWS_WITH_AS(check({3, 1}), "Linear(3, 5): expected input (N, 3), got (3, 1)", ValueError);
  CHECK_THROWS_WITH_AS(check({}), "Linear(3, 5): expected input (N, 3), got ()", ValueError);
  CHECK_THROWS_AS(check({1, 2, 3}), ValueError);
  const Network<float> any(Layers{activation("ReLU")}, 0);
  CHECK_NOTHROW(any.resolve_inputs(0, {{7, 9}}));
  CHECK_THROWS_WITH_AS(any.resolve_inputs(0, {{1, 2, 3}}), "ReLU(): expected input (N, features), got (1, 2, 3)",
                       ValueError);
}
