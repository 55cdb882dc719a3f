#include "deltaprop/core/math.hpp"

#include <doctest/doctest.h>

#include "check.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

double worst(const std::vector<double>& xs) {
  double most = 0;
  for (const double x : xs) most = std::max(most, ulps(portable_log(x), std::log(static_cast<long double>(x))));
  return most;
}

}  // namespace

TEST_CASE("portable_log has an error of at most 2 ulp") {
  std::mt19937_64 bits(1);
  std::vector<double> all, around_one, subnormal;
  for (int i = 0; i < 200000; ++i) {
    all.push_back(std::bit_cast<double>(bits() % 0x7ff0000000000000ull));
    around_one.push_back(0.5 + static_cast<double>(bits() >> 11) * 0x1p-52);
    subnormal.push_back(std::bit_cast<double>(bits() >> 12 >> (i % 51)));
  }
  for (int i = 1; i < 100; ++i) {
    around_one.push_back(1 + i * 0x1p-52);
    around_one.push_back(1 - i * 0x1p-53);
    around_one.push_back(1 + std::ldexp(1.0, -i / 2));
    around_one.push_back(1 - std::ldexp(1.0, -i / 2 - 1));
  }
  for (int e = -1074; e < 1024; ++e) all.push_back(std::ldexp(1.0, e));
  std::erase(subnormal, 0.0);
  CHECK(worst(all) <= 2);
  CHECK(worst(around_one) <= 2);
  CHECK(worst(subnormal) <= 2);
  CHECK(worst({std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::min(),
               std::numeric_limits<double>::max(), 0x1.6a09e667f3bcdp+0, 0x1.6a09e667f3bccp+0, 0x1.6a09e667f3bcdp-1}) <=
        2);
}

TEST_CASE("portable_log of 0, negative numbers, infinity, NaN and subnormal numbers") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  CHECK(same_bits(portable_log(1.0), 0.0));
  CHECK(portable_log(0.0) == -inf);
  CHECK(portable_log(-0.0) == -inf);
  CHECK(portable_log(inf) == inf);
  CHECK(std::isnan(portable_log(-1.0)));
  CHECK(std::isnan(portable_log(-inf)));
  CHECK(std::isnan(portable_log(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("portable_exp has an error of at most 1 ulp") {
  std::mt19937_64 bits(2);
  double most = 0, most_subnormal = 0;
  const auto check = [](double x, double& worst) {
    worst = std::max(worst, ulps(portable_exp(x), std::exp(static_cast<long double>(x))));
  };
  for (int i = 0; i < 200000; ++i) {
    const double unit = static_cast<double>(bits() >> 11) * 0x1p-53;
    check(-708 + unit * 1417.7, most);
    check(unit - 0.5, most);
    check(std::ldexp(unit - 0.5, -(i % 60)), most);
    check(-745.1 + unit * 37, most_subnormal);
  }
  CHECK(most <= 1);
  CHECK(most_subnormal <= 1);
}

TEST_CASE("portable_exp at overflow and underflow, and of NaN") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  CHECK(portable_exp(0.0) == 1);
  CHECK(portable_exp(-0.0) == 1);
  CHECK(portable_exp(inf) == inf);
  CHECK(portable_exp(709.79) == inf);
  CHECK(portable_exp(709.785) == inf);
  CHECK(portable_exp(709.78) < inf);
  CHECK(portable_exp(-inf) == 0);
  CHECK(portable_exp(-746) == 0);
  CHECK(portable_exp(-745.13) == std::numeric_limits<double>::denorm_min());
  CHECK(std::isnan(portable_exp(std::numeric_limits<double>::quiet_NaN())));
  CHECK(portable_power(2, 10) == doctest::Approx(1024).epsilon(1e-15));
  CHECK(portable_power(0.96, 0.5) == doctest::Approx(std::sqrt(0.96)).epsilon(1e-15));
  CHECK(portable_power(3, 0) == 1);
}
