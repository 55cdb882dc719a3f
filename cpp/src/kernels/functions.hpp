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
  static constexpr float log1p_series[] = {0x1.dba26p-3f, 0x1.bc8cf8p-3f, 0x1.24c926p-2f, 0x1.9998d4p-2f,
                                           0x1.555556p-1f};
  static constexpr float gelu_linear[] = {0x1.988454p+0f, -0x1.857936p-25f};  // 2 sqrt(2 / pi), in two parts
  static constexpr float gelu_cubic[] = {0x1.2444f2p-4f, 0x1.49b16ap-29f};    // that times 0.044715
  static constexpr float normal_max = 15.0f;                                  // beyond: 0 and 1
  static constexpr float normal_tail[] = {0x1.70bf46p-16f, -0x1.cf514ap-20f, -0x1.c8b2f4p-13f, 0x1.1843a8p-13f,
                                          0x1.a9c96ap-10f, -0x1.c81f82p-9f,  -0x1.ee0e36p-8f,  0x1.eec4f2p-5f,
                                          -0x1.7dff3ep-3f, 0x1.8c6dbep-2f,   -0x1.373e3ap-1f,  0x1.82b4bcp-1f};
  static constexpr float tanhshrink[] = {0x1.d2d27ep-22f, -0x1.8c75d4p-17f, 0x1.09d846p-12f,
                                         -0x1.7679fcp-8f, 0x1.333332p+0f,   0x1.8p+1f};
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
  static constexpr double log1p_series[] = {
      0x1.4b0a26c5f2aefp-3, 0x1.687a6e7c95176p-4, 0x1.eb905e8575054p-4, 0x1.10ac75dc602b1p-3, 0x1.3b18b294bebf9p-3,
      0x1.745cf0b0e03bdp-3, 0x1.c71c727143318p-3, 0x1.24924923d44c6p-2, 0x1.999999999a3ddp-2, 0x1.5555555555555p-1};
  static constexpr double gelu_linear[] = {0x1.9884533d43651p+0, -0x1.cbc0d30ebfd15p-54};
  static constexpr double gelu_cubic[] = {0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c70p-61};
  static constexpr double normal_max = 39.0;
  static constexpr double normal_tail[] = {
      0x1.828df1c3afaadp-32, -0x1.0236305d3fd38p-33, -0x1.04ffdbe7bdef2p-28, -0x1.4b02181dd18fdp-31,
      0x1.7329462b6b607p-26, 0x1.33354e7ae3599p-26,  -0x1.763bb001aa685p-24, -0x1.5739b1a22c213p-23,
      0x1.24d40b9cf1122p-22, 0x1.1319f41c90a11p-20,  -0x1.523a2fde9b829p-21, -0x1.8d64fadf80ed1p-18,
      0x1.80ca2044c09bdp-21, 0x1.26d193750d626p-15,  -0x1.001f7d33a2ff5p-19, -0x1.e4a431b3465b0p-13,
      0x1.17a4aec9fa29ap-13, 0x1.ab825ff09481bp-10,  -0x1.c81719d60dcdbp-9,  -0x1.ee2761054e5e1p-8,
      0x1.eec4cc3e4db3ep-5,  -0x1.7dff2bff68052p-3,  0x1.8c6dbf2cfc2afp-2,   -0x1.373e3a893c28cp-1,
      0x1.82b4bb8c94dcep-1};
  static constexpr double tanhshrink[] = {-0x1.bbffe41e67edbp-44,
                                          0x1.c3dd6a454eddcp-39,
                                          -0x1.39d1504af166ep-34,
                                          0x1.918f89199eaafp-30,
                                          -0x1.fbe2bd6bbe5a8p-26,
                                          0x1.41759361a4c6bp-21,
                                          -0x1.997cb6dd77f98p-17,
                                          0x1.0a4e158117de4p-12,
                                          -0x1.767dce4341344p-8,
                                          0x1.333333333332bp+0,
                                          0x1.8p+1};
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

/// 1 / (1 + e^-x) from e^-|x|.
template <class T>
[[gnu::always_inline]] inline Vector<T> logistic(Vector<T> x, Vector<T> e) {
  const auto one = Vector<T>::all(T(1));
  return select(x < Vector<T>::zero(), e, one) / (one + e);
}

