#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "vector.hpp"

/// Elementary functions. Results of libm and Eigen differ between machines and instruction sets; these do not.
namespace deltaprop::kernels {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  static constexpr float log2e = 0x1.715476p+0f;
  static constexpr float ln2_high = 0x1.62e4p-1f;  // so short that n * ln2_high is exact
  static constexpr float ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float exp_min = -104.0f, exp_max = 89.0f;  // beyond: 0 and infinity
  static constexpr float exp_normal = 87.0f;                  // up to here e^x and e^-x are normal numbers
  static constexpr float tanh_max = 10.0f;                    // beyond: 1 to the last bit
  static constexpr float expm1_series[] = {0x1.6b6e4cp-10f, 0x1.122f88p-7f, 0x1.55568cp-5f, 0x1.5554a4p-3f, 0.5f};
  static constexpr float log_series[] = {-0x1.2ee656p-2f, -0x1.997c2ep-2f, -0x1.55555cp-1f};
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
  static constexpr float sine[] = {-0x1.9ac9bp-13f, 0x1.110c28p-7f, -0x1.555552p-3f};
  static constexpr float cosine[] = {0x1.9bd89cp-16f, -0x1.6c12d2p-10f, 0x1.555554p-5f, -0.5f, 1.0f};
  static constexpr float tangent[] = {0x1.f7ba82p-9f, 0x1.36b924p-10f, 0x1.467094p-7f, 0x1.623d94p-6f,
                                      0x1.ba529ap-5f, 0x1.111088p-3f,  0x1.555556p-2f};
  static constexpr float power_of_two[] = {0x1.44138ap-13f, 0x1.5f089p-10f, 0x1.3b2a54p-7f,
                                           0x1.c6af6cp-5f,  0x1.ebfbep-3f,  0x1.62e43p-1f};
};

