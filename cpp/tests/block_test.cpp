#include "deltaprop/nn/block.hpp"

#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "trees.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using nn::Block;
using nn::kAnyWidth;
using Widths = std::vector<Index>;

namespace {

std::shared_ptr<nn::Layer> f() { return activation("Tanh"); }

}  // namespace

TEST_CASE("output widths follow from input widths") {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    CHECK(tree.block.out_features(tree.in) == tree.out);
  }
  CHECK(residual(f()).out_features({kAnyWidth}) == Widths{kAnyWidth});
  CHECK(concat(f(), linear(3, 2)).out_features({3}) == Widths{5});
  CHECK(concat(f(), f()).out_features({kAnyWidth}) == Widths{kAnyWidth});
  CHECK(residual(f(), linear(3, 3)).out_features({kAnyWidth}) == Widths{3});
}

TEST_CASE("the input width of a block is that of the first layer with a fixed width") {
  CHECK(Block(linear(3, 2)).in_features() == 3);
  CHECK(Block(f()).in_features() == kAnyWidth);
  CHECK(sequential(f(), sequential(f()), residual(linear(3, 3))).in_features() == 3);
  CHECK(residual(f(), linear(4, 4)).in_features() == 4);
  CHECK(concat(f(), linear(3, 2)).in_features() == 3);
  CHECK(heads(linear(3, 2), linear(3, 4)).in_features() == 3);
  CHECK(concat(linear(3, 2), linear(4, 2)).in_features() == kAnyWidth);
  // Layers after a concat of any width do not constrain its input.
  CHECK(sequential(concat(f(), f()), linear(6, 1)).in_features() == kAnyWidth);
}

TEST_CASE("first_mismatch finds the mismatched layer at any position") {
  const auto mismatch = [](const Block& block, Index width) {
    const nn::Layer* found = block.first_mismatch(width);
    return found == nullptr ? "" : found->describe();
  };
  const Block deep = sequential(f(), residual(f(), concat(f(), linear(3, 3)), linear(6, 3)), linear(3, 1));
  CHECK(mismatch(deep, 3) == "");
  CHECK(mismatch(deep, 4) == "Linear(3, 3)");
  CHECK(mismatch(sequential(linear(3, 2), linear(2, 5)), 2) == "Linear(3, 2)");
  CHECK(mismatch(sequential(concat(f(), f()), linear(6, 1)), 5) == "");
  CHECK(mismatch(heads(linear(3, 2), sequential(f(), linear(4, 2))), 3) == "Linear(4, 2)");
  CHECK(mismatch(Block(f()), 7) == "");
}

TEST_CASE("a block that begins with branches accepts one input per branch") {
  const Block branches = concat(linear(3, 2), linear(4, 2));
  CHECK(branches.input_fork() == &branches);
  const Block nested = sequential(sequential(heads(linear(3, 2), f())));
  CHECK(nested.input_fork() == &nested.children()[0].children()[0]);
  CHECK(sequential(f(), concat(f(), f())).input_fork() == nullptr);
  CHECK(residual(concat(linear(4, 2), linear(4, 2))).input_fork() == nullptr);
  CHECK(Block(f()).input_fork() == nullptr);
  CHECK(&nested.first() == nested.children()[0].children()[0].children()[0].layer().get());
}

TEST_CASE("mismatched children are rejected with a message that names them") {
  const auto refused = [](const std::function<void()>& make, const char* message) {
    CAPTURE(message);
    CHECK_THROWS_WITH_AS(make(), message, ValueError);
  };
  for (const char* name : {"Sequential", "Residual", "Concat", "Heads"}) {
    CHECK_THROWS_WITH_AS(Block(nn::block_kind(name), {}),
                         (std::string(name) + ": expected one layer or more, got none").c_str(), ValueError);
  }
  refused([] { nn::block_kind("Parallel"); }, "Block: expected a known kind, got 'Parallel'");
  refused([] { nn::block_kind(""); }, "Block: expected a known kind, got ''");
  refused([] { sequential(linear(3, 5), f(), linear(4, 2)); },
          "Sequential: layer 2, Linear(4, 2), expected 4 features, got 5 from layer 1, Tanh()");
  refused([] { sequential(linear(3, 5), residual(f(), linear(4, 4))); },
          "Sequential: layer 1, Linear(4, 4), expected 4 features, got 5 from layer 0, Linear(3, 5)");
  refused([] { residual(linear(3, 5), linear(4, 3)); },
          "Residual: layer 1, Linear(4, 3), expected 4 features, got 5 from layer 0, Linear(3, 5)");
  refused([] { residual(linear(3, 5)); }, "Residual: expected as many outputs as inputs, got 3 inputs and 5 outputs");
  refused([] { residual(heads(linear(3, 3), linear(3, 3))); }, "Residual: expected one output to add to, got several");
  refused([] { heads(f()); }, "Heads: expected two branches or more, got 1");
  refused([] { sequential(heads(f(), f()), linear(3, 3)); }, "Linear(3, 3): expected one input, got 2");
  refused([] { sequential(heads(f(), f()), residual(f())); }, "Residual: expected one input, got 2");
  refused([] { sequential(heads(f(), f()), concat(f(), f(), f())); },
          "Concat: expected 3 inputs, a branch each, got 2");
  refused([] { concat(f(), heads(f(), f())); }, "Concat: expected branches of one output each, got 2 from branch 1");
  refused([] { sequential(heads(linear(2, 3), linear(2, 4)), concat(linear(3, 1), linear(3, 1))); },
          "Linear(3, 1): expected 3 features, got 4");
}
