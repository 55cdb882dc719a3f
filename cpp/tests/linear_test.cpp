#include "deltaprop/nn/linear.hpp"

#include <doctest/doctest.h>

#include <array>

#include "chains.hpp"
#include "deltaprop/core/threads.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

nn::Linear layer(Index in, Index out, bool bias = true) { return {in, out, bias, nn::Initialiser("default")}; }

}  // namespace

// Small integers: every sum is exact, so expected values can be checked by hand.
TEST_CASE_TEMPLATE("forward, backward and gradients of z = a w + b", T, float, double) {
  const auto linear = layer(2, 3);
  const T parameters[] = {1, 2, 3, 4, 5, 6, /* b */ 10, 20, 30};
  const T x[] = {1, -1, 2, 3};
  const T delta[] = {1, 0, -1, 2, 1, 0};
  const Guarded<T> y(6), dx(4), gradients(9, T(100));

  linear.forward(nn::Forward<T>{.parameters = parameters, .x = {x, 2, 2}, .y = {y.data(), 2, 3}, .training = true});
  CHECK(y.values() == std::vector<T>{7, 17, 27, 24, 39, 54});

  nn::Backward<T> b{.parameters = parameters,
                    .x = {x, 2, 2},
                    .y = {y.data(), 2, 3},
                    .delta_y = {delta, 2, 3},
                    .delta_x = {},
                    .gradients = nullptr,
                    .accumulate = false};
  CHECK_NOTHROW(linear.backward(b));  // delta_x not needed
  b.delta_x = {dx.data(), 2, 2};
  linear.backward(b);
  CHECK(dx.values() == std::vector<T>{-2, -2, 4, 13});

  for (const bool accumulate : {false, true}) {
    for (const Range tile : linear.gradient_tiles()) {
      linear.gradient(
          nn::Gradient<T>{
              .x = {x, 2, 2}, .delta_y = {delta, 2, 3}, .gradients = gradients.data(), .accumulate = accumulate},
          tile);
    }
    const T k = accumulate ? 2 : 1;
    CHECK(gradients.values() == std::vector<T>{5 * k, 2 * k, -1 * k, 5 * k, 3 * k, 1 * k, 3 * k, 1 * k, -1 * k});
  }
  CHECK((y.intact() && dx.intact() && gradients.intact()));
}

TEST_CASE_TEMPLATE("forward, backward and gradients of z = a w", T, float, double) {
  const auto linear = layer(2, 3, false);
  CHECK(linear.parameters().size() == 1);
  CHECK(linear.describe() == "Linear(2, 3, bias=False)");
  const T w[] = {1, 2, 3, 4, 5, 6};
  const T x[] = {1, -1, 2, 3};
  const T delta[] = {1, 0, -1, 2, 1, 0};
  const Guarded<T> y(6), gradients(6, T(100));
  linear.forward(nn::Forward<T>{.parameters = w, .x = {x, 2, 2}, .y = {y.data(), 2, 3}, .training = true});
  CHECK(y.values() == std::vector<T>{-3, -3, -3, 14, 19, 24});
  for (const Range tile : linear.gradient_tiles()) {
    linear.gradient(
        nn::Gradient<T>{.x = {x, 2, 2}, .delta_y = {delta, 2, 3}, .gradients = gradients.data(), .accumulate = false},
        tile);
  }
  CHECK(gradients.values() == std::vector<T>{5, 2, -1, 5, 3, 1});
  CHECK((y.intact() && gradients.intact()));
}

TEST_CASE("gradient tiles cover every parameter exactly once, each inside one parameter") {
  for (const Index in : {1, 2, 95, 96, 97, 784, 5000}) {
    for (const Index out : {1, 2, 10, 128, 1024, 3000}) {
      CAPTURE(in);
      CAPTURE(out);
      Index end = 0;
      for (const Range tile : layer(in, out).gradient_tiles()) {
        REQUIRE(tile.begin == end);
        REQUIRE(tile.size() > 0);
        REQUIRE(tile.begin % out == 0);
        REQUIRE(tile.size() % out == 0);
        REQUIRE((tile.end <= in * out || tile.begin == in * out));
        end = tile.end;
      }
      CHECK(end == (in + 1) * out);
    }
  }
}

TEST_CASE_TEMPLATE("gradients are chains in blocks of rows for any tiles", T, float, double) {
  constexpr Index in = 200, out = 700, rows = 300;
  const auto linear = layer(in, out);
  REQUIRE(linear.gradient_tiles().size() > 2);
  const auto x = numbers<T>(rows * in, 1), delta = numbers<T>(rows * out, 2), before = numbers<T>((in + 1) * out, 3);
  const std::vector<T> bias_before(before.end() - out, before.end());
  for (const bool accumulate : {false, true}) {
    const Guarded<T> gradients(before);
    for (const Range tile : linear.gradient_tiles()) {
      linear.gradient(nn::Gradient<T>{.x = {x.data(), rows, in},
                                      .delta_y = {delta.data(), rows, out},
                                      .gradients = gradients.data(),
                                      .accumulate = accumulate},
                      tile);
    }
    auto expected =
        chain_blocked<T>(in, out, rows, {x.data(), 1, in}, {delta.data(), out, 1},
                         accumulate ? std::vector<T>(before.begin(), before.end() - out) : std::vector<T>{});
    const auto sums = chain_sums(rows, out, delta.data(), accumulate ? bias_before : std::vector<T>{});
    expected.insert(expected.end(), sums.begin(), sums.end());
    CHECK(first_difference(gradients.values(), expected) == -1);
    CHECK(gradients.intact());
  }
}

TEST_CASE_TEMPLATE("splitting by columns over threads gives the same bits", T, float, double) {
  const Index before = threads::count();
  threads::set_operations_per_thread(1);
  for (const auto [rows, in, out] : {std::array<Index, 3>{1, 70, 200}, {2, 130, 65}, {16, 64, 193}, {40, 9, 128}}) {
    const auto linear = layer(in, out);
    const auto parameters = numbers<T>(in * out + out, 1), x = numbers<T>(rows * in, 2),
               delta = numbers<T>(rows * out, 3);
    std::vector<std::vector<T>> ys, dxs;
    for (const Index count : {1, 2, 3, 8}) {
      threads::set_count(count);
      const Guarded<T> y(rows * out), dx(rows * in);
      linear.forward(nn::Forward<T>{
          .parameters = parameters.data(), .x = {x.data(), rows, in}, .y = {y.data(), rows, out}, .training = true});
      linear.backward(nn::Backward<T>{.parameters = parameters.data(),
                                      .x = {x.data(), rows, in},
                                      .y = {y.data(), rows, out},
                                      .delta_y = {delta.data(), rows, out},
                                      .delta_x = {dx.data(), rows, in},
                                      .gradients = nullptr,
                                      .accumulate = false});
      CHECK((y.intact() && dx.intact()));
      ys.push_back(y.values());
      dxs.push_back(dx.values());
      CHECK(ys.back() == ys.front());
      CHECK(dxs.back() == dxs.front());
    }
  }
  threads::set_operations_per_thread(2e6);
  threads::set_count(before);
}