template <>
struct Constants<double> {
  static constexpr double log2e = 0x1.71547652b82fep+0;
  static constexpr double ln2_high = 0x1.62e42fefa3800p-1;
  static constexpr double ln2_low = 0x1.ef35793c76730p-45;
  static constexpr double exp_min = -746.0, exp_max = 710.0;
  static constexpr double exp_normal = 708.0;
  static constexpr double tanh_max = 20.0;
  static constexpr double expm1_series[] = {
      0x1.ad2028e291f74p-26, 0x1.289f8b4e9474fp-22, 0x1.71df55354676cp-19, 0x1.a019ab2cc45e8p-16, 0x1.a01a011c29446p-13,
      0x1.6c16c17cc3535p-10, 0x1.1111111128864p-7,  0x1.5555555553206p-5,  0x1.5555555555501p-3,  0.5};
  static constexpr double log_series[] = {-0x1.2b5900de53b32p-3, -0x1.39fe51a7c18f9p-3, -0x1.7462b51cb66b1p-3,
                                          -0x1.c71c62e3f11e6p-3, -0x1.2492492df281ap-2, -0x1.99999999952d7p-2,
                                          -0x1.5555555555558p-1};
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
  static constexpr double sine[] = {0x1.5e0b19c752b8ep-33,  -0x1.ae600b022d198p-26, 0x1.71de3796898c8p-19,
                                    -0x1.a01a019e83aa8p-13, 0x1.1111111110bb2p-7,   -0x1.5555555555555p-3};
  static constexpr double cosine[] = {-0x1.907da33638fbcp-37,
                                      0x1.1eeb68e8f6cdfp-29,
                                      -0x1.27e4fa17d9c81p-22,
                                      0x1.a01a019f4eafdp-16,
                                      -0x1.6c16c16c16967p-10,
                                      0x1.5555555555555p-5,
                                      -0.5,
                                      1.0};
  static constexpr double tangent[] = {0x1.1ca78f2d6e011p-17,  -0x1.33482218c7f93p-16, 0x1.325236a6e3c31p-15,
                                       -0x1.718f90da1ab96p-17, 0x1.d24e3b6b092e6p-15,  0x1.796cd1572f38fp-14,
                                       0x1.f9e36c1dbde47p-13,  0x1.351b7f6c76ec2p-11,  0x1.7da7fa9d3883fp-10,
                                       0x1.d6d39444d44c2p-9,   0x1.226e3662c7f47p-7,   0x1.664f487d82596p-6,
                                       0x1.ba1ba1ba29c22p-5,   0x1.1111111111099p-3,   0x1.5555555555555p-2};
  static constexpr double power_of_two[] = {0x1.e9d3fe5d26c1bp-32, 0x1.e6063f990bb8ap-28, 0x1.b524fae6156f4p-24,
                                            0x1.62bfd4775fbb5p-20, 0x1.ffcbfc670dd34p-17, 0x1.430913096fe05p-13,
                                            0x1.5d87fe78a5276p-10, 0x1.3b2ab6fba1ddap-7,  0x1.c6b08d704a0c2p-5,
                                            0x1.ebfbdff82c598p-3,  0x1.62e42fefa39efp-1};
  // log2 m = s (a + b s^2 + s^4 P(s^2)), s = (m - 1) / (m + 1), a and b as double-double; log2_short: one polynomial in
  // s^2, for float.
  static constexpr double log2_first[] = {0x1.71547652b82fep+1, 0x1.777d0ffda0d24p-55};
  static constexpr double log2_second[] = {0x1.ec709dc3a03fdp-1, 0x1.d27f05548af0cp-55};
  static constexpr double log2_series[] = {0x1.5a5fbbf26f582p-3, 0x1.59e09f3ee5f43p-3, 0x1.89fed19e58092p-3,
                                           0x1.c68f2f05e7d79p-3, 0x1.0c9a84bf4ba0ap-2, 0x1.484b13d79c40ep-2,
                                           0x1.a61762a7adfa8p-2, 0x1.2776c50ef9bfep-1};
  static constexpr double log2_short[] = {0x1.5ce3a0bdf9d26p-2, 0x1.a58dcea71d104p-2, 0x1.27777f4660d17p-1,
                                          0x1.ec709d13c028bp-1, 0x1.71547652bed14p+1};
};

/// c[0] x^(n - 1) + c[1] x^(n - 2) + ... + c[n - 1], by Horner.
template <class T, std::size_t n>
[[gnu::always_inline]] inline Vector<T> polynomial(Vector<T> x, const T (&c)[n]) {
  auto sum = Vector<T>::all(c[0]);
  unroll<static_cast<Index>(n) - 1>([&](Index i) INLINED { sum = fma(sum, x, Vector<T>::all(c[i + 1])); });
  return sum;
}

/// The same polynomial as (c[0] x + c[1]) x^2 + (c[2] x + c[3]) ...: half the dependency chain of Horner's scheme, for
/// functions limited by latency.
template <class T, std::size_t n>
[[gnu::always_inline]] inline Vector<T> polynomial_by_pairs(Vector<T> x, const T (&c)[n]) {
  constexpr Index odd = n % 2;
  const auto square = x * x;
  auto sum = odd ? Vector<T>::all(c[0]) : fma(Vector<T>::all(c[0]), x, Vector<T>::all(c[1]));
  unroll<static_cast<Index>(n) / 2 - 1 + odd>([&](Index i) INLINED {
    const Index k = 2 * i + 2 - odd;
    sum = fma(sum, square, fma(Vector<T>::all(c[k]), x, Vector<T>::all(c[k + 1])));
  });
  return sum;
}

/// Range reduction of exp: x = n ln 2 + r with integer n and |r| <= ln2 / 2. `power` is 2^n if that is a normal number,
/// `expm1` is e^r - 1 = r + r^2 P(r), P minimax in the relative error of e^r (Remez, in 50 digits).
template <class T>
struct Reduced {
  Vector<T> n, power, expm1;
};

