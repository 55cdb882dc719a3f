#pragma once

#include <algorithm>
#include <type_traits>

#include "deltaprop/core/buffer.hpp"
#include "vector.hpp"

/// Matrices copied into the order in which a product reads them.
namespace deltaprop::kernels {

/// The widest packet of no more than 32 bytes: squares of larger ones take longer to turn.
template <class T, class Packet = typename Vector<T>::Packet>
using Half = std::conditional_t<(sizeof(Packet) > 32), typename packets::unpacket_traits<Packet>::half, Packet>;

/// How many numbers may be written after the last panel of a pack().
inline constexpr Index kSpill = 8;

/// to = panels of `width` columns (k, width), in which to[p][j] = from[p * row + j * col]. What would stand right of
/// the last of n columns is anything.
template <class T>
void pack(Index k, Index n, Index width, const T* from, Index row, Index col, T* to) {
  using Packet = Half<T>;
  constexpr Index side = packets::unpacket_traits<Packet>::size;
  static_assert(side <= kSpill);
  if (row == 1 && k >= side) {
    // Turned in squares, the last of which overlap those before; a line of `from` is used up before the next ones.
    constexpr Index some = 64;
    for (Index first = 0; first < n; first += width) {
      const Index cols = std::min(width, n - first);
      T* const panel = to + first * k;
      for (Index begin = 0; begin < k; begin += some) {
        for (Index left = 0; left < cols; left += side) {
          const Index j = std::max<Index>(std::min(left, cols - side), 0);
          const T* at[side];
          unroll<side>([&](Index i) INLINED { at[i] = from + (first + std::min<Index>(j + i, cols - 1)) * col; });
          for (Index top = begin; top < std::min(begin + some, k); top += side) {
            const Index p = std::min(top, k - side);
            packets::PacketBlock<Packet, side> square;
            unroll<side>([&](Index i) INLINED { square.packet[i] = packets::ploadu<Packet>(at[i] + p); });
            packets::ptranspose(square);
            unroll<side>([&](Index i) INLINED { packets::pstoreu(panel + (p + i) * width + j, square.packet[i]); });
          }
        }
      }
    }
  } else if (col == 1) {
    // Several panels in one go: their rows share lines and pages.
    const Index some = std::max<Index>(64 / width, 4) * width;
    for (Index begin = 0; begin < n; begin += some) {
      const Index end = std::min(begin + some, n);
      for (Index p = 0; p < k; ++p) {
        const T* const at = from + p * row;
        T* here = to + begin * k + p * width;
        constexpr Index soon = 16;  // rows: too far apart for the CPU to guess
        for (Index j = begin; j < end; j += 64 / sizeof(T)) __builtin_prefetch(at + soon * row + j);
        for (Index first = begin; first < end; first += width, here += width * k) {
          const Index cols = std::min(width, n - first);
          Index j = 0;
          for (; j + side <= cols; j += side) packets::pstoreu(here + j, packets::ploadu<Packet>(at + first + j));
          if (j == cols) continue;
          if (p + 1 < k && first + j + side <= n) {  // what goes too far is written over by the next row
            packets::pstoreu(here + j, packets::ploadu<Packet>(at + first + j));
          } else {
            for (; j < cols; ++j) here[j] = at[first + j];
          }
        }
      }
    }
  } else {
    for (Index first = 0; first < n; first += width) {
      const Index cols = std::min(width, n - first);
      for (Index p = 0; p < k; ++p) {
        for (Index j = 0; j < cols; ++j) to[first * k + p * width + j] = from[p * row + (first + j) * col];
      }
    }
  }
}

/// Rows of numbers that are wanted soon and lie too far apart for the CPU to guess: brought near with each call some.
template <class T>
struct Ahead {
  const T* at;
  Index rows, row, size;  // of `size` numbers each
  Index each;             // rows a call

  void some() {
    constexpr Index line = 64 / sizeof(T);
    const Index now = std::min(each, rows);
    for (Index i = 0; i < now; ++i, at += row) {
      for (Index j = 0; j < size; j += line) __builtin_prefetch(at + j, 0, 2);
    }
    rows -= now;
  }
};

/// Memory of a thread's own for what it packs.
template <class T>
T* scratch(Index numbers) {
  static thread_local Buffer<T> memory;
  memory.reserve(numbers);
  return memory.data();
}

}  // namespace deltaprop::kernels
