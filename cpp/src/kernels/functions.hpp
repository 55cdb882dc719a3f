#pragma once

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
};

template <>
struct Constants<double> {
  static constexpr double log2e = 0x1.71547652b82fep+0;
  static constexpr double ln2_high = 0x1.62e42fefa3800p-1;
  static constexpr double ln2_low = 0x1.ef35793c76730p-45;
  static constexpr double exp_min = -746.0, exp_max = 710.0;
  static constexpr double tanh_max = 20.0;
  static constexpr int terms = 13;
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

/// tanh x = (e^2|x| - 1) / (e^2|x| + 1) with the sign of x, through e^x - 1 so that small x keeps its digits;
/// within 4 ulp.
template <class T>
[[gnu::always_inline]] inline Vector<T> tanh(Vector<T> x) {
  using C = Constants<T>;
  const auto one = Vector<T>::all(T(1));
  const auto size = min(abs(x), Vector<T>::all(C::tanh_max));
  const auto [n, expm1] = reduce(size + size);
  const auto power = scale_by_power_of_two(one, n);
  const auto e = fma(power, expm1, power - one);  // e^(2|x|) - 1
  const auto y = e / (e + Vector<T>::all(T(2)));
  return select(x == x, with_sign(y, x), x);
}

/// 1 / (1 + e^-x), within 3 ulp; the exponential taken of -|x| so that it never overflows.
template <class T>
[[gnu::always_inline]] inline Vector<T> sigmoid(Vector<T> x) {
  const auto one = Vector<T>::all(T(1));
  const auto e = exp(-abs(x));
  return select(x < Vector<T>::zero(), e, one) / (one + e);
}

}  // namespace deltaprop::kernels