template <class T>
[[gnu::always_inline]] inline Reduced<T> reduce(Vector<T> x) {
  using C = Constants<T>;
  using B = Bits<T>;
  // At this magnitude the sum is rounded to an integer, and its low bits are the exponent field of 2^n.
  const auto base = Vector<T>::all(T(1.5) * B::base + B::bias);
  const auto shifted = fma(x, Vector<T>::all(C::log2e), base);
  const auto n = shifted - base;
  const auto r = fma(n, Vector<T>::all(-C::ln2_low), fma(n, Vector<T>::all(-C::ln2_high), x));
  const auto expm1 = fma(polynomial_by_pairs(r, C::expm1_series), r * r, r);
  return {n, B::number(B::of(shifted) << B::mantissa), expm1};
}

/// Lanes in which e^x and e^-x are normal numbers. Almost always all of them: the fast path.
template <class T>
[[gnu::always_inline]] inline Mask<T> exp_is_normal(Vector<T> x) {
  return abs(x) < Vector<T>::all(Constants<T>::exp_normal);
}

/// exp for all x, including overflow, underflow and NaN.
template <class T>
[[gnu::noinline, gnu::cold]] Vector<T> exp_full_range(Vector<T> x) {
  using C = Constants<T>;
  const auto [n, power, expm1] = reduce(max(min(x, Vector<T>::all(C::exp_max)), Vector<T>::all(C::exp_min)));
  return select(x == x, scale_by_power_of_two(Vector<T>::all(T(1)) + expm1, n), x);
}

/// e^x, error at most 1.1 ulp; NaN propagates.
template <class T>
[[gnu::always_inline]] inline Vector<T> exp(Vector<T> x) {
  if (!all(exp_is_normal(x))) [[unlikely]] {
    return exp_full_range(x);
  }
  const auto [n, power, expm1] = reduce(x);
  return fma(power, expm1, power);
}

/// e^x - 1, error at most 3 ulp; NaN propagates, -0 gives -0.
template <class T>
[[gnu::always_inline]] inline Vector<T> expm1(Vector<T> x) {
  const auto one = Vector<T>::all(T(1));
  const auto [n, power, expm1] = reduce(x);
  const auto y = with_sign(fma(power, expm1, power - one), x);
  const auto normal = exp_is_normal(x);
  if (!all(normal)) [[unlikely]] {
    return select(normal, y, exp_full_range(x) - one);
  }
  return y;
}

/// tanh x = (e^2|x| - 1) / (e^2|x| + 1) with the sign of x, from expm1, which does not cancel for small x; error at
/// most 3 ulp.
template <class T>
[[gnu::always_inline]] inline Vector<T> tanh(Vector<T> x) {
  const auto size = min(abs(x), Vector<T>::all(Constants<T>::tanh_max));
  const auto [n, power, expm1] = reduce(size + size);
  const auto over = fma(power, expm1, power - Vector<T>::all(T(1)));
  return with_sign(over / (over + Vector<T>::all(T(2))), x);
}

/// 1 / (1 + e^-x), given e = e^-|x|.
template <class T>
[[gnu::always_inline]] inline Vector<T> logistic(Vector<T> x, Vector<T> e) {
  const auto one = Vector<T>::all(T(1));
  return select(x < Vector<T>::zero(), e, one) / (one + e);
}

/// 1 / (1 + e^-x), error at most 3 ulp; from e^-|x|, which cannot overflow.
template <class T>
[[gnu::always_inline]] inline Vector<T> sigmoid(Vector<T> x) {
  return logistic(x, exp(-abs(x)));
}

