// Compiled as the kernels are: what they are built of, which their table does not show.
#include "functions.hpp"

#include <doctest/doctest.h>

#include <string>

#include "check.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
namespace ours = deltaprop::kernels;

namespace {

template <class T, class F>
std::vector<T> mapped(const std::vector<T>& x, F f) {
  std::vector<T> y(x.size());
  ours::for_each_vector<T>(static_cast<Index>(x.size()),
                           [&](Index i, auto load, auto store) { store(y.data() + i, f(load(x.data() + i))); });
  return y;
}

/// Over a wide range of arguments no value is further from `exact` than `most` units of its last place.
template <class T, class F>
void check_ulps(const std::string& name, double most, F ours, long double (*exact)(long double)) {
  const auto x = wide_range<T>();
  const auto y = mapped(x, ours);
  double worst = 0;
  T where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double distance = ulps(y[i], exact(static_cast<long double>(x[i])));
    if (distance > worst) worst = distance, where = x[i];
  }
  CAPTURE(name);
  CAPTURE(where);
  CHECK(worst <= most);
}

}  // namespace

TEST_CASE_TEMPLATE("functions are within a few ulp everywhere", T, float, double) {
  using V = ours::Vector<T>;
  check_ulps<T>("exp", 2, [](V x) { return ours::exp(x); }, std::exp);
  check_ulps<T>("expm1", 3, [](V x) { return ours::expm1(x); }, std::expm1);
  check_ulps<T>("log", 2, [](V x) { return ours::log(x); }, std::log);
  check_ulps<T>("log1p", 2, [](V x) { return ours::log1p(x); }, std::log1p);
  // e^-|x|, rounded to T, is any number from 0 to 1.
  check_ulps<T>(
      "log1p_below_one", 3, [](V x) { return ours::log1p_below_one(ours::exp(-ours::abs(x))); },
      [](long double x) { return std::log1p(std::exp(-std::abs(x))); });
  check_ulps<T>("tanh", 4, [](V x) { return ours::tanh(x); }, std::tanh);
  check_ulps<T>(
      "sigmoid", 3, [](V x) { return ours::sigmoid(x); }, [](long double x) { return 1 / (1 + std::exp(-x)); });
  check_ulps<T>(
      "log_sigmoid", 3, [](V x) { return ours::log_sigmoid(x); },
      [](long double x) { return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x)); });
}

TEST_CASE_TEMPLATE("the normal distribution and x - tanh x keep their digits", T, float, double) {
  using V = ours::Vector<T>;
  check_ulps<T>(
      "cdf", 6, [](V x) { return ours::select(x == x, ours::normal(x).cdf, x); },
      [](long double x) { return std::erfc(-x / std::sqrt(2.0L)) / 2; });
  check_ulps<T>(
      "bell", 2, [](V x) { return ours::select(x == x, ours::normal(x).bell, x); },
      [](long double x) { return std::exp(-x * x / 2); });
  check_ulps<T>(
      "x - tanh x", 3, [](V x) { return ours::x_minus_tanh(x); },
      [](long double x) {
        // By the continued fraction of tanh, none of whose terms cancel.
        if (!(std::abs(x) < 2)) return x - std::tanh(x);
        long double rest = 0;
        for (int k = 41; k >= 5; k -= 2) rest = x * x / (static_cast<long double>(k) + rest);
        return x * x * x / (3 + x * x + rest);
      });
}

TEST_CASE_TEMPLATE("functions at zeros and ones are exact", T, float, double) {
  using V = ours::Vector<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const std::vector<T> zeros{T(0), T(-0.0)};
  CHECK(mapped(zeros, [](V x) { return ours::exp(x); }) == std::vector<T>{1, 1});
  CHECK(first_difference(mapped(zeros, [](V x) { return ours::expm1(x); }), zeros) == -1);
  CHECK(first_difference(mapped(zeros, [](V x) { return ours::log1p(x); }), zeros) == -1);
  CHECK(mapped(zeros, [](V x) { return ours::log(x); }) == std::vector<T>{-infinity, -infinity});
  CHECK(mapped<T>({T(1), infinity}, [](V x) { return ours::log(x); }) == std::vector<T>{0, infinity});
  CHECK(mapped<T>({T(-1), infinity}, [](V x) { return ours::log1p(x); }) == std::vector<T>{-infinity, infinity});
}

TEST_CASE_TEMPLATE("scaling by a power of two rounds once", T, float, double) {
  using Limits = std::numeric_limits<T>;
  for (int e = Limits::min_exponent - Limits::digits - 3; e <= Limits::max_exponent + 1; ++e) {
    const auto exponent = ours::Vector<T>::all(static_cast<T>(e));
    for (const T a : {T(1), T(1.5), 1 + Limits::epsilon(), 2 - Limits::epsilon(), T(0.75), T(0)}) {
      const auto got = mapped<T>({a}, [&](ours::Vector<T> v) { return ours::scale_by_power_of_two(v, exponent); })[0];
      CAPTURE(a);
      CAPTURE(e);
      REQUIRE(same_bits(got, std::ldexp(a, e)));
    }
  }
}

TEST_CASE_TEMPLATE("partial vectors touch their own lanes alone", T, float, double) {
  constexpr Index width = ours::Vector<T>::size;
  const auto x = numbers<T>(width, 1);
  for (Index n = 0; n <= width; ++n) {
    CAPTURE(n);
    const Guarded<T> to(n), lanes(width);
    ours::Vector<T>::load(x.data()).store(to.data(), n);
    CHECK(first_difference(to.data(), x.data(), n) == -1);
    CHECK(to.intact());
    for (const T rest : {T(0), T(-1)}) {
      ours::Vector<T>::load(x.data(), n, rest).store(lanes.data());
      for (Index i = 0; i < width; ++i) CHECK(same_bits(lanes[i], i < n ? x[at(i)] : rest));
    }
  }
}
