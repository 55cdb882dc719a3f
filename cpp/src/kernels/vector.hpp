#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "deltaprop/core/types.hpp"
#include "native.hpp"

/// SIMD vectors: a thin layer over Eigen's packets, as wide as the instruction set of this build. Every operation
/// rounds as in IEEE 754, so results do not depend on the width.
namespace deltaprop::kernels {

template <class T>
struct Vector;

/// A boolean per lane.
template <class T>
struct Mask {
  typename Native<T>::Mask m;

  friend Mask operator&(Mask a, Mask b) { return {Native<T>::both(a.m, b.m)}; }
};

template <class T>
struct Vector {
  using Packet = typename Native<T>::Packet;
  static constexpr Index size = Native<T>::size;

  Packet p;

  static Vector all(T value) { return {packets::pset1<Packet>(value)}; }
  static Vector zero() { return all(T(0)); }
  static Vector load(const T* from) { return {packets::ploadu<Packet>(from)}; }
  /// Elements at a constant stride.
  static Vector load_strided(const T* from, Index stride) { return {packets::pgather<T, Packet>(from, stride)}; }
  void store(T* to) const { packets::pstoreu(to, p); }
  /// Non-temporal store to an aligned address; visible to other threads after finish_streams().
  void stream(T* to) const { Native<T>::stream(to, p); }
  static void finish_streams() { Native<T>::finish_streams(); }

  /// Partial load: the first n lanes. The others are `rest`, and their memory is not accessed.
  static Vector load(const T* from, Index n, T rest = T(0)) { return {Native<T>::load(from, n, rest)}; }
  void store(T* to, Index n) const { Native<T>::store(to, p, n); }

  // The compiler's own operators on packets: Eigen's functions for them are two calls more to inline for each.
  friend Vector operator+(Vector a, Vector b) { return {a.p + b.p}; }
  friend Vector operator-(Vector a, Vector b) { return {a.p - b.p}; }
  friend Vector operator*(Vector a, Vector b) { return {a.p * b.p}; }
  friend Vector operator/(Vector a, Vector b) { return {a.p / b.p}; }
  friend Vector operator-(Vector a) { return {packets::pnegate(a.p)}; }
  friend Mask<T> operator<(Vector a, Vector b) { return {Native<T>::less(a.p, b.p)}; }
  friend Mask<T> operator<=(Vector a, Vector b) { return {Native<T>::less_equal(a.p, b.p)}; }
  friend Mask<T> operator==(Vector a, Vector b) { return {Native<T>::equal(a.p, b.p)}; }
};

/// a b + c, rounded once if the instruction set has fused multiply-add.
template <class T>
Vector<T> fma(Vector<T> a, Vector<T> b, Vector<T> c) {
  return {packets::pmadd(a.p, b.p, c.p)};
}
/// mask ? a : b, lane by lane.
template <class T>
Vector<T> select(Mask<T> mask, Vector<T> a, Vector<T> b) {
  return {Native<T>::select(mask.m, a.p, b.p)};
}
template <class T>
bool all(Mask<T> mask) {
  return Native<T>::all(mask.m);
}
/// NaN if a is NaN.
template <class T>
Vector<T> min(Vector<T> a, Vector<T> b) {
  return {packets::pmin(a.p, b.p)};
}
template <class T>
Vector<T> max(Vector<T> a, Vector<T> b) {
  return {packets::pmax(a.p, b.p)};
}
/// min(max(a, low), high); NaN propagates.
template <class T>
Vector<T> clamp(Vector<T> a, Vector<T> low, Vector<T> high) {
  return select(a < low, low, select(high < a, high, a));
}
template <class T>
Vector<T> abs(Vector<T> a) {
  return {packets::pabs(a.p)};
}
/// |a| with the sign of b, also for zeros.
template <class T>
Vector<T> with_sign(Vector<T> a, Vector<T> b) {
  return {packets::por(packets::pabs(a.p), packets::pand(b.p, Vector<T>::all(T(-0.0)).p))};
}
/// -1, 0 or 1; NaN propagates.
template <class T>
Vector<T> sign(Vector<T> a) {
  return select(a < Vector<T>::zero(), Vector<T>::all(T(-1)), select(Vector<T>::zero() < a, Vector<T>::all(T(1)), a));
}
template <class T>
Vector<T> sqrt(Vector<T> a) {
  return {packets::psqrt(a.p)};
}
template <class T>
Vector<T> round(Vector<T> a) {
  return {packets::print(a.p)};
}
template <class T>
T first_lane(Vector<T> a) {
  return std::bit_cast<std::array<T, Vector<T>::size>>(a.p)[0];
}

/// Floating-point numbers as unsigned integers of the same bits; arithmetic on Lanes is lane by lane.
template <class T>
struct Bits {
  using Lane = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  typedef Lane Lanes __attribute__((vector_size(sizeof(typename Vector<T>::Packet))));
  static constexpr int mantissa = std::numeric_limits<T>::digits - 1;
  static constexpr T bias = std::numeric_limits<T>::max_exponent - 1;
  /// In the sum of `base` and an integer below it, the low bits are that integer.
  static constexpr T base = T(Lane(1) << mantissa);