/// log(2^n m) - correction for m in [sqrt(1/2), sqrt(2)): with m = 1 + f and s = f / (2 + f), log m = 2 atanh(s) =
/// f - s (f + s^2 P(s^2)), P interpolated in 40 digits.
template <class T>
[[gnu::always_inline]] inline Vector<T> log_of(Split<T> x, Vector<T> correction) {
  using C = Constants<T>;
  const auto one = Vector<T>::all(T(1));
  const auto [m, n] = x;
  const auto f = m - one, s = f / (m + one), s2 = s * s;
  const auto less = fma(s2, polynomial_by_pairs(s2, C::log_series), f);
  const auto low = fma(s, less, fma(n, Vector<T>::all(-C::ln2_low), correction));
  return fma(n, Vector<T>::all(C::ln2_high), f - low);
}

/// Lanes in which x is a positive normal number. Almost always all of them: the fast path.
template <class T>
[[gnu::always_inline]] inline Mask<T> is_normal(Vector<T> x) {
  const auto smallest = Vector<T>::all(std::numeric_limits<T>::min()),
             largest = Vector<T>::all(std::numeric_limits<T>::max());
  return (smallest <= x) & (x <= largest);
}

/// log for all x, including subnormal numbers, 0, negative numbers, infinity and NaN.
template <class T>
[[gnu::noinline, gnu::cold]] Vector<T> log_full_range(Vector<T> x) {
  const auto infinity = Vector<T>::all(std::numeric_limits<T>::infinity());
  const auto nan = Vector<T>::all(std::numeric_limits<T>::quiet_NaN());
  const auto y = log_of(split(x), Vector<T>::zero());
  const auto at_zero = select(x == Vector<T>::zero(), -infinity, nan);
  return select(Vector<T>::zero() < x, select(x == infinity, x, y), at_zero);
}

/// log x, error at most 1 ulp; -infinity at 0, NaN for negative x.
template <class T>
[[gnu::always_inline]] inline Vector<T> log(Vector<T> x) {
  if (!all(is_normal(x))) [[unlikely]] {
    return log_full_range(x);
  }
  return log_of(split_normal(x), Vector<T>::zero());
}

/// log(1 + x), error at most 1 ulp; -0 gives -0, -1 gives -infinity, smaller x NaN.
template <class T>
[[gnu::always_inline]] inline Vector<T> log1p(Vector<T> x) {
  const auto one = Vector<T>::all(T(1));
  const auto sum = one + x;
  // The rounding error of the sum (Knuth's TwoSum).
  const auto rounded = sum - one, error = ((sum - rounded) - one) + (rounded - x);
  const auto y = log_of(split_normal(sum), error / sum);
  const auto normal = is_normal(sum);
  const auto z = all(normal) ? y : select(normal, y, log_full_range(sum));
  return select(x == Vector<T>::zero(), x, z);
}

/// log(1 + e) for e in [0, 1], error at most 3 ulp, much faster than log1p: 2 atanh(s) = 2 s + s^3 P(s^2),
/// s = e / (2 + e), P interpolated in 40 digits.
template <class T>
[[gnu::always_inline]] inline Vector<T> log1p_below_one(Vector<T> e) {
  const auto s = e / (e + Vector<T>::all(T(2)));
  const auto s2 = s * s;
  return fma(s * s2, polynomial_by_pairs(s2, Constants<T>::log1p_series), s + s);
}

/// log(1 / (1 + e^-x)) = min(x, 0) - log(1 + e^-|x|), error at most 3 ulp: no overflow, no cancellation.
template <class T>
[[gnu::always_inline]] inline Vector<T> log_sigmoid(Vector<T> x) {
  const auto below = select(x < Vector<T>::zero(), x, Vector<T>::zero());
  return below - log1p_below_one(exp(-abs(x)));
}

/// e^-|x| for a double-double x: the error of a rounded x would be amplified to |x| ulp of the result.
template <class T>
[[gnu::always_inline]] inline Vector<T> exp_minus_abs(Sum<T> x) {
  const auto e = exp(-abs(x.high));
  const auto low = select(x.high < Vector<T>::zero(), x.low, -x.low);
  // For infinite x, the low part is NaN.
  return select(e == Vector<T>::zero(), e, fma(e, low, e));
}

