#include "deltaprop/core/busy.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace deltaprop;

namespace {

/// Runs f in another thread; whether it threw RuntimeError.
template <class F>
bool refused_elsewhere(F f) {
  bool refused = false;
  std::thread([&] {
    try {
      f();
    } catch (const std::runtime_error&) {
      refused = true;
    }
  }).join();
  return refused;
}

}  // namespace

TEST_CASE("who comes second is told so") {
  Busy busy("in use");
  const auto claim = [&] { Busy::Claim c(busy); };
  CHECK_NOTHROW(busy.check());
  {
    const Busy::Claim held(busy);
    CHECK_NOTHROW(busy.check());
    CHECK_THROWS_WITH_AS(claim(), "in use", std::runtime_error);
    CHECK(refused_elsewhere([&] { busy.check(); }));
    CHECK(refused_elsewhere(claim));
    // A refused claim must not let go of what another one holds.
    CHECK(refused_elsewhere([&] { busy.check(); }));
  }
  CHECK_FALSE(refused_elsewhere([&] { busy.check(); }));
  CHECK_FALSE(refused_elsewhere(claim));
  CHECK_NOTHROW(claim());
}

TEST_CASE("an exception lets go") {
  Busy busy("in use");
  CHECK_THROWS([&] {
    const Busy::Claim held(busy);
    throw 1;
  }());
  CHECK_NOTHROW(Busy::Claim{busy});
}

TEST_CASE("any number may visit, but not beside one who holds") {
  Busy busy("in use");
  const auto claim = [&] { Busy::Claim c(busy); };
  const auto visit = [&] { Busy::Visit v(busy); };
  {
    const Busy::Visit one(busy), two(busy);
    CHECK_FALSE(refused_elsewhere(visit));
    CHECK_THROWS_WITH_AS(claim(), "in use", std::runtime_error);
    CHECK(refused_elsewhere(claim));
    CHECK_NOTHROW(busy.check());
  }
  {
    const Busy::Claim held(busy);
    CHECK_NOTHROW(visit());
    CHECK(refused_elsewhere(visit));
    // A refused visitor must not be counted.
    const Busy::Claim again(busy, true);
    CHECK_THROWS_AS(claim(), std::runtime_error);
  }
  CHECK_NOTHROW(claim());
}
