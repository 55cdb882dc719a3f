#pragma once

#include <algorithm>
#include <utility>

#include "deltaprop/kernels/table.hpp"
#include "vector.hpp"

/// The matrix product: a tile of c is held in registers while one chain of fused multiply-adds runs along k.
/// Blocks along k, panels of b and packed rows of a serve the caches (Goto and van de Geijn, "Anatomy of
/// high-performance matrix multiplication", 2008) and never change a bit: a chain that is interrupted goes
/// on from the value it had.
namespace deltaprop::kernels {

template <class T>
struct Tile {
#ifdef __AVX512F__
  static constexpr Index rows = 8;  // of 32 registers: 16 sums suffice, and batches are multiples of 8 rather than 12
#else
  static constexpr Index rows = 6;  // of 16 registers: 12 sums, 2 of b, the rest for a
#endif
  static constexpr Index vectors = 2;
  static constexpr Index cols = vectors * Vector<T>::size;
};

enum class Chain {
  fresh,      // c = sum
  carry_on,   // the chain goes on from c
  add_total,  // c = c + sum
};

template <class T>
struct Micro {
  Index k;
  const T* a;
  Index a_row, a_col;
  const T* b;
  Index b_row;
  Index tail;  // columns in the last vector, where it is not full
  T* c;
  Index c_row;
  Chain chain;
  const T* bias;
};

template <class T, Index Rows, Index Vectors, bool Tail>
void micro(const Micro<T>& m) {
  using V = Vector<T>;
  const auto load = [&](const T* from, auto v) {
    return Tail && v == Vectors - 1 ? V::load(from + v * V::size, m.tail) : V::load(from + v * V::size);
  };
  V sum[Rows][Vectors];
  unroll<Rows>([&](auto r) {
    unroll<Vectors>([&](auto v) { sum[r][v] = m.chain == Chain::carry_on ? load(m.c + r * m.c_row, v) : V::zero(); });
  });
  const T* a = m.a;
  const T* b = m.b;
  for (Index p = 0; p < m.k; ++p, a += m.a_col, b += m.b_row) {
    V row_of_b[Vectors];
    unroll<Vectors>([&](auto v) { row_of_b[v] = load(b, v); });
    unroll<Rows>([&](auto r) {
      const V element = V::all(a[r * m.a_row]);
      unroll<Vectors>([&](auto v) { sum[r][v] = fma(element, row_of_b[v], sum[r][v]); });
    });
  }
  unroll<Rows>([&](auto r) {
    unroll<Vectors>([&](auto v) {
      T* c = m.c + r * m.c_row;
      if (m.chain == Chain::add_total) sum[r][v] = load(c, v) + sum[r][v];
      if (m.bias != nullptr) sum[r][v] = sum[r][v] + load(m.bias, v);
      if (Tail && v == Vectors - 1) {
        sum[r][v].store(c + v * V::size, m.tail);
      } else {
        sum[r][v].store(c + v * V::size);
      }
    });
  });
}

/// micro<T, rows, ...> for a number of rows known only now.
template <class T, Index Vectors, bool Tail>
void micro_rows(Index rows, const Micro<T>& m) {
  using Function = void (*)(const Micro<T>&);
  static constexpr auto functions = []<Index... I>(std::integer_sequence<Index, I...>) {
    return std::array<Function, sizeof...(I)>{&micro<T, I + 1, Vectors, Tail>...};
  }(std::make_integer_sequence<Index, Tile<T>::rows>{});
  functions[static_cast<std::size_t>(rows - 1)](m);
}

template <class T>
void micro_any(Index rows, Index cols, Micro<T>& m) {
  constexpr Index width = Vector<T>::size;
  m.tail = cols % width;
  if (cols > width) return m.tail == 0 ? micro_rows<T, 2, false>(rows, m) : micro_rows<T, 2, true>(rows, m);
  return m.tail == 0 ? micro_rows<T, 1, false>(rows, m) : micro_rows<T, 1, true>(rows, m);
}

/// to[p][j] = from[p * row + j * col], (k, Tile::cols), columns beyond `cols` zero.
template <class T>
void pack_panel(Index k, Index cols, const T* from, Index row, Index col, T* to) {
  constexpr Index width = Vector<T>::size;
  constexpr Index panel = Tile<T>::cols;
  // What an earlier panel left could be denormal, and slow.
  if (cols < panel) std::fill_n(to, k * panel, T(0));
  Index done = 0;
  if (row == 1 && cols == panel) {
    for (; done + width <= k; done += width) {
      unroll<Tile<T>::vectors>([&](auto v) {
        packets::PacketBlock<typename Vector<T>::Packet, width> block;
        unroll<width>([&](auto j) { block.packet[j] = Vector<T>::load(from + (v * width + j) * col + done).p; });
        packets::ptranspose(block);
        unroll<width>([&](auto j) { Vector<T>{block.packet[j]}.store(to + (done + j) * panel + v * width); });
      });
    }
  } else if (col == 1 && cols == panel) {
    for (; done < k; ++done) {
      unroll<Tile<T>::vectors>(
          [&](auto v) { Vector<T>::load(from + done * row + v * width).store(to + done * panel + v * width); });
    }
  }
  for (; done < k; ++done) {
    for (Index j = 0; j < cols; ++j) to[done * panel + j] = from[done * row + j * col];
  }
}

/// to = strips of Tile::rows rows (the last one narrower), each strip (k, rows of the strip).
template <class T>
void pack_rows(Index rows, Index k, const T* from, Index row, Index col, T* to) {
  for (Index first = 0; first < rows; first += Tile<T>::rows) {
    const Index strip = std::min(Tile<T>::rows, rows - first);
    const T* at = from + first * row;
    if (row == 1 && strip == Tile<T>::rows) {
      for (Index p = 0; p < k; ++p, to += Tile<T>::rows) {
        unroll<Tile<T>::rows>([&](auto r) { to[r] = at[p * col + r]; });
      }
    } else {
      for (Index p = 0; p < k; ++p) {
        for (Index r = 0; r < strip; ++r) *to++ = at[r * row + p * col];
      }
    }
  }
}

template <class T>
struct Packed {
  static constexpr Index rows = 192 / Tile<T>::rows * Tile<T>::rows;
  alignas(64) T a[rows * kBlock];
  alignas(64) T b[kBlock * Tile<T>::cols];
};

template <class T, bool Blocked>
void run_product(const Product<T>& p) {
  using Shape = Tile<T>;
  static thread_local Packed<T> packed;
  // Columns of a are worth packing once several panels of b meet them, and a panel of b where its rows lie apart
  // (they would share cache sets and pages) or where it runs down instead of across.
  const bool pack_a = p.a_col != 1 && p.n > Shape::cols && p.k > 4;
  const bool far_apart = p.b_row * static_cast<Index>(sizeof(T)) >= 1024 && p.m > 4 * Shape::rows;
  const bool pack_b = p.b_col != 1 || far_apart;
  const Index row_block = pack_a ? Packed<T>::rows : p.m;

  Index first = 0;
  do {
    const Index k = std::min(kBlock, p.k - first);
    Micro<T> m{};
    m.k = k;
    m.c_row = p.c_row;
    m.chain = Blocked ? (first > 0 || p.accumulate ? Chain::add_total : Chain::fresh)
                      : (first > 0 ? Chain::carry_on : Chain::fresh);
    const bool last = first + k >= p.k;
    for (Index row = 0; row < p.m; row += row_block) {
      const Index rows = std::min(row_block, p.m - row);
      const T* a = p.a + row * p.a_row + first * p.a_col;
      if (pack_a) pack_rows(rows, k, a, p.a_row, p.a_col, packed.a);
      for (Index col = 0; col < p.n; col += Shape::cols) {
        const Index cols = std::min(Shape::cols, p.n - col);
        m.b = p.b + first * p.b_row + col * p.b_col;
        m.b_row = p.b_row;
        if (pack_b) {
          pack_panel(k, cols, m.b, p.b_row, p.b_col, packed.b);
          m.b = packed.b;
          m.b_row = Shape::cols;
        }
        m.bias = last && p.bias != nullptr ? p.bias + col : nullptr;
        for (Index r = 0; r < rows; r += Shape::rows) {
          const Index strip = std::min(Shape::rows, rows - r);
          m.a = pack_a ? packed.a + r * k : a + r * p.a_row;
          m.a_row = pack_a ? 1 : p.a_row;
          m.a_col = pack_a ? strip : p.a_col;
          m.c = p.c + (row + r) * p.c_row + col;
          micro_any(strip, cols, m);
        }
      }
    }
    first += k;
  } while (first < p.k);
}

}  // namespace deltaprop::kernels