/// s = 1 / (1 + e^-x) and rest = 1 - s = 1 / (1 + e^x), both without cancellation.
template <class T>
struct SigmoidPair {
  Vector<T> s, rest;
};
template <class T>
[[gnu::always_inline]] inline SigmoidPair<T> sigmoid_and_rest(Vector<T> x, Vector<T> e) {
  const auto one = Vector<T>::all(T(1));
  const auto larger = one / (one + e), smaller = e * larger;
  const auto below = x < Vector<T>::zero();
  return {select(below, smaller, larger), select(below, larger, smaller)};
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), error at most 4 ulp.
template <class T>
[[gnu::always_inline]] inline Vector<T> softplus(Sum<T> x) {
  return max(x.high, Vector<T>::zero()) + log1p_below_one(exp_minus_abs(x));
}

/// Standard normal distribution: cdf Phi(x), and bell e^(-x^2/2), the density times sqrt(2 pi).
template <class T>
struct Normal {
  Vector<T> cdf, bell;
};

/// Phi(-a) e^(a^2/2) = t P((a - 4) t), t = 1 / (a + 4), for a >= 0: the map of Shepherd and Laframboise, "Chebyshev
/// approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf" (1981), P interpolated in 40 digits; Phi(x) is
/// 1 - Phi(-x). Errors at most 6 ulp (cdf) and 2 ulp (bell), also far below 0, where (1 + erf) / 2 cancels. Unspecified
/// for NaN.
template <class T>
[[gnu::always_inline]] inline Normal<T> normal(Vector<T> x) {
  using C = Constants<T>;
  const auto one = Vector<T>::all(T(1)), half = Vector<T>::all(T(0.5));
  const auto a = min(abs(x), Vector<T>::all(C::normal_max));
  const auto [high, low] = product(a, half * a);
  const auto bell = exp_minus_abs(Sum<T>{high, low});
  const auto four = Vector<T>::all(T(4));
  const auto t = one / (a + four);
  const auto tail = bell * (t * polynomial_by_pairs((a - four) * t, C::normal_tail));
  return {select(x < Vector<T>::zero(), tail, one - tail), bell};
}

/// x - tanh x, error at most 3 ulp. For |x| < 1.5, where the difference cancels, x^3 / D(x^2), D(u) = 3 + 6/5 u - ...
/// interpolated in 40 digits.
template <class T>
[[gnu::always_inline]] inline Vector<T> x_minus_tanh(Vector<T> x) {
  const auto u = x * x;
  const auto small = x * (u / polynomial(u, Constants<T>::tanhshrink));
  return select(abs(x) < Vector<T>::all(T(1.5)), small, x - tanh(x));
}

/// Range reduction of sin, cos and tan: x = quarters pi / 2 + rest, |rest| <= pi / 4, quarters an integer modulo 4.
template <class T>
struct Angle {
  Vector<T> quarters, rest;
};

inline constexpr double two_over_pi = 0x1.45f306dc9c883p-1;
/// pi / 2 in three parts. The first two are so short that their products with integers up to 2^16 are exact, which
/// suffices for angles up to `angle_max`.
inline constexpr double half_pi[] = {0x1.921fb54440000p+0, 0x1.68c234c4c0000p-39, 0x1.98a2e03707345p-77};
template <class T>
inline constexpr T angle_max = T(1e5);
/// The first 1216 bits of 2 / pi, after 64 zeros.
inline constexpr std::uint64_t two_over_pi_bits[] = {
    0x0000000000000000, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41,
    0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d, 0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab};

