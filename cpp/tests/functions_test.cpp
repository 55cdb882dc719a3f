// Compiled as the kernels are: what they are built of, which their table does not show.
#include "functions.hpp"

#include <doctest/doctest.h>

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

}  // namespace

TEST_CASE_TEMPLATE("exp is within 2 ulp", T, float, double) {
  const auto x = wide_range<T>();
  const auto y = mapped(x, [](ours::Vector<T> v) { return ours::exp(v); });
  double worst = 0;
  T where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double distance = ulps(y[i], std::exp(static_cast<long double>(x[i])));
    if (distance > worst) worst = distance, where = x[i];
  }
  CAPTURE(where);
  CHECK(worst <= 2);
  CHECK(mapped<T>({T(0), T(-0.0)}, [](ours::Vector<T> v) { return ours::exp(v); }) == std::vector<T>{1, 1});
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
