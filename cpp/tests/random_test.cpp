#include "deltaprop/core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

using namespace deltaprop;

using Counter = std::array<std::uint32_t, 4>;

// kat_vectors of Random123, philox4x32 10.
TEST_CASE("philox gives the published vectors") {
  constexpr auto all = 0xffffffffu;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({all, all, all, all}, {all, all}) == Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

// Expected values from an independent implementation in Python integers: saved networks and shuffles depend on them.
TEST_CASE("draws are the same on every machine") {
  const Random a(42, Purpose::initialise);
  CHECK(a.bits(0) == 0xf1803ec5ffa71ba4u);
  CHECK(a.bits(1) == 0xc754027abc00cf2du);
  CHECK(a.bits(2) == 0x75673739085d0c7au);
  CHECK(a.bits((1ull << 40) + 3) == 0xa53e8031477962beu);
  const Random b(0x0123456789abcdef, Purpose::shuffle, 7, 3);
  CHECK(b.bits(0) == 0x6a403ba569d809bbu);
  CHECK(b.bits((1ull << 40) + 3) == 0xc33c9681c224368cu);
  CHECK(a.uniform(0) == 0x1.e3007d8bff4e3p-1);
  CHECK(a.uniform(1) == 0x1.8ea804f578019p-1);
  CHECK(a.uniform(2) == 0x1.d59cdce421742p-2);
}

TEST_CASE("uniform draws are uniform on [0, 1)") {
  const Random random(3, Purpose::initialise);
  constexpr int n = 100000, bins = 64;
  std::vector<int> counts(bins);
  double sum = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = random.uniform(i);
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    ++counts[static_cast<std::size_t>(u * bins)];
  }
  CHECK(std::abs(sum / n - 0.5) < 5 * 0.2887 / std::sqrt(double{n}));
  double chi_squared = 0;
  for (const int c : counts) chi_squared += (c - double{n} / bins) * (c - double{n} / bins) / (double{n} / bins);
  CHECK(chi_squared < 63 + 5 * std::sqrt(2 * 63.0));
}

TEST_CASE("every part of the key selects a different stream") {
  const std::vector<Random> streams{
      {5, Purpose::initialise},       {6, Purpose::initialise},       {5 + (1ull << 32), Purpose::initialise},
      {5, Purpose::shuffle},          {5, Purpose::initialise, 1, 0}, {5, Purpose::initialise, 0, 1},
      {5, Purpose::initialise, 1, 1}, {5, Purpose::shuffle, 1, 0},
  };
  std::set<std::uint64_t> seen;
  for (const Random& s : streams) {
    for (std::uint64_t i = 0; i < 100; ++i) seen.insert(s.bits(i));
  }
  CHECK(seen.size() == streams.size() * 100);
}

TEST_CASE("a permutation contains each index once and depends only on its key") {
  std::vector<Index> order(12);
  permutation(Random(1, Purpose::shuffle, 0), order);
  CHECK(order == std::vector<Index>{8, 1, 7, 6, 3, 2, 9, 10, 5, 0, 11, 4});
  permutation(Random(1, Purpose::shuffle, 1), order);
  CHECK(order == std::vector<Index>{0, 2, 11, 5, 8, 4, 10, 3, 9, 6, 1, 7});

  for (const std::size_t n : {0u, 1u, 2u, 1000u}) {
    std::vector<Index> p(n, -1);
    permutation(Random(9, Purpose::shuffle), p);
    std::sort(p.begin(), p.end());
    for (std::size_t i = 0; i < n; ++i) REQUIRE(p[i] == static_cast<Index>(i));
  }
}

TEST_CASE("permutations place each index at each position with equal frequency") {
  constexpr int n = 5, rounds = 20000;
  std::vector<int> counts(n * n);
  std::vector<Index> order(n);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    permutation(Random(2, Purpose::shuffle, round), order);
    for (std::size_t i = 0; i < n; ++i) ++counts[i * n + static_cast<std::size_t>(order[i])];
  }
  const double expected = double{rounds} / n, deviation = std::sqrt(expected * (1 - 1.0 / n));
  for (const int c : counts) CHECK(std::abs(c - expected) < 5 * deviation);
}
