#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/strided_view.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop::testing {

inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// Compares bits, not values: -0 differs from 0, and NaN equals itself.
template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// The first index at which two arrays differ in a bit, or -1, so that one assertion covers an array.
template <class T>
Index first_difference(const T* a, const T* b, Index n) {
  for (Index i = 0; i < n; ++i) {
    if (!same_bits(a[i], b[i])) return i;
  }
  return -1;
}
template <class T>
Index first_difference(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return static_cast<Index>(std::min(a.size(), b.size()));
  return first_difference(a.data(), b.data(), static_cast<Index>(a.size()));
}

/// The error of `got` in ulp of T at `exact`.
template <class T>
double ulps(T got, long double exact) {
  constexpr double never = std::numeric_limits<double>::infinity();
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) && std::isnan(got) ? 0 : never;
  using Limits = std::numeric_limits<T>;
  const long double beyond = std::ldexp(1.0L, Limits::max_exponent);
  if (std::isinf(got) && std::abs(exact) >= beyond && (got > 0) == (exact > 0)) return 0;
  int exponent = Limits::min_exponent;
  if (exact != 0) std::frexp(exact, &exponent);
  exponent = std::clamp(exponent, Limits::min_exponent, Limits::max_exponent);
  const long double value = std::isinf(got) ? std::copysign(beyond, static_cast<long double>(got)) : got;
  return static_cast<double>(std::abs(value - exact) / std::ldexp(1.0L, exponent - Limits::digits));
}

/// Pseudo-random numbers in [-1, 1), the same on every machine.
template <class T>
std::vector<T> numbers(Index n, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::vector<T> v(at(n));
  for (T& x : v) x = static_cast<T>(static_cast<double>(bits() >> 11) * 0x1p-52 - 1);
  return v;
}

/// Arguments for functions of one variable: all magnitudes, and dense around 0.
template <class T>
std::vector<T> wide_range() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> v{0,
                   Limits::denorm_min(),
                   3 * Limits::denorm_min(),
                   Limits::min(),
                   Limits::min() / 2,
                   Limits::epsilon(),
                   1,
                   Limits::max(),
                   Limits::infinity(),
                   Limits::quiet_NaN(),
                   T(87.3),
                   T(88.72283),
                   T(88.73),
                   T(103.97),
                   T(104.1),
                   T(709.78),
                   T(709.79),
                   T(745.13),
                   T(745.14)};
  std::mt19937_64 bits(1);
  for (int i = 0; i < 60000; ++i) {
    const double unit = static_cast<double>(bits() >> 11) * 0x1p-53;
    v.push_back(static_cast<T>(40 * unit));
    v.push_back(static_cast<T>(800 * unit));
    v.push_back(static_cast<T>(std::ldexp(1 + unit, static_cast<int>(bits() % 60) - 50)));
    v.push_back(std::ldexp(
        static_cast<T>(1 + unit),
        static_cast<int>(bits() % (Limits::max_exponent - Limits::min_exponent)) + Limits::min_exponent - 1));
  }
  const std::size_t half = v.size();
  for (std::size_t i = 0; i < half; ++i) v.push_back(-v[i]);
  return v;
}

/// n elements between guard elements, at an address at which no vector is aligned.
template <class T>
class Guarded {
 public:
  explicit Guarded(Index n, T fill = T(0)) : n_(n), memory_(n + 2 * kGuard) {
    std::fill_n(memory_.data(), memory_.size(), guard());
    std::fill_n(data(), n, fill);
  }
  explicit Guarded(const std::vector<T>& v) : Guarded(static_cast<Index>(v.size())) {
    std::copy(v.begin(), v.end(), data());
  }

  T* data() const { return memory_.data() + kGuard; }
  Index size() const { return n_; }
  T& operator[](Index i) const { return data()[i]; }
  std::vector<T> values() const { return {data(), data() + n_}; }
  static T guard() { return T(-12345.678); }
  bool intact() const {
    const auto is_guard = [](T v) { return same_bits(v, guard()); };
    return std::all_of(memory_.data(), data(), is_guard) &&
           std::all_of(data() + n_, memory_.data() + memory_.size(), is_guard);
  }

 private:
  static constexpr Index kGuard = 67;  // odd, and more than the widest register tile
  Index n_;
  Buffer<T> memory_;
};

template <class T>
constexpr Dtype dtype_of() {
  return sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
}

/// A dense table of T over memory owned elsewhere.
template <class T>
StridedView table(const T* data, Index rows, Index cols) {
  constexpr auto size = static_cast<Index>(sizeof(T));
  return {reinterpret_cast<const std::byte*>(data), dtype_of<T>(), rows, cols, cols * size, size};
}

}  // namespace deltaprop::testing
