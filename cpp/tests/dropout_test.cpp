#include <doctest/doctest.h>

#include <cmath>

#include "chains.hpp"
#include "deltaprop/core/random.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

/// Reference implementation of the draw of an element, as table.hpp specifies it.
std::uint32_t draw(const Random& random, Index element) {
  const auto block = static_cast<std::uint64_t>(element) / 4;
  return philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), random.stream(), 0},
                random.key())[static_cast<std::size_t>(element) % 4];
}

template <class T>
std::vector<T> mask(const Random& random, double p, Index first, Index n, T scale) {
  const Guarded<T> m(n, T(7));
  kernels::get<T>().dropout_mask({.random = random, .p = p, .first = first, .n = n, .scale = scale, .mask = m.data()});
  REQUIRE(m.intact());
  return m.values();
}

}  // namespace

TEST_CASE_TEMPLATE("a mask element depends only on its own draw, for any range", T, float, double) {
  const Random random(42, Purpose::dropout, 3, 1);
  const double p = 0.3;
  for (const Index first : {Index{0}, Index{1}, Index{3}, Index{63}, Index{64}, Index{65}, (Index{1} << 40) + 5}) {
    for (const Index n : {0, 1, 2, 3, 4, 63, 64, 65, 200}) {
      const auto m = mask<T>(random, p, first, n, T(2.5));
      for (Index i = 0; i < n; ++i) {
        REQUIRE(m[at(i)] == (draw(random, first + i) >= 1288490189u ? T(2.5) : T(0)));  // 0.3 2^32, rounded
      }
    }
  }
}

// Expected values from an independent Python implementation: a resumed fit must continue with the same masks.
TEST_CASE("a mask is the same on every machine") {
  std::string text;
  for (const float v : mask<float>(Random(7, Purpose::dropout, 5, 2), 0.5, 0, 32, 1)) text += v == 0 ? '.' : '1';
  CHECK(text == "..1....11.1111.1.....111.1..1.11");
}

TEST_CASE_TEMPLATE("a mask retains a fraction 1 - p: all elements for p = 0, none for p = 1", T, float, double) {
  constexpr Index n = 100000;
  for (const double p : {0.1, 0.5, 0.9}) {
    double kept = 0, neighbours = 0;
    const auto m = mask<T>(Random(1, Purpose::dropout), p, 0, n, T(1));
    for (Index i = 0; i < n; ++i) {
      kept += m[at(i)];
      if (i > 0) neighbours += (m[at(i)] - (1 - p)) * (m[at(i - 1)] - (1 - p));
    }
    CHECK(std::abs(kept / n - (1 - p)) < 5 * std::sqrt(p * (1 - p) / n));
    CHECK(std::abs(neighbours / n) < 5 * p * (1 - p) / std::sqrt(n));
  }
  CHECK(mask<T>(Random(1, Purpose::dropout), 0, 0, 1000, T(1)) == std::vector<T>(1000, T(1)));
  const T infinite = std::numeric_limits<T>::infinity();  // 1 / (1 - 1)
  CHECK(mask<T>(Random(1, Purpose::dropout), 1, 0, 1000, infinite) == std::vector<T>(1000, T(0)));
}

TEST_CASE("masks differ between steps and between layers") {
  const auto a = mask<float>(Random(1, Purpose::dropout, 0, 0), 0.5, 0, 200, 1);
  CHECK(a != mask<float>(Random(1, Purpose::dropout, 1, 0), 0.5, 0, 200, 1));
  CHECK(a != mask<float>(Random(1, Purpose::dropout, 0, 1), 0.5, 0, 200, 1));
  CHECK(a != mask<float>(Random(2, Purpose::dropout, 0, 0), 0.5, 0, 200, 1));
}

TEST_CASE_TEMPLATE("the masked kernel computes (x + offset) mask + shift", T, float, double) {
  for (const Index n : {0, 1, 3, 4, 7, 8, 9, 33}) {
    const auto x = numbers<T>(n, 1), m = numbers<T>(n, 2);
    const Guarded<T> y(n), place(x);
    for (const bool plain : {true, false}) {
      const T offset = plain ? T(0) : T(1.75), shift = plain ? T(0) : T(-0.5);
      kernels::get<T>().masked(
          {.n = n, .x = x.data(), .mask = m.data(), .offset = offset, .shift = shift, .y = y.data()});
      for (Index i = 0; i < n; ++i) REQUIRE(same_bits(y[i], fused(x[at(i)] + offset, m[at(i)], shift)));
    }
    kernels::get<T>().masked({.n = n, .x = place.data(), .mask = m.data(), .y = place.data()});
    for (Index i = 0; i < n; ++i) REQUIRE(place[i] == x[at(i)] * m[at(i)]);
    CHECK((y.intact() && place.intact()));
  }
}
