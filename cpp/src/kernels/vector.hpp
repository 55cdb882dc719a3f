#pragma once

#include <Eigen/Core>
#include <utility>

#include "deltaprop/core/types.hpp"

/// A thin layer over Eigen's packets: as many numbers at once as the instruction set of this build holds. Each
/// operation rounds as IEEE 754 says, so results do not depend on how many that is.
namespace deltaprop::kernels {

namespace packets = Eigen::internal;

template <class T>
struct Vector {
  using Packet = typename packets::packet_traits<T>::type;
  static constexpr Index size = packets::unpacket_traits<Packet>::size;

  Packet p;

  static Vector all(T value) { return {packets::pset1<Packet>(value)}; }
  static Vector zero() { return all(T(0)); }
  static Vector load(const T* from) { return {packets::ploadu<Packet>(from)}; }
  void store(T* to) const { packets::pstoreu(to, p); }

  /// The first n lanes; the others are `rest`, and their memory is not touched.
  static Vector load(const T* from, Index n, T rest = T(0)) {
#ifdef __AVX2__
    if constexpr (size * sizeof(T) == 32) {
      if (rest == T(0)) return {masked_load(from, n)};
    }
#endif
    alignas(64) T lanes[size];
    for (Index i = 0; i < size; ++i) lanes[i] = i < n ? from[i] : rest;
    return load(lanes);
  }
  void store(T* to, Index n) const {
#ifdef __AVX2__
    if constexpr (size * sizeof(T) == 32) return masked_store(to, n);
#endif
    alignas(64) T lanes[size];
    store(lanes);
    for (Index i = 0; i < n && i < size; ++i) to[i] = lanes[i];
  }

  friend Vector operator+(Vector a, Vector b) { return {packets::padd(a.p, b.p)}; }
  friend Vector operator-(Vector a, Vector b) { return {packets::psub(a.p, b.p)}; }
  friend Vector operator*(Vector a, Vector b) { return {packets::pmul(a.p, b.p)}; }
  friend Vector operator/(Vector a, Vector b) { return {packets::pdiv(a.p, b.p)}; }
  friend Vector operator-(Vector a) { return {packets::pnegate(a.p)}; }
  /// Masks for `select`.
  friend Vector operator<(Vector a, Vector b) { return {packets::pcmp_lt(a.p, b.p)}; }
  friend Vector operator<=(Vector a, Vector b) { return {packets::pcmp_le(a.p, b.p)}; }
  friend Vector operator==(Vector a, Vector b) { return {packets::pcmp_eq(a.p, b.p)}; }

 private:
#ifdef __AVX2__
  static __m256i mask(Index n) {
    if constexpr (sizeof(T) == 4) {
      return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    } else {
      return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    }
  }
  static Packet masked_load(const T* from, Index n) {
    if constexpr (sizeof(T) == 4) {
      return _mm256_maskload_ps(from, mask(n));
    } else {
      return _mm256_maskload_pd(from, mask(n));
    }
  }
  void masked_store(T* to, Index n) const {
    if constexpr (sizeof(T) == 4) {
      _mm256_maskstore_ps(to, mask(n), p);
    } else {
      _mm256_maskstore_pd(to, mask(n), p);
    }
  }
#endif
};

/// a b + c in one rounding where the instruction set has it.
template <class T>
Vector<T> fma(Vector<T> a, Vector<T> b, Vector<T> c) {
  return {packets::pmadd(a.p, b.p, c.p)};
}
/// Lane by lane: mask ? a : b.
template <class T>
Vector<T> select(Vector<T> mask, Vector<T> a, Vector<T> b) {
  return {packets::pselect(mask.p, a.p, b.p)};
}
template <class T>
Vector<T> min(Vector<T> a, Vector<T> b) {
  return {packets::pmin(a.p, b.p)};
}
template <class T>
Vector<T> max(Vector<T> a, Vector<T> b) {
  return {packets::pmax(a.p, b.p)};
}
/// min(max(a, low), high); NaN stays NaN.
template <class T>
Vector<T> clamp(Vector<T> a, Vector<T> low, Vector<T> high) {
  return select(a < low, low, select(high < a, high, a));
}
template <class T>
Vector<T> abs(Vector<T> a) {
  return {packets::pabs(a.p)};
}
/// |a| with the sign of b, zeros included.
template <class T>
Vector<T> with_sign(Vector<T> a, Vector<T> b) {
  return {packets::por(packets::pabs(a.p), packets::pand(b.p, Vector<T>::all(T(-0.0)).p))};
}
/// -1, 0 or 1; NaN stays NaN.
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
  return packets::pfirst(a.p);
}
/// a 2^exponent, the exponent a whole number.
template <class T>
Vector<T> scale_by_power_of_two(Vector<T> a, Vector<T> exponent) {
  return {packets::pldexp(a.p, exponent.p)};
}

/// a = mantissa 2^exponent with a mantissa from 1/2 to 1 and a whole exponent, for any finite a but 0.
template <class T>
struct Split {
  Vector<T> mantissa, exponent;
};
template <class T>
Split<T> split(Vector<T> a) {
  Split<T> s;
  s.mantissa.p = packets::pfrexp(a.p, s.exponent.p);
  return s;
}

/// high + low, low no more than half of high's last place.
template <class T>
struct Sum {
  Vector<T> high, low;
};
/// a b without rounding, where nothing overflows or underflows.
template <class T>
Sum<T> product(Vector<T> a, Vector<T> b) {
  Sum<T> s;
  packets::twoprod(a.p, b.p, s.high.p, s.low.p);
  return s;
}

/// Calls f(integral_constant<0>), ..., f(integral_constant<N - 1>): compilers keep arrays of accumulators in
/// registers only when no loop over them is left.
template <Index N, class F>
[[gnu::always_inline]] inline void unroll(F&& f) {
  [&]<Index... I>(std::integer_sequence<Index, I...>) {
    (f(std::integral_constant<Index, I>{}), ...);
  }(std::make_integer_sequence<Index, N>{});
}

/// f(first element, load, store) over n elements: whole vectors, then the rest by the same code with masked access,
/// so that an element's bits never depend on its place.
template <class T, class F>
[[gnu::always_inline]] inline void for_each_vector(Index n, F&& f) {
  constexpr Index width = Vector<T>::size;
  Index i = 0;
  for (; i + width <= n; i += width) {
    f(i, [](const T* from) { return Vector<T>::load(from); }, [](T* to, Vector<T> v) { v.store(to); });
  }
  if (i < n) {
    const Index rest = n - i;
    f(
        i, [rest](const T* from) { return Vector<T>::load(from, rest); },
        [rest](T* to, Vector<T> v) { v.store(to, rest); });
  }
}

}  // namespace deltaprop::kernels
