#include "deltaprop/core/random.hpp"

#include <doctest/doctest.h>

#include "check.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

// Expected values: mpmath 1.3, 50 digits, of the double nearest to p.
TEST_CASE("the normal quantile agrees with known values") {
  const std::vector<std::pair<double, long double>> known{
      {0.5, 0.0L},
      {0.3, -0.52440051270804081597L},
      {0.075, -1.4395314709384559349L},
      {0.0749999, -1.4395321773759005864L},
      {0.925, 1.4395314709384562291L},
      {0.9250001, 1.4395321773759004884L},
      {0.975, 1.9599639845400538556L},
      {0.001, -3.0902323061678135354L},
      {0.999, 3.0902323061678132778L},
      {1e-5, -4.2648907939228246102L},
      {1e-10, -6.3613409024040561991L},
      {1.3e-11, -6.6676114565107408347L},  // the two approximations meet at e^-25 = 1.39e-11
      {1.4e-11, -6.6567230915181836356L},
      {1e-15, -7.9413453261709967713L},
      {0x1p-53, -8.2095361516013868556L},
      {0x1.fffffffffffffp-1, 8.2095361516013868556L},
      {1e-20, -9.2623400897984075796L},
      {1e-100, -21.273453560965324294L},
      {1e-300, -37.047096299361199237L},
  };
  for (const auto& [p, x] : known) {
    CAPTURE(p);
    CHECK(ulps(normal_quantile(p), x) <= 8);
  }
}

TEST_CASE("normal_quantile inverts normal_cdf") {
  for (const double u : numbers<double>(20000, 4)) {
    const double p = std::exp(-25 * (u + 1));
    const long double back = 0.5L * std::erfc(-static_cast<long double>(normal_quantile(p)) / std::sqrt(2.0L));
    REQUIRE(static_cast<double>(std::abs(back - p) / p) < 1e-13);
  }
}

TEST_CASE("normal_cdf has a relative error of at most 1e-13") {
  for (const double u : numbers<double>(20000, 5)) {
    for (const double x : {u, 3 * u, 8 * u, 37 * u}) {
      const long double exact = 0.5L * std::erfc(-static_cast<long double>(x) / std::sqrt(2.0L));
      REQUIRE(static_cast<double>(std::abs(normal_cdf(x) - exact) / exact) < 1e-13);
    }
  }
  constexpr double inf = std::numeric_limits<double>::infinity();
  CHECK(normal_cdf(0) == 0.5);
  CHECK(normal_cdf(-inf) == 0);
  CHECK(normal_cdf(inf) == 1);
  CHECK(normal_cdf(-40) == 0);
  CHECK(normal_cdf(40) == 1);
  CHECK(std::isnan(normal_cdf(std::numeric_limits<double>::quiet_NaN())));
}

// Expected values: CPython's statistics.NormalDist().inv_cdf, which is also AS 241.
TEST_CASE("normal draws are the same on every machine") {
  const Random random(42, Purpose::initialise);
  CHECK(random.normal(0) == 0x1.9569fa460d758p+0);
  CHECK(random.normal(1) == 0x1.88fd9a893baaep-1);
  CHECK(random.normal(2) == -0x1.a9c3071eeffafp-4);
  CHECK(random.normal(3) == 0x1.fde569178cae1p-2);
}

TEST_CASE("normal draws have the moments of a normal distribution") {
  const Random random(8, Purpose::initialise);
  constexpr int n = 200000;
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double x = random.normal(i);
    REQUIRE(std::isfinite(x));
    m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
  }
  const double unit = 5 / std::sqrt(double{n});
  CHECK(std::abs(m1 / n) < unit);
  CHECK(std::abs(m2 / n - 1) < unit * std::sqrt(2.0));
  CHECK(std::abs(m3 / n) < unit * std::sqrt(15.0));
  CHECK(std::abs(m4 / n - 3) < unit * std::sqrt(96.0));
}
