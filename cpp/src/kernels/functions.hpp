#pragma once

#include <limits>

#include "vector.hpp"

/// Elementary functions of our own: libm's and Eigen's differ between machines and instruction sets.
namespace deltaprop::kernels {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  static constexpr float log2e = 0x1.715476p+0f;
  static constexpr float ln2_high = 0x1.62e4p-1f;  // few enough bits that n * ln2_high is exact
  static constexpr float ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float exp_min = -104.0f, exp_max = 89.0f;  // beyond: 0 and infinity
  static constexpr float tanh_max = 10.0f;                    // beyond: 1 to the last bit
  static constexpr int terms = 7;                             // of the Taylor series, for |r| <= ln2 / 2
  static constexpr float root_half = 0x1.6a09e6p-1f;
  static constexpr int log_terms = 4;
};

template <>
struct Constants<double> {
  static constexpr double log2e = 0x1.71547652b82fep+0;
  static constexpr double ln2_high = 0x1.62e42fefa3800p-1;
  static constexpr double ln2_low = 0x1.ef35793c76730p-45;
  static constexpr double exp_min = -746.0, exp_max = 710.0;
  static constexpr double tanh_max = 20.0;
  static constexpr int terms = 13;
  static constexpr double root_half = 0x1.6a09e667f3bcdp-1;
  static constexpr int log_terms = 10;
};

/// x = n ln 2 + r with n whole and |r| <= ln2 / 2; gives n and e^r - 1 (Taylor, by Horner).
template <class T>
struct Reduced {
  Vector<T> n;
  Vector<T> expm1;
};

template <class T>
[[gnu::always_inline]] inline Reduced<T> reduce(Vector<T> x) {
  using C = Constants<T>;
  const auto n = round(x * Vector<T>::all(C::log2e));
  const auto r = fma(n, Vector<T>::all(-C::ln2_low), fma(n, Vector<T>::all(-C::ln2_high), x));
  auto series = Vector<T>::zero();
  // e^r - 1 = r + r^2 (1/2! + r/3! + r^2/4! + ...)
  unroll<C::terms - 1>([&](auto i) {
    constexpr int order = C::terms - static_cast<int>(i);
    constexpr T inverse_factorial = [] {
      double product = 1;
      for (int k = 2; k <= order; ++k) product *= k;
      return static_cast<T>(1 / product);
    }();
    series = fma(series, r, Vector<T>::all(inverse_factorial));
  });
  return {n, fma(series, r * r, r)};
}

/// e^x, within 2 ulp; NaN stays NaN.
template <class T>
[[gnu::always_inline]] inline Vector<T> exp(Vector<T> x) {
  using C = Constants<T>;
  const auto inside = max(min(x, Vector<T>::all(C::exp_max)), Vector<T>::all(C::exp_min));
  const auto [n, expm1] = reduce(inside);
  const auto y = scale_by_power_of_two(Vector<T>::all(T(1)) + expm1, n);
  return select(x == x, y, x);
}

/// (e^x - 1) / 2 for an x that exp bears; the half of it, so that 2^n does not overflow before e^x does.
template <class T>
[[gnu::always_inline]] inline Vector<T> half_expm1(Vector<T> x) {
  const auto half = Vector<T>::all(T(0.5));
  const auto [n, expm1] = reduce(x);
  const auto power = scale_by_power_of_two(half, n);
  return fma(power, expm1, power - half);
}

/// e^x - 1, within 3 ulp; NaN stays NaN, -0 stays -0.
template <class T>
[[gnu::always_inline]] inline Vector<T> expm1(Vector<T> x) {
  using C = Constants<T>;
  const auto y = half_expm1(max(min(x, Vector<T>::all(C::exp_max)), Vector<T>::all(C::exp_min)));
  return select(x == x, with_sign(y + y, x), x);
}

