// Compiled with the flags of the kernels: tests the functions that the kernels use but their table does not export.
#include "functions.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
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

/// The error is at most `most` ulp for all arguments.
template <class T, class F>
void check_ulps(const std::string& name, double most, F ours, long double (*exact)(long double),
                const std::vector<T>& x = wide_range<T>()) {
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

/// The wide range, and neighbours of multiples of pi / 4 of all magnitudes.
template <class T>
std::vector<T> angles() {
  auto v = wide_range<T>();
  std::mt19937_64 bits(2);
  for (int i = 0; i < 60000; ++i) {
    const auto quarters = static_cast<long double>(bits() >> bits() % 64);
    for (const T x : {static_cast<T>(quarters * 0.785398163397448309616L), static_cast<T>(1e5 + i)}) {
      for (const T y : {x, std::nextafter(x, T(0)), -std::nextafter(2 * x, T(0))}) v.push_back(y);
    }
  }
  // The numbers of each precision that are closest to a multiple of pi / 2.
  v.push_back(static_cast<T>(std::ldexp(16367173.0, 72)));
  v.push_back(static_cast<T>(std::ldexp(6381956970095103.0, sizeof(T) == 4 ? 0 : 797)));
  return v;
}

template <class T>
struct Pair {
  T x, y;
};

template <class T>
std::vector<T> powers(const std::vector<Pair<T>>& pairs) {
  std::vector<T> x, y, z(pairs.size());
  for (const auto& pair : pairs) x.push_back(pair.x), y.push_back(pair.y);
  ours::for_each_vector<T>(static_cast<Index>(z.size()), [&](Index i, auto load, auto store) {
    store(z.data() + i, ours::pow(load(x.data() + i), load(y.data() + i)));
  });
  return z;
}

}  // namespace

TEST_CASE_TEMPLATE("elementary functions are accurate to a few ulp over the whole range", T, float, double) {
  using V = ours::Vector<T>;
  check_ulps<T>("exp", 1.1, [](V x) { return ours::exp(x); }, std::exp);
  check_ulps<T>("expm1", 3, [](V x) { return ours::expm1(x); }, std::expm1);
  check_ulps<T>("log", 1, [](V x) { return ours::log(x); }, std::log);
  check_ulps<T>("log1p", 1, [](V x) { return ours::log1p(x); }, std::log1p);
  // e^-|x|, rounded to T, covers [0, 1].
  check_ulps<T>(
      "log1p_below_one", 3, [](V x) { return ours::log1p_below_one(ours::exp(-ours::abs(x))); },
      [](long double x) { return std::log1p(std::exp(-std::abs(x))); });
  check_ulps<T>("tanh", 3, [](V x) { return ours::tanh(x); }, std::tanh);
  check_ulps<T>(
      "sigmoid", 3, [](V x) { return ours::sigmoid(x); }, [](long double x) { return 1 / (1 + std::exp(-x)); });
  check_ulps<T>(
      "log_sigmoid", 3, [](V x) { return ours::log_sigmoid(x); },
      [](long double x) { return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x)); });
}

TEST_CASE_TEMPLATE("the normal distribution and x - tanh x are accurate to a few ulp", T, float, double) {
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
        // By the continued fraction of tanh, which is free of cancellation.
        if (!(std::abs(x) < 2)) return x - std::tanh(x);
        long double rest = 0;
        for (int k = 41; k >= 5; k -= 2) rest = x * x / (static_cast<long double>(k) + rest);
        return x * x * x / (3 + x * x + rest);
      });
}

TEST_CASE_TEMPLATE("sin, cos and tan are accurate to a few ulp for any angle", T, float, double) {
  using V = ours::Vector<T>;
  const auto x = angles<T>();
  check_ulps<T>("sin", 2, [](V v) { return ours::sin(v); }, std::sin, x);
  check_ulps<T>("cos", 2, [](V v) { return ours::cos(v); }, std::cos, x);
  check_ulps<T>("tan", 3, [](V v) { return ours::tan(v); }, std::tan, x);
}

TEST_CASE_TEMPLATE("exp and log are accurate to a few ulp on a million arguments", T, float, double) {
  using V = ours::Vector<T>;
  std::mt19937_64 bits(4);
  std::vector<T> any, positive;
  for (int i = 0; i < 1000000; ++i) {
    const double unit = static_cast<double>(bits() >> 11) * 0x1p-53;
    any.push_back(static_cast<T>((i % 2 == 0 ? 2 : 80) * (2 * unit - 1)));
    positive.push_back(static_cast<T>(i % 2 == 0 ? 0.5 + unit : 1000 * unit));
  }
  check_ulps<T>("exp", 1.1, [](V x) { return ours::exp(x); }, std::exp, any);
  check_ulps<T>("tanh", 3, [](V x) { return ours::tanh(x); }, std::tanh, any);
  check_ulps<T>("log", 1, [](V x) { return ours::log(x); }, std::log, positive);
  check_ulps<T>("log1p", 1, [](V x) { return ours::log1p(x); }, std::log1p, positive);
}