  static constexpr Lane of(T a) { return std::bit_cast<Lane>(a); }
  static Lanes of(Vector<T> a) { return std::bit_cast<Lanes>(a.p); }
  static Vector<T> number(Lanes bits) { return {std::bit_cast<typename Vector<T>::Packet>(bits)}; }
};

/// a 2^exponent for an integer exponent and |a| in [1/4, 4] or 0. In two steps, as 2^exponent may overflow or
/// underflow.
template <class T>
Vector<T> scale_by_power_of_two(Vector<T> a, Vector<T> exponent) {
#ifdef __AVX512F__
  return {Native<T>::scale(a.p, exponent.p)};
#else
  using B = Bits<T>;
  const auto limit = Vector<T>::all(2 * B::bias);
  const auto clamped = max(min(exponent, limit), -limit);
  const auto half = round(clamped * Vector<T>::all(T(0.5)));
  const auto power = [](Vector<T> n) { return B::number(B::of(n + Vector<T>::all(B::base + B::bias)) << B::mantissa); };
  return a * power(half) * power(clamped - half);
#endif
}

/// a = mantissa 2^exponent with an integer exponent and a mantissa in [sqrt(1/2), sqrt(2)), for finite a > 0.
template <class T>
struct Split {
  Vector<T> mantissa, exponent;
};
template <class T>
Split<T> split(Vector<T> a);
/// split() for an a that is not subnormal.
template <class T>
Split<T> split_normal(Vector<T> a) {
#ifdef __AVX512F__
  return split(a);
#else
  using B = Bits<T>;
  constexpr auto root_half = B::of(static_cast<T>(0x1.6a09e667f3bcdp-1));
  const auto bits = B::of(a) + (B::of(T(1)) - root_half);
  const auto exponent = B::number(bits >> B::mantissa | B::of(B::base)) - Vector<T>::all(B::base + B::bias);
  return {B::number((bits & ((typename B::Lane(1) << B::mantissa) - 1)) + root_half), exponent};
#endif
}
template <class T>
Split<T> split(Vector<T> a) {
#ifdef __AVX512F__
  const Vector<T> mantissa{Native<T>::mantissa(a.p)}, exponent{Native<T>::exponent(a.p)};
  const auto upper = Vector<T>::all(static_cast<T>(0x1.6a09e667f3bcdp+0)) <= mantissa;
  const auto one = Vector<T>::all(T(1));
  return {select(upper, Vector<T>::all(T(0.5)) * mantissa, mantissa), select(upper, exponent + one, exponent)};
#else
  using B = Bits<T>;
  const auto subnormal = a < Vector<T>::all(std::numeric_limits<T>::min());
  const auto [mantissa, exponent] = split_normal(select(subnormal, a * Vector<T>::all(B::base), a));
  return {mantissa, exponent - select(subnormal, Vector<T>::all(T(B::mantissa)), Vector<T>::zero())};
#endif
}

/// The unevaluated sum high + low (double-double arithmetic), |low| at most half an ulp of high.
template <class T>
struct Sum {
  Vector<T> high, low;
};
/// The exact product a b, barring overflow and underflow.
template <class T>
Sum<T> product(Vector<T> a, Vector<T> b) {
  Sum<T> s;
  packets::twoprod(a.p, b.p, s.high.p, s.low.p);
  return s;
}

/// Calls f(integral_constant<0>), ..., f(integral_constant<N - 1>). Compilers keep an array of accumulators in
/// registers only if all loops over it are unrolled. An f that needs no constant expression takes an Index, so that it
/// is instantiated once and not N times, and is INLINED, so that the index is a constant all the same.
#define INLINED __attribute__((always_inline))
template <Index N, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
  [&]<Index... I>(std::integer_sequence<Index, I...>) {
    (f(std::integral_constant<Index, I>{}), ...);
  }(std::make_integer_sequence<Index, N>{});
}

