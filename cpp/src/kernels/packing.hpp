#pragma once

#include <algorithm>
#include <type_traits>

#include "deltaprop/core/buffer.hpp"
#include "vector.hpp"

/// Packing: copies of blocks of a matrix in the order in which the micro-kernel reads them.
namespace deltaprop::kernels {

/// The widest packet of at most 32 bytes: in-register transposes of wider ones are slower.
template <class T, class Packet = typename Vector<T>::Packet>
using TransposePacket =
    std::conditional_t<(sizeof(Packet) > 32), typename packets::unpacket_traits<Packet>::half, Packet>;

/// Elements that pack() may write past the end of the last panel.
inline constexpr Index kPackingSlack = 8;

/// pack() for columns that are contiguous (row == 1): transposes square blocks in registers. The last block of each
/// row and column overlaps the one before it.
template <class T>
void pack_columns(Index k, Index n, Index width, const T* from, Index col, T* to) {
  using Packet = TransposePacket<T>;
  constexpr Index side = packets::unpacket_traits<Packet>::size;
  constexpr Index chunk = 64;  // whole cache lines of `from` are used before the next columns are read
  for (Index first = 0; first < n; first += width) {
    const Index cols = std::min(width, n - first);
    T* const panel = to + first * k;
    for (Index begin = 0; begin < k; begin += chunk) {
      for (Index left = 0; left < cols; left += side) {
        const Index j = std::max<Index>(std::min(left, cols - side), 0);
        const T* at[side];
        unroll<side>([&](Index i) INLINED { at[i] = from + (first + std::min<Index>(j + i, cols - 1)) * col; });
        for (Index top = begin; top < std::min(begin + chunk, k); top += side) {
          const Index p = std::min(top, k - side);
          packets::PacketBlock<Packet, side> square;
          unroll<side>([&](Index i) INLINED { square.packet[i] = packets::ploadu<Packet>(at[i] + p); });
          packets::ptranspose(square);
          unroll<side>([&](Index i) INLINED { packets::pstoreu(panel + (p + i) * width + j, square.packet[i]); });
        }
      }
    }
  }
}

/// pack() for rows that are contiguous (col == 1): fills several panels at a time, as their parts of a row share cache
/// lines and pages.
template <class T>
void pack_rows(Index k, Index n, Index width, const T* from, Index row, T* to) {
  using Packet = TransposePacket<T>;
  constexpr Index side = packets::unpacket_traits<Packet>::size;
  constexpr Index prefetch_distance = 16;  // rows; the hardware prefetcher does not follow this stride
  const Index chunk = std::max<Index>(64 / width, 4) * width;
  for (Index begin = 0; begin < n; begin += chunk) {
    const Index end = std::min(begin + chunk, n);
    for (Index p = 0; p < k; ++p) {
      const T* const at = from + p * row;
      T* panel_row = to + begin * k + p * width;
      for (Index j = begin; j < end; j += 64 / sizeof(T)) __builtin_prefetch(at + prefetch_distance * row + j);
      for (Index first = begin; first < end; first += width, panel_row += width * k) {
        const Index cols = std::min(width, n - first);
        Index j = 0;
        for (; j + side <= cols; j += side) packets::pstoreu(panel_row + j, packets::ploadu<Packet>(at + first + j));
        if (j == cols) continue;
        if (p + 1 < k && first + j + side <= n) {  // the next row overwrites the excess
          packets::pstoreu(panel_row + j, packets::ploadu<Packet>(at + first + j));
        } else {
          for (; j < cols; ++j) panel_row[j] = at[first + j];
        }
      }
    }
  }
}

/// Packs a (k, n) matrix into panels of `width` columns, each a row-major (k, width): to[p][j] = from[p * row + j *
/// col]. The columns of the last panel beyond n are unspecified.
template <class T>
void pack(Index k, Index n, Index width, const T* from, Index row, Index col, T* to) {
  constexpr Index side = packets::unpacket_traits<TransposePacket<T>>::size;
  static_assert(side <= kPackingSlack);
  if (row == 1 && k >= side) return pack_columns(k, n, width, from, col, to);
  if (col == 1) return pack_rows(k, n, width, from, row, to);
  for (Index first = 0; first < n; first += width) {
    const Index cols = std::min(width, n - first);
    for (Index p = 0; p < k; ++p) {
      for (Index j = 0; j < cols; ++j) to[first * k + p * width + j] = from[p * row + (first + j) * col];
    }
  }
}

/// Software prefetch of rows that are read later: the hardware prefetcher does not follow their stride. Each advance()
/// requests a few rows, which spreads the requests over the calls of the micro-kernel.
template <class T>
struct Prefetcher {
  const T* next;
  Index rows, stride, length;  // rows left, elements from one to the next and elements of each
  Index rows_per_call;

  void advance() {
    constexpr Index line = 64 / sizeof(T);
    const Index count = std::min(rows_per_call, rows);
    for (Index i = 0; i < count; ++i, next += stride) {
      for (Index j = 0; j < length; j += line) __builtin_prefetch(next + j, 0, 2);
    }
    rows -= count;
  }
};

/// Thread-local buffer for packed blocks.
template <class T>
T* packing_buffer(Index elements) {
  static thread_local Buffer<T> buffer;
  buffer.reserve(elements);
  return buffer.data();
}

}  // namespace deltaprop::kernels
