#include <doctest/doctest.h>

#include <new>

#include "check.hpp"
#include "child.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/parameters.hpp"
#include "deltaprop/nn/linear.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

constexpr Index kMax = std::numeric_limits<Index>::max();

}  // namespace

TEST_CASE_TEMPLATE("a buffer is aligned and zeroed", T, float, double, std::int64_t) {
  for (const Index n : {0, 1, 2, 3, 15, 16, 17, 1000}) {
    CAPTURE(n);
    const Buffer<T> buffer(n);
    REQUIRE(buffer.data() != nullptr);
    CHECK(buffer.size() == n);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % kAlignment == 0);
    CHECK(std::all_of(buffer.data(), buffer.data() + n, [](T v) { return same_bits(v, T(0)); }));
  }
}

TEST_CASE("reserve grows a buffer and never shrinks it") {
  Buffer<float> buffer(100);
  const float* before = buffer.data();
  buffer.reserve(10);
  buffer.reserve(100);
  CHECK(buffer.data() == before);
  CHECK(buffer.size() == 100);
  buffer.reserve(101);
  CHECK(buffer.size() == 101);
}

TEST_CASE("a reference to a buffer's owner keeps its memory alive") {
  Buffer<float> buffer(4);
  buffer.data()[3] = 7;
  const float* before = buffer.data();
  const auto owner = buffer.owner();
  buffer.reserve(1000);
  CHECK(owner.use_count() == 1);
  CHECK(before[3] == 7);
}

TEST_CASE("sizes that overflow are rejected") {
  CHECK(checked_size(6, 7) == 42);
  CHECK(checked_size(kMax, 0) == 0);
  CHECK(checked_size(kMax, 1) == kMax);
  CHECK(checked_size(kMax / 2, 2) == kMax - 1);
  CHECK_THROWS_AS(checked_size(kMax, 2), std::bad_alloc);
  CHECK_THROWS_AS(checked_size(Index{1} << 32, Index{1} << 31), std::bad_alloc);
  CHECK_THROWS_AS(Buffer<float>{kMax}, std::bad_alloc);
  CHECK_THROWS_AS(Buffer<double>{kMax / 8 + 1}, std::bad_alloc);
  const ParameterShape huge{"w", {Index{1} << 32, Index{1} << 32}};
  CHECK_THROWS_AS(huge.size(), std::bad_alloc);
}

TEST_CASE("layers whose size overflows are rejected") {
  const auto make = [](Index in, Index out) { nn::Linear(in, out, true, nn::Initialiser("default")); };
  CHECK_NOTHROW(make(1, 1));
  CHECK_THROWS_AS(make(Index{1} << 32, Index{1} << 32), std::bad_alloc);
  for (const auto& [in, out] : {std::pair{kMax, Index{1}}, std::pair{Index{1}, kMax}}) {
    CAPTURE(in);
    const bool refused = true_in_child([&, in = in, out = out] {
      try {
        make(in, out);
      } catch (const std::bad_alloc&) {
        return true;
      }
      return false;
    });
    CHECK(refused);
  }
  CHECK_THROWS_AS(make(0, 1), ValueError);
  CHECK_THROWS_AS(make(1, 0), ValueError);
  CHECK_THROWS_AS(make(-1, 1), ValueError);
}

TEST_CASE("shape_text formats shapes as Python does") {
  CHECK(shape_text({}) == "()");
  CHECK(shape_text({3}) == "(3,)");
  CHECK(shape_text({2, 3}) == "(2, 3)");
  CHECK(shape_text({0, 3, 4}) == "(0, 3, 4)");
}