/// Range reduction of one large finite number, accurate to the last place (Payne and Hanek): x times the bits of 2 / pi
/// except for those that contribute only multiples of 4. Signs are applied by masks: a branch on them would be
/// mispredicted half the time.
template <class T>
inline void reduce_large(T x, T& quarters, T& rest) {
  __extension__ using Wide = unsigned __int128;
  constexpr std::uint64_t one = 1;
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(x));
  const std::uint64_t m = (bits & ((one << 52) - 1)) | one << 52;
  const std::uint64_t start = (bits >> 52 & 0x7ff) - 1075 + 62;  // for x = m 2^e the bit of 2^(1 - e)
  const auto word = [start](std::uint64_t i) -> Wide {           // 64 bits of 2 / pi from bit `start` + 64 i
    const std::uint64_t *at = two_over_pi_bits + start / 64 + i, shift = start % 64;
    return at[0] << shift | at[1] >> 1 >> (63 - shift);
  };
  const Wide negative = -Wide(bits >> 63);
  const Wide turn =
      (((m * word(0) << 64) + m * word(1) + (m * word(2) >> 64)) ^ negative) - negative;  // in 2^-128 turns
  const Wide part = turn << 2, below = -(part >> 127);  // fraction of a quarter in 2^-128; a mask if above 1/2
  const Wide size = (part ^ below) - below;
  // No double is closer than 2^-62 to a multiple of pi / 2, so the leading word is not 0.
  const int zeros = std::countl_zero(static_cast<std::uint64_t>(size >> 64));
  const Wide whole = 0xc90fdaa22168c235;                                             // pi / 2
  const auto arc = static_cast<std::uint64_t>((size << zeros >> 64) * whole >> 64);  // in 2^-(63 + zeros)
  const auto sign = static_cast<std::uint64_t>(below) & one << 63;
  const auto unit = std::bit_cast<double>(static_cast<std::uint64_t>(1023 - 63 - zeros) << 52 | sign);
  rest = static_cast<T>(static_cast<double>(arc) * unit);
  quarters = static_cast<T>(static_cast<int>(turn >> 126) + static_cast<int>(below & 1));
}
/// reduce_large() for the lanes of a vector that are large.
template <class T>
[[gnu::noinline]] inline void reduce_large(const T* x, T* quarters, T* rest) {
  for (Index i = 0; i < Vector<T>::size; ++i) {
    const T size = x[i] < 0 ? -x[i] : x[i];
    if (angle_max<T> < size && size <= std::numeric_limits<T>::max()) reduce_large(x[i], quarters[i], rest[i]);
  }
}

/// Range reduction up to angle_max (Cody and Waite): subtracts the parts of pi / 2 one by one.
template <bool last_digits = true>
[[gnu::always_inline]] inline Angle<double> reduce_small(Vector<double> x) {
  const auto part = [](int i) { return Vector<double>::all(-half_pi[i]); };
  const auto quarters = round(x * Vector<double>::all(two_over_pi));
  const auto first = fma(quarters, part(0), x), second = fma(quarters, part(1), first);
  if constexpr (!last_digits) return {quarters, second};
  const auto lost = fma(quarters, part(1), first - second);
  return {quarters, second + fma(quarters, part(2), lost)};
}
[[gnu::always_inline]] inline Angle<float> reduce_small(Vector<float> x) {
  const auto wide = widen(x);
  Widened quarters, rest;
  unroll<static_cast<Index>(wide.size())>([&](auto i) {
    const auto angle = reduce_small<false>(wide[i]);
    quarters[i] = angle.quarters, rest[i] = angle.rest;
  });
  return {narrow(quarters), narrow(rest)};
}

template <class T>
[[gnu::always_inline]] inline Angle<T> angle_of(Vector<T> x) {
  auto [quarters, rest] = reduce_small(x);
  if (!all(abs(x) <= Vector<T>::all(angle_max<T>))) [[unlikely]] {
    alignas(64) T lanes[3][Vector<T>::size];
    x.store(lanes[0]), quarters.store(lanes[1]), rest.store(lanes[2]);
    reduce_large(lanes[0], lanes[1], lanes[2]);
    quarters = Vector<T>::load(lanes[1]), rest = Vector<T>::load(lanes[2]);
  }
  return {quarters, rest};
}

