#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "deltaprop/core/types.hpp"

/// Operations that Eigen's packets lack or that need intrinsics: masks, partial loads and stores, non-temporal stores.
/// Only vector.hpp uses them.
namespace deltaprop::kernels {

namespace packets = Eigen::internal;

/// By Eigen's packets and through memory, on any instruction set.
template <class T>
struct Portable {
  using Packet = typename packets::packet_traits<T>::type;
  static constexpr Index size = packets::unpacket_traits<Packet>::size;
  struct Mask {
    Packet lanes;
  };

  static Mask less(Packet a, Packet b) { return {packets::pcmp_lt(a, b)}; }
  static Mask less_equal(Packet a, Packet b) { return {packets::pcmp_le(a, b)}; }
  static Mask equal(Packet a, Packet b) { return {packets::pcmp_eq(a, b)}; }
  static Mask both(Mask a, Mask b) { return {packets::pand(a.lanes, b.lanes)}; }
  static Packet select(Mask mask, Packet a, Packet b) { return packets::pselect(mask.lanes, a, b); }
  static bool all(Mask mask) {
    return packets::predux_min(select(mask, packets::pset1<Packet>(T(1)), packets::pset1<Packet>(T(0)))) != T(0);
  }

  static Packet load(const T* from, Index n, T rest) {
    return n >= size ? packets::ploadu<Packet>(from) : load_part(from, n, rest);
  }
  static void store(T* to, Packet p, Index n) { n >= size ? packets::pstoreu(to, p) : store_part(to, p, n); }
  static constexpr bool streams = false;
  static void stream(T* to, Packet p) { packets::pstoreu(to, p); }
  static void finish_streams() {}

 private:
  // Not inlined: called at most once, at the end of a loop.
  [[gnu::noinline]] static Packet load_part(const T* from, Index n, T rest) {
    alignas(64) T lanes[size];
    for (Index i = 0; i < size; ++i) lanes[i] = i < n ? from[i] : rest;
    return packets::pload<Packet>(lanes);
  }
  [[gnu::noinline]] static void store_part(T* to, Packet p, Index n) {
    alignas(64) T lanes[size];
    packets::pstore(lanes, p);
    for (Index i = 0; i < n && i < size; ++i) to[i] = lanes[i];
  }
};

#if defined(__AVX512F__)

template <class T>
struct Native {
  static constexpr bool single = sizeof(T) == 4;
  using Packet = typename packets::packet_traits<T>::type;
  using Bits = std::conditional_t<single, __mmask16, __mmask8>;
  static constexpr Index size = Index{64} / sizeof(T);
  struct Mask {
    Bits bits;
  };

  static Mask less(Packet a, Packet b) { return compare<_CMP_LT_OQ>(a, b); }
  static Mask less_equal(Packet a, Packet b) { return compare<_CMP_LE_OQ>(a, b); }
  static Mask equal(Packet a, Packet b) { return compare<_CMP_EQ_OQ>(a, b); }
  static Mask both(Mask a, Mask b) { return {static_cast<Bits>(a.bits & b.bits)}; }
  static Packet select(Mask mask, Packet a, Packet b) {
    if constexpr (single) {
      return _mm512_mask_blend_ps(mask.bits, b, a);
    } else {
      return _mm512_mask_blend_pd(mask.bits, b, a);
    }
  }
  static bool all(Mask mask) { return mask.bits == static_cast<Bits>(~Bits{0}); }

  /// a 2^exponent, rounded once.
  static Packet scale(Packet a, Packet exponent) {
    if constexpr (single) {
      return _mm512_scalef_ps(a, exponent);
    } else {
      return _mm512_scalef_pd(a, exponent);
    }
  }
  /// a = mantissa 2^exponent, 1 <= mantissa < 2, for a finite a > 0.
  static Packet mantissa(Packet a) {
    if constexpr (single) {
      return _mm512_getmant_ps(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    } else {
      return _mm512_getmant_pd(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    }
  }
  static Packet exponent(Packet a) {
    if constexpr (single) {
      return _mm512_getexp_ps(a);
    } else {
      return _mm512_getexp_pd(a);
    }
  }

  static Packet load(const T* from, Index n, T rest) {
    const Packet others = packets::pset1<Packet>(rest);
    if constexpr (single) {
      return _mm512_mask_loadu_ps(others, first(n), from);
    } else {
      return _mm512_mask_loadu_pd(others, first(n), from);
    }
  }
  static void store(T* to, Packet p, Index n) {
    if constexpr (single) {
      _mm512_mask_storeu_ps(to, first(n), p);
    } else {
      _mm512_mask_storeu_pd(to, first(n), p);
    }
  }
  static constexpr bool streams = true;
  static void stream(T* to, Packet p) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), std::bit_cast<__m512i>(p));
  }
  static void finish_streams() { _mm_sfence(); }

 private:
  static Bits first(Index n) { return static_cast<Bits>((1U << std::min(n, size)) - 1); }
  template <int relation>
  static Mask compare(Packet a, Packet b) {
    if constexpr (single) {
      return {_mm512_cmp_ps_mask(a, b, relation)};
    } else {
      return {_mm512_cmp_pd_mask(a, b, relation)};
    }
  }
};

#elif defined(__AVX2__)

template <class T>
struct Native : Portable<T> {
  static constexpr bool single = sizeof(T) == 4;
  using typename Portable<T>::Packet;
  using typename Portable<T>::Mask;

  static bool all(Mask mask) { return _mm256_movemask_epi8(std::bit_cast<__m256i>(mask.lanes)) == -1; }

  static Packet load(const T* from, Index n, T rest) {
    const auto mask = first(n);
    Packet loaded;
    if constexpr (single) {
      loaded = _mm256_maskload_ps(from, mask);
    } else {
      loaded = _mm256_maskload_pd(from, mask);
    }
    if (rest == T(0)) return loaded;
    return packets::pselect(std::bit_cast<Packet>(mask), loaded, packets::pset1<Packet>(rest));
  }
  static void store(T* to, Packet p, Index n) {
    if constexpr (single) {
      _mm256_maskstore_ps(to, first(n), p);
    } else {
      _mm256_maskstore_pd(to, first(n), p);
    }
  }
  static constexpr bool streams = true;
  static void stream(T* to, Packet p) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), std::bit_cast<__m256i>(p));
  }
  static void finish_streams() { _mm_sfence(); }

 private:
  static __m256i first(Index n) {
    if constexpr (single) {
      return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    } else {
      return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
    }
  }
};

#else

template <class T>
using Native = Portable<T>;

#endif

}  // namespace deltaprop::kernels