/// tanh x = (e^2|x| - 1) / (e^2|x| + 1) with the sign of x, through e^x - 1 so that small x keeps its digits;
/// within 4 ulp.
template <class T>
[[gnu::always_inline]] inline Vector<T> tanh(Vector<T> x) {
  const auto size = min(abs(x), Vector<T>::all(Constants<T>::tanh_max));
  const auto half = half_expm1(size + size);
  const auto y = half / (half + Vector<T>::all(T(1)));
  return select(x == x, with_sign(y, x), x);
}

/// 1 / (1 + e^-x), within 3 ulp; the exponential taken of -|x| so that it never overflows.
template <class T>
[[gnu::always_inline]] inline Vector<T> sigmoid(Vector<T> x) {
  const auto one = Vector<T>::all(T(1));
  const auto e = exp(-abs(x));
  return select(x < Vector<T>::zero(), e, one) / (one + e);
}

/// log(x + rest), rest below x's last place, for a finite x > 0:
/// x = 2^n (1 + f), log(1 + f) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + 2/3 s^2 + 2/5 s^4 + ...)), s = f / (2 + f).
template <class T>
[[gnu::always_inline]] inline Vector<T> log_of_sum(Vector<T> x, Vector<T> rest) {
  using C = Constants<T>;
  const auto one = Vector<T>::all(T(1));
  const auto [mantissa, exponent] = split(x);
  const auto low = mantissa < Vector<T>::all(C::root_half);
  const auto n = select(low, exponent - one, exponent);
  const auto f = select(low, mantissa + mantissa, mantissa) - one;
  const auto s = f / (f + Vector<T>::all(T(2)));
  const auto s2 = s * s;
  auto series = Vector<T>::zero();
  unroll<C::log_terms>([&](auto i) {
    constexpr int order = 2 * (C::log_terms - static_cast<int>(i)) + 1;
    series = fma(series, s2, Vector<T>::all(static_cast<T>(2.0 / order)));
  });
  const auto half_square = Vector<T>::all(T(0.5)) * f * f;
  const auto small = fma(n, Vector<T>::all(C::ln2_low), rest / x);
  const auto tail = fma(s, fma(series, s2, half_square), small);
  return fma(n, Vector<T>::all(C::ln2_high), f - (half_square - tail));
}

/// log x where that is not the logarithm of a finite positive number: `y` elsewhere.
template <class T>
[[gnu::always_inline]] inline Vector<T> log_at_the_ends(Vector<T> x, Vector<T> y) {
  const auto infinity = Vector<T>::all(std::numeric_limits<T>::infinity());
  const auto nan = Vector<T>::all(std::numeric_limits<T>::quiet_NaN());
  const auto at_zero = select(x == Vector<T>::zero(), -infinity, nan);
  return select(Vector<T>::zero() < x, select(x == infinity, x, y), at_zero);
}

/// log x, within 2 ulp; -infinity at 0, NaN below it.
template <class T>
[[gnu::always_inline]] inline Vector<T> log(Vector<T> x) {
  return log_at_the_ends(x, log_of_sum(x, Vector<T>::zero()));
}

/// log(1 + x), within 2 ulp, -0 stays -0; -infinity at -1, NaN below it.
template <class T>
[[gnu::always_inline]] inline Vector<T> log1p(Vector<T> x) {
  const auto one = Vector<T>::all(T(1));
  const auto sum = one + x;
  // What rounding took from the sum, the larger of the two subtracted first (Dekker).
  const auto rest = select(one < abs(x), one - (sum - x), x - (sum - one));
  return select(x == Vector<T>::zero(), x, log_at_the_ends(sum, log_of_sum(sum, rest)));
}

/// log(1 / (1 + e^-x)) = min(x, 0) - log(1 + e^-|x|), within 3 ulp: neither part overflows
/// nor cancels the other.
template <class T>
[[gnu::always_inline]] inline Vector<T> log_sigmoid(Vector<T> x) {
  const auto below = select(x < Vector<T>::zero(), x, Vector<T>::zero());
  return below - log1p(exp(-abs(x)));
}

}  // namespace deltaprop::kernels