TEST_CASE_TEMPLATE("a result does not depend on the other lanes", T, float, double) {
  // All magnitudes, so that most vectors have lanes on the slow path.
  auto x = wide_range<T>();
  std::shuffle(x.begin(), x.end(), std::mt19937_64(5));
  const auto check = [&x](const std::string& name, auto f) {
    const auto y = mapped(x, f);
    const auto alone = [&](std::size_t i) { return ours::first_lane(f(ours::Vector<T>::all(x[i]))); };
    std::size_t same = 0;
    while (same < x.size() && same_bits(y[same], alone(same))) ++same;
    CAPTURE(name);
    CHECK(same == x.size());
  };
  using V = ours::Vector<T>;
  check("exp", [](V v) { return ours::exp(v); });
  check("expm1", [](V v) { return ours::expm1(v); });
  check("log", [](V v) { return ours::log(v); });
  check("log1p", [](V v) { return ours::log1p(v); });
  check("tanh", [](V v) { return ours::tanh(v); });
  check("sin", [](V v) { return ours::sin(v); });
  check("pow", [](V v) { return ours::pow(v, V::all(T(1.75))); });
}

TEST_CASE_TEMPLATE("pow is accurate to 2 ulp", T, float, double) {
  using Limits = std::numeric_limits<T>;
  std::vector<Pair<T>> pairs;
  std::mt19937_64 bits(3);
  const auto unit = [&] { return static_cast<double>(bits() >> 11) * 0x1p-52 - 1; };  // -1 to 1
  const auto add = [&](double x, double power) {                                      // x^y of about 2^power
    const T base = static_cast<T>(x), log = std::log2(base);
    pairs.push_back({base, log == 0 ? T(1) : static_cast<T>(power) / log});
  };
  for (int i = 0; i < 30000; ++i) {
    pairs.push_back({static_cast<T>(5 + 5 * unit()), static_cast<T>(5 * unit())});
    pairs.push_back(
        {static_cast<T>(static_cast<int>(bits() % 200) - 100), static_cast<T>(static_cast<int>(bits() % 40) - 20)});
    const double power = (Limits::max_exponent + Limits::digits) * unit();
    add(std::ldexp(1.5 + unit() / 2, static_cast<int>(Limits::max_exponent * unit())), power);
    add(std::ldexp(1.5 + unit() / 2, Limits::min_exponent - static_cast<int>(bits() % Limits::digits)), power);
    add(1 + std::ldexp(unit(), -static_cast<int>(bits() % Limits::digits)), power);
    add(0x1.6a09e667f3bcdp-1 * (1 + unit() / 100), power);
  }
  const auto z = powers(pairs);
  double worst = 0;
  Pair<T> where{};
  for (std::size_t i = 0; i < z.size(); ++i) {
    const auto [x, y] = pairs[i];
    const double distance = ulps(z[i], std::pow(static_cast<long double>(x), static_cast<long double>(y)));
    if (distance > worst) worst = distance, where = pairs[i];
  }
  CAPTURE(where.x);
  CAPTURE(where.y);
  CHECK(worst <= 2);
}

TEST_CASE_TEMPLATE("pow of 0, 1, infinity and negative numbers agrees with C", T, float, double) {
  using Limits = std::numeric_limits<T>;
  const T odd = 2 / Limits::epsilon() - 1;  // the largest odd number
  std::vector<T> ends;
  for (const T a : {T(0), T(0.5), T(1), 1 - Limits::epsilon() / 2, 1 + Limits::epsilon(), T(1.5), T(2), T(3), odd,
                    odd + 1, Limits::denorm_min(), Limits::max(), Limits::infinity(), Limits::quiet_NaN()}) {
    ends.push_back(a), ends.push_back(-a);
  }
  std::vector<Pair<T>> pairs;
  for (const T x : ends) {
    for (const T y : ends) pairs.push_back({x, y});
  }
  const auto z = powers(pairs);
  for (std::size_t i = 0; i < z.size(); ++i) {
    const long double exact = std::pow(static_cast<long double>(pairs[i].x), static_cast<long double>(pairs[i].y));
    CAPTURE(pairs[i].x);
    CAPTURE(pairs[i].y);
    CHECK(ulps(z[i], exact) <= 2);
    if (!std::isnan(exact)) CHECK(std::signbit(z[i]) == std::signbit(exact));
  }
}

TEST_CASE_TEMPLATE("elementary functions are exact at 0 and 1", T, float, double) {
  using V = ours::Vector<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const std::vector<T> zeros{T(0), T(-0.0)};
  CHECK(mapped(zeros, [](V x) { return ours::exp(x); }) == std::vector<T>{1, 1});
  CHECK(first_difference(mapped(zeros, [](V x) { return ours::expm1(x); }), zeros) == -1);
  CHECK(first_difference(mapped(zeros, [](V x) { return ours::log1p(x); }), zeros) == -1);
  CHECK(first_difference(mapped(zeros, [](V x) { return ours::sin(x); }), zeros) == -1);
  CHECK(first_difference(mapped(zeros, [](V x) { return ours::tan(x); }), zeros) == -1);
  CHECK(mapped(zeros, [](V x) { return ours::cos(x); }) == std::vector<T>{1, 1});
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

TEST_CASE_TEMPLATE("partial loads and stores access their own lanes only", T, float, double) {
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