/// 1 / (1 + e^-x), within 3 ulp; the exponential taken of -|x| so that it never overflows.
template <class T>
[[gnu::always_inline]] inline Vector<T> sigmoid(Vector<T> x) {
  return logistic(x, exp(-abs(x)));
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

/// c[0] x^(n - 1) + c[1] x^(n - 2) + ... + c[n - 1], by Horner.
template <class T, std::size_t n>
[[gnu::always_inline]] inline Vector<T> polynomial(Vector<T> x, const T (&c)[n]) {
  auto sum = Vector<T>::all(c[0]);
  unroll<static_cast<Index>(n) - 1>([&](auto i) { sum = fma(sum, x, Vector<T>::all(c[i + 1])); });
  return sum;
}

/// log(1 + e) for e from 0 to 1, within 3 ulp and much faster: 2 atanh(s) = 2 s + s^3 P(s^2), s = e / (2 + e), P
/// interpolated in 40 digits.
template <class T>
[[gnu::always_inline]] inline Vector<T> log1p_below_one(Vector<T> e) {
  const auto s = e / (e + Vector<T>::all(T(2)));
  const auto s2 = s * s;
  return fma(s * s2, polynomial(s2, Constants<T>::log1p_series), s + s);
}

/// log(1 / (1 + e^-x)) = min(x, 0) - log(1 + e^-|x|), within 3 ulp: neither part overflows
/// nor cancels the other.
template <class T>
[[gnu::always_inline]] inline Vector<T> log_sigmoid(Vector<T> x) {
  const auto below = select(x < Vector<T>::zero(), x, Vector<T>::zero());
  return below - log1p_below_one(exp(-abs(x)));
}

/// e^-|x| for the sum of two, which a large x needs: e^x would be wrong by |x| ulp else.
template <class T>
[[gnu::always_inline]] inline Vector<T> exp_minus_abs(Sum<T> x) {
  const auto e = exp(-abs(x.high));
  const auto low = select(x.high < Vector<T>::zero(), x.low, -x.low);
  // At an infinite x its low part is NaN.
  return select(e == Vector<T>::zero(), e, fma(e, low, e));
}

/// 1 / (1 + e^-x), and 1 / (1 + e^x), which is what is left of 1, to its own last digits.
template <class T>
struct Halves {
  Vector<T> s, rest;
};
template <class T>
[[gnu::always_inline]] inline Halves<T> sigmoid_and_rest(Vector<T> x, Vector<T> e) {
  const auto one = Vector<T>::all(T(1));
  const auto larger = one / (one + e), smaller = e * larger;
  const auto below = x < Vector<T>::zero();
  return {select(below, smaller, larger), select(below, larger, smaller)};
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), within 4 ulp.
template <class T>
[[gnu::always_inline]] inline Vector<T> softplus(Sum<T> x) {
  return max(x.high, Vector<T>::zero()) + log1p_below_one(exp_minus_abs(x));
}

/// The standard normal distribution: its function Phi(x), and e^(-x^2/2), which is its density times sqrt(2 pi).
template <class T>
struct Normal {
  Vector<T> cdf, bell;
};

/// Phi(-a) e^(a^2/2) = t P((a - 4) t), t = 1 / (a + 4), for a >= 0: the map of Shepherd and Laframboise, "Chebyshev
/// approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf" (1981), P interpolated in 40 digits; Phi(x) is
/// 1 - Phi(-x). Within 6 and 2 ulp, far below 0 too, where (1 + erf) / 2 has no digits left. For NaN it is any number.
template <class T>
[[gnu::always_inline]] inline Normal<T> normal(Vector<T> x) {
  using C = Constants<T>;
  const auto one = Vector<T>::all(T(1)), half = Vector<T>::all(T(0.5));
  const auto a = min(abs(x), Vector<T>::all(C::normal_max));
  const auto [high, low] = product(a, half * a);
  const auto bell = exp_minus_abs(Sum<T>{high, low});
  const auto four = Vector<T>::all(T(4));
  const auto t = one / (a + four);
  const auto tail = bell * (t * polynomial((a - four) * t, C::normal_tail));
  return {select(x < Vector<T>::zero(), tail, one - tail), bell};
}

/// x - tanh x, within 3 ulp: up to 1.5, where the two cancel, x^3 / D(x^2), D(u) = 3 + 6/5 u - ... interpolated in 40
/// digits.
template <class T>
[[gnu::always_inline]] inline Vector<T> x_minus_tanh(Vector<T> x) {
  const auto u = x * x;
  const auto near = x * (u / polynomial(u, Constants<T>::tanhshrink));
  return select(abs(x) < Vector<T>::all(T(1.5)), near, x - tanh(x));
}

// TEMPORARY
template <class T, class F>
inline Vector<T> lanes_(Vector<T> a, Vector<T> b, F f) {
  T u[Vector<T>::size], v[Vector<T>::size];
  a.store(u); b.store(v);
  for (Index i = 0; i < Vector<T>::size; ++i) u[i] = f(u[i], v[i]);
  return Vector<T>::load(u);
}
template <class T> Vector<T> sin(Vector<T> a) { return lanes_(a, a, [](T x, T) { return T(__builtin_sin(x)); }); }
template <class T> Vector<T> cos(Vector<T> a) { return lanes_(a, a, [](T x, T) { return T(__builtin_cos(x)); }); }
template <class T> Vector<T> tan(Vector<T> a) { return lanes_(a, a, [](T x, T) { return T(__builtin_tan(x)); }); }
template <class T> Vector<T> pow(Vector<T> a, Vector<T> b) { return lanes_(a, b, [](T x, T y) { return T(__builtin_pow(x, y)); }); }

}  // namespace deltaprop::kernels