/// Sine of a reduced angle. Of the sine and cosine of the quarters, one is 0 and the other 1 or -1, so one polynomial
/// contributes. The polynomials of sin, cos and tan up to pi / 4 are interpolated in 40 digits.
template <class T>
[[gnu::always_inline]] inline Vector<T> sine(Angle<T> a) {
  using C = Constants<T>;
  const auto turn = fma(round(a.quarters * Vector<T>::all(T(0.25))), Vector<T>::all(T(-4)), a.quarters);
  const auto cos_turn = Vector<T>::all(T(1)) - abs(turn);  // where this is 0, the sine is `turn`
  const auto odd = cos_turn == Vector<T>::zero();
  const auto square = a.rest * a.rest;
  const auto sin_rest = fma(a.rest * square, polynomial(square, C::sine), a.rest);
  const auto cos_rest = polynomial(square, C::cosine);
  return select(odd, turn, cos_turn) * select(odd, cos_rest, sin_rest);
}

/// sin x, error at most 2 ulp; -0 gives -0.
template <class T>
[[gnu::always_inline]] inline Vector<T> sin(Vector<T> x) {
  return select(x == Vector<T>::zero(), x, sine(angle_of(x)));
}

/// cos x, error at most 2 ulp.
template <class T>
[[gnu::always_inline]] inline Vector<T> cos(Vector<T> x) {
  const auto [quarters, rest] = angle_of(x);
  return sine(Angle<T>{quarters + Vector<T>::all(T(1)), rest});
}

/// tan x = tan(rest), or -1 / tan(rest) for odd quarters; error at most 3 ulp; -0 gives -0.
template <class T>
[[gnu::always_inline]] inline Vector<T> tan(Vector<T> x) {
  const auto [quarters, rest] = angle_of(x);
  const auto square = rest * rest;
  const auto tan_rest = fma(rest * square, polynomial_by_pairs(square, Constants<T>::tangent), rest);
  const auto half = quarters * Vector<T>::all(T(0.5));
  const auto y = select(half == round(half), tan_rest, Vector<T>::all(T(-1)) / tan_rest);
  return select(x == Vector<T>::zero(), x, y);
}

/// a + b and a b in double-double, accurate except for the last few bits. The sum requires a = 0 or |a| >= |b|.
template <class T>
[[gnu::always_inline]] inline Sum<T> add(Vector<T> a, Sum<T> b) {
  const auto high = a + b.high;
  return {high, ((a - high) + b.high) + b.low};
}
template <class T>
[[gnu::always_inline]] inline Sum<T> multiply(Sum<T> a, Sum<T> b) {
  const auto [high, low] = product(a.high, b.high);
  return {high, low + fma(a.high, b.low, a.low * b.high)};
}

/// whole + rest with integer `whole`; |rest| is at most about 1/2 unless `whole` is huge.
template <class T>
struct Parts {
  Vector<T> whole, rest;
};

/// y log2(2^n m) with relative error about 2^-65 for double and 2^-37 for float, so that 2 to this power is accurate to
/// the last place.
[[gnu::always_inline]] inline Parts<double> times_log2(Split<double> x, Vector<double> y) {
  using C = Constants<double>;
  using V = Vector<double>;
  const auto [m, n] = x;
  const auto one = V::all(1);
  const auto over = m - one, under = m + one, under_low = m - (under - one);
  const auto inverse = one / under, s_high = over * inverse;
  const auto [high, low] = product(s_high, under);
  const Sum<double> s{s_high, (((over - high) - low) - s_high * under_low) * inverse};
  const auto s2 = multiply(s, s);
  const auto tail = s2.high * polynomial_by_pairs(s2.high, C::log2_series);
  const auto second = multiply(s2, add(V::all(C::log2_second[0]), {tail, V::all(C::log2_second[1])}));
  const auto first = add(V::all(C::log2_first[0]), {second.high, second.low + V::all(C::log2_first[1])});
  const auto log2 = add(n, multiply(s, first));
  const auto power = product(y, log2.high);
  const auto whole = round(power.high);
  return {whole, (power.high - whole) + fma(y, log2.low, power.low)};
}
[[gnu::always_inline]] inline Parts<float> times_log2(Split<float> x, Vector<float> y) {
  const auto one = Vector<double>::all(1);
  const auto wide_m = widen(x.mantissa), wide_n = widen(x.exponent), wide_y = widen(y);
  Widened whole, rest;
  unroll<static_cast<Index>(whole.size())>([&](auto i) {
    const auto s = (wide_m[i] - one) / (wide_m[i] + one);
    const auto power = wide_y[i] * fma(s, polynomial_by_pairs(s * s, Constants<double>::log2_short), wide_n[i]);
    whole[i] = round(power), rest[i] = power - whole[i];
  });
  return {narrow(whole), narrow(rest)};
}

