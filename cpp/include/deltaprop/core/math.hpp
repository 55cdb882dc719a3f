#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace deltaprop {

/// Natural logarithm of a positive double, error at most 2 ulp. Only IEEE additions, products and quotients: libm's
/// result differs between C libraries, and initial weights and losses must not.
///
/// log(m 2^e) = e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)).
inline double portable_log(double x) {
  if (!(x > 0)) return x == 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  if (x > std::numeric_limits<double>::max()) return x;
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    exponent = -54;
  }
  auto bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double f = m - 1;
  const double s = f / (m + 1);
  const double s2 = s * s;
  double series = 0;
  for (int k = 21; k >= 3; k -= 2) series = (series + 2.0 / k) * s2;
  constexpr double ln2_high = 0x1.62e42fefa3800p-1;  // 42 bits, so that e * ln2_high is exact
  constexpr double ln2_low = 0x1.ef35793c76730p-45;
  // log(1 + f) = f - s (f - series): no rounding of the leading term f.
  return exponent * ln2_high + (f - (s * (f - series) - exponent * ln2_low));
}

/// Exponential, error at most 1 ulp, independent of libm for the same reason.
///
/// exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= ln(2) / 2, exp(r) by its series.
inline double portable_exp(double x) {
  if (!(x < 709.79)) return x != x ? x : std::numeric_limits<double>::infinity();
  if (x < -745.2) return 0;
  constexpr double ln2_high = 0x1.62e42fefa3800p-1;
  constexpr double ln2_low = 0x1.ef35793c76730p-45;
  const int k = static_cast<int>(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5));
  const double r = (x - k * ln2_high) - k * ln2_low;
  double series = 0;  // (exp(r) - 1 - r) / r
  for (int n = 14; n >= 2; --n) series = (series + 1) * (r / n);
  // 2^k alone may overflow or underflow.
  const auto power_of_two = [](int n) { return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52); };
  return (1 + (r + r * series)) * power_of_two(k / 2) * power_of_two(k - k / 2);
}

/// base^exponent for a positive base.
inline double portable_power(double base, double exponent) { return portable_exp(exponent * portable_log(base)); }

}  // namespace deltaprop