/// The lanes of a float vector in double.
using Widened = std::array<Vector<double>, static_cast<std::size_t>(Vector<float>::size / Vector<double>::size)>;
inline Widened widen(Vector<float> a) {
#if defined(__AVX512F__)
  return {{{_mm512_cvtps_pd(_mm512_castps512_ps256(a.p))}, {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.p, 1))}}};
#elif defined(__AVX2__)
  return {{{_mm256_cvtps_pd(_mm256_castps256_ps128(a.p))}, {_mm256_cvtps_pd(_mm256_extractf128_ps(a.p, 1))}}};
#else
  alignas(64) float lanes[Vector<float>::size];
  alignas(64) double wide[Vector<float>::size];
  a.store(lanes);
  for (Index i = 0; i < Vector<float>::size; ++i) wide[i] = static_cast<double>(lanes[i]);
  Widened w;
  for (std::size_t k = 0; k < w.size(); ++k)
    w[k] = Vector<double>::load(wide + static_cast<Index>(k) * Vector<double>::size);
  return w;
#endif
}
/// The inverse of widen(), rounded to float.
inline Vector<float> narrow(const Widened& w) {
#if defined(__AVX512F__)
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(w[0].p)), _mm512_cvtpd_ps(w[1].p), 1)};
#elif defined(__AVX2__)
  return {_mm256_set_m128(_mm256_cvtpd_ps(w[1].p), _mm256_cvtpd_ps(w[0].p))};
#else
  alignas(64) float lanes[Vector<float>::size];
  alignas(64) double wide[Vector<float>::size];
  for (std::size_t k = 0; k < w.size(); ++k) w[k].store(wide + static_cast<Index>(k) * Vector<double>::size);
  for (Index i = 0; i < Vector<float>::size; ++i) lanes[i] = static_cast<float>(wide[i]);
  return Vector<float>::load(lanes);
#endif
}

/// Whether n elements at `to` can be written by non-temporal stores and are enough to profit.
template <class T>
bool can_stream(const T* to, Index n) {
  return Native<T>::streams && n >= 4096 && reinterpret_cast<std::uintptr_t>(to) % 64 == 0;
}

/// Calls f(first element, load, store) over n elements: full vectors, then the tail by the same code with masked loads
/// and stores, so the bits of an element do not depend on its position. `whole` stores a full vector.
template <class T, class F, class Store>
[[gnu::always_inline]] inline void for_each_vector(Index n, F&& f, Store&& whole) {
  constexpr Index width = Vector<T>::size;
  Index i = 0;
  for (; i + width <= n; i += width) f(i, [](const T* from) { return Vector<T>::load(from); }, whole);
  if (i < n) {
    const Index rest = n - i;
    f(
        i, [rest](const T* from) { return Vector<T>::load(from, rest); },
        [rest](T* to, Vector<T> v) { v.store(to, rest); });
  }
}
template <class T, class F>
[[gnu::always_inline]] inline void for_each_vector(Index n, F&& f) {
  for_each_vector<T>(n, f, [](T* to, Vector<T> v) { v.store(to); });
}
/// The same with non-temporal stores of full vectors if `streamed`. An `expensive` f is compiled once and decides at
/// each store; any other has a loop for each kind of store.
template <class T, bool expensive, class F>
[[gnu::always_inline]] inline void for_each_vector_streamed(Index n, bool streamed, F&& f) {
  if constexpr (expensive) {
    for_each_vector<T>(n, f, [streamed](T* to, Vector<T> v) { streamed ? v.stream(to) : v.store(to); });
  } else if (streamed) {
    for_each_vector<T>(n, f, [](T* to, Vector<T> v) { v.stream(to); });
  } else {
    for_each_vector<T>(n, f);
  }
  if (streamed) Vector<T>::finish_streams();
}

}  // namespace deltaprop::kernels