/// 2^x for |x| <= 1/2.
template <class T>
[[gnu::always_inline]] inline Vector<T> exp2_below_half(Vector<T> x) {
  return fma(x, polynomial_by_pairs(x, Constants<T>::power_of_two), Vector<T>::all(T(1)));
}

/// Corrects `power` = |x|^y where x is negative, 0, infinite or NaN, or y is NaN. As in C, 1^y = x^0 = 1 even for NaN.
template <class T>
[[gnu::always_inline]] inline Vector<T> pow_special_cases(Vector<T> x, Vector<T> y, Vector<T> power) {
  using V = Vector<T>;
  const auto zero = V::zero(), one = V::all(T(1)), infinity = V::all(std::numeric_limits<T>::infinity());
  const auto size = abs(x), half = V::all(T(0.5)) * y;
  const auto zero_or_infinity = select(y < zero, one / size, size);
  power = select((zero < size) & (size < infinity), power, zero_or_infinity);
  const auto to_integer = select(half == round(half), power, with_sign(power, x));
  const auto not_real = V::all(std::numeric_limits<T>::quiet_NaN());
  const auto to_fraction = select((x < zero) & (size < infinity), not_real, power);
  const auto number = select(y == round(y), to_integer, to_fraction);
  const auto z = select(x == x, select(y == y, number, y), x);
  return select(x == one, one, select(y == zero, one, z));
}

/// x^y for x >= 0 with overflow and underflow, except for the cases of pow_special_cases().
template <class T>
[[gnu::always_inline]] inline Vector<T> pow_full_range(Vector<T> x, Vector<T> y) {
  const auto one = Vector<T>::all(T(1));
  // For |y| > 2^64, x^y is 0 or infinity for every x but 1.
  const auto bound = Vector<T>::all(T(0x1p64));
  const auto [whole, rest] = times_log2(split(x), max(min(y, bound), -bound));
  return scale_by_power_of_two(exp2_below_half(max(min(rest, one), -one)), whole);
}

/// x^y for all x and y; `power` is |x|^y if all of it is normal.
template <class T>
[[gnu::noinline, gnu::cold]] Vector<T> pow_all(Vector<T> x, Vector<T> y, Vector<T> power, bool normal) {
  return pow_special_cases(x, y, normal ? power : pow_full_range(abs(x), y));
}

/// x^y = 2^(y log2 |x|), error at most 2 ulp; negative for negative x and odd y, NaN for negative x and non-integer y.
template <class T>
[[gnu::always_inline]] inline Vector<T> pow(Vector<T> x, Vector<T> y) {
  using B = Bits<T>;
  const auto size = abs(x);
  const auto [whole, rest] = times_log2(split_normal(size), y);
  const auto power = B::number(B::of(whole + Vector<T>::all(B::base + B::bias)) << B::mantissa) * exp2_below_half(rest);
  const auto normal = is_normal(size) & (abs(whole) < Vector<T>::all(B::bias - 1));
  if (!all(normal & (Vector<T>::zero() < x))) [[unlikely]] {
    return pow_all(x, y, power, all(normal));
  }
  return power;
}

}  // namespace deltaprop::kernels
