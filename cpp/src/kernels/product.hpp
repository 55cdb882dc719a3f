#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "deltaprop/kernels/table.hpp"
#include "packing.hpp"
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
  /// Vectors of c side by side, by the rows that there are: so many sums at least that none waits for itself.
  static constexpr Index vectors(Index rows_of_c) { return rows_of_c == 1 ? 8 : rows_of_c == 2 ? 4 : 2; }
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
  const auto load = [&](const T* from, Index v) INLINED {
    return Tail && v == Vectors - 1 ? V::load(from + v * V::size, m.tail) : V::load(from + v * V::size);
  };
  V sum[Rows * Vectors];
  if (m.chain == Chain::carry_on) {
    unroll<Rows * Vectors>([&](Index i) INLINED { sum[i] = load(m.c + i / Vectors * m.c_row, i % Vectors); });
  } else {
    unroll<Rows * Vectors>([&](Index i) INLINED { sum[i] = V::zero(); });
  }
  const T* a = m.a;
  const T* b = m.b;
  for (Index p = 0; p < m.k; ++p, a += m.a_col, b += m.b_row) {
    V row_of_b[Vectors];
    unroll<Vectors>([&](Index v) INLINED { row_of_b[v] = load(b, v); });
    V element;
    unroll<Rows * Vectors>([&](Index i) INLINED {
      if (i % Vectors == 0) element = V::all(a[i / Vectors * m.a_row]);
      sum[i] = fma(element, row_of_b[i % Vectors], sum[i]);
    });
  }
  if (m.chain == Chain::add_total) {
    unroll<Rows * Vectors>([&](Index i) INLINED { sum[i] = load(m.c + i / Vectors * m.c_row, i % Vectors) + sum[i]; });
  }
  if (m.bias != nullptr) {
    V bias[Vectors];
    unroll<Vectors>([&](Index v) INLINED { bias[v] = load(m.bias, v); });
    unroll<Rows * Vectors>([&](Index i) INLINED { sum[i] = sum[i] + bias[i % Vectors]; });
  }
  unroll<Rows * Vectors>([&](Index i) INLINED {
    T* const to = m.c + i / Vectors * m.c_row + i % Vectors * V::size;
    if (Tail && i % Vectors == Vectors - 1) {
      sum[i].store(to, m.tail);
    } else {
      sum[i].store(to);
    }
  });
}

/// micro for numbers of rows and columns known only now; `cols` no more than the tile of so many rows has.
template <class T>
void micro_any(Index rows, Index cols, Micro<T>& m) {
  using Function = void (*)(const Micro<T>&);
  constexpr Index width = Vector<T>::size, most = Tile<T>::vectors(1);
  static constexpr auto functions = []<Index... I>(std::integer_sequence<Index, I...>) {
    // [rows - 1][vectors - 1][tail]
    return std::array<Function, sizeof...(I)>{[] {
      constexpr Index r = I / 2 / most + 1, v = I / 2 % most + 1;
      if constexpr (v <= Tile<T>::vectors(r)) {
        return &micro<T, r, v, I % 2 != 0>;
      } else {
        return Function(nullptr);
      }
    }()...};
  }(std::make_integer_sequence<Index, Tile<T>::rows * most * 2>{});
  m.tail = cols % width;
  const Index vectors = (cols - 1) / width;
  functions[static_cast<std::size_t>(((rows - 1) * most + vectors) * 2 + (m.tail != 0))](m);
}

/// What is packed at a time, in numbers: panels of b stay near while rows of a stream by.
template <class T>
struct Cache {
  static constexpr Index depth = 4096 / sizeof(T);
  static constexpr Index b = (1 << 18) / sizeof(T);
  static constexpr Index a = (1 << 20) / sizeof(T);
  /// Unpacked rows of a b that is as large as this are read so many at a time: memory follows no more of them at once.
  static constexpr Index far = (1 << 23) / sizeof(T), streamed = 16;
};

/// How many of n rows or columns, in whole tiles of `unit`, are taken together: all, or those whose copies have room.
inline Index together(bool packed, Index n, Index room, Index depth, Index unit) {
  const Index whole = parts(n, unit);
  return (packed ? std::min(whole, std::max<Index>(room / depth / unit, 1)) : whole) * unit;
}

/// What will be packed after columns of b up to `to`, spread over the tiles of these.
template <class T>
Ahead<T> next_group(const Product<T>& p, Index k, const T* b, Index to, Index group, Index rows, Index step) {
  const Index cols = std::min(group, p.n - to);
  if (cols == 0) return {};
  const Index calls = parts(rows, Tile<T>::rows) * (group / step);
  Ahead<T> ahead =
      p.b_col == 1 ? Ahead<T>{b + group, k, p.b_row, cols, 0} : Ahead<T>{b + group * p.b_col, cols, p.b_col, k, 0};
  ahead.each = parts(ahead.rows, calls);
  return ahead;
}

template <class T>
void run_wide(const Product<T>& p, bool blocked) {
  using Shape = Tile<T>;
  // Rows of b are packed where they run down instead of across, or lie far apart: they would share cache sets and
  // pages. Columns of a are worth it once several panels of b meet them, its rows only if they do not stay near.
  const bool down = p.b_col != 1;
  const bool far_apart = p.b_row * static_cast<Index>(sizeof(T)) >= 1024 && p.m > 4 * Shape::rows;
  const Index step = std::min<Index>(Shape::vectors(p.m), down ? 4 : 8) * Vector<T>::size;
  const bool pack_b = down || far_apart;
  const bool pack_a = p.a_col != 1 ? p.n > step && p.k > 4 : p.n > 4 * step && p.m * p.k > 2 * Cache<T>::a;
  const bool streams = !pack_b && p.k * p.b_row > Cache<T>::far;
  const Index most = streams ? Cache<T>::streamed : std::min(Cache<T>::depth, Cache<T>::b / step);
  const Index depth = std::clamp<Index>(p.k, 1, blocked ? kBlock : most);
  const Index group = together(pack_b, p.n, Cache<T>::b, depth, step);
  const Index block = together(pack_a, p.m, Cache<T>::a, depth, Shape::rows);
  T *packed_a = nullptr, *packed_b = nullptr;
  if (pack_a || pack_b) {
    const Index size = pack_b ? group * depth + kSpill : 0;
    packed_b = scratch<T>(size + (pack_a ? block * depth + kSpill : 0));
    packed_a = packed_b + size;
  }

  Index first = 0;
  do {
    const Index k = std::min(depth, p.k - first);
    Micro<T> m{};
    m.k = k;
    m.c_row = p.c_row;
    m.chain = blocked ? (first > 0 || p.accumulate ? Chain::add_total : Chain::fresh)
                      : (first > 0 ? Chain::carry_on : Chain::fresh);
    const bool last = first + k >= p.k;
    for (Index row = 0; row < p.m; row += block) {
      const Index rows = std::min(block, p.m - row);
      const T* a = p.a + row * p.a_row + first * p.a_col;
      if (pack_a) pack(k, rows, Shape::rows, a, p.a_col, p.a_row, packed_a);
      for (Index from = 0; from < p.n; from += group) {
        const Index to = std::min(from + group, p.n);
        const T* b = p.b + first * p.b_row + from * p.b_col;
        Ahead<T> ahead{};
        if (pack_b) {
          pack(k, to - from, step, b, p.b_row, p.b_col, packed_b);
          ahead = next_group(p, k, b, to, group, rows, step);
        }
        for (Index col = from; col < to; col += step) {
          const Index cols = std::min(step, to - col);
          m.b = pack_b ? packed_b + (col - from) * k : b + (col - from);
          m.b_row = pack_b ? step : p.b_row;
          m.bias = last && p.bias != nullptr ? p.bias + col : nullptr;
          if (streams) {
            const Index rows_ahead = std::min(depth, p.k - first - k);
            ahead = {m.b + k * p.b_row, rows_ahead, p.b_row, cols, parts(rows_ahead * Shape::rows, rows)};
          }
          for (Index r = 0; r < rows; r += Shape::rows) {
            m.a = pack_a ? packed_a + r * k : a + r * p.a_row;
            m.a_row = pack_a ? 1 : p.a_row;
            m.a_col = pack_a ? Shape::rows : p.a_col;
            m.c = p.c + (row + r) * p.c_row + col;
            ahead.some();
            micro_any(std::min(Shape::rows, rows - r), cols, m);
          }
        }
      }
    }
    first += k;
  } while (first < p.k);
}

/// c^T = b^T a^T: where c has few columns the lanes are its rows.
template <class T>
void run_narrow(const Product<T>& p, bool blocked) {
  constexpr Index most = 8 * Vector<T>::size;
  T turned[most];
  const bool straight = p.c_row == 1;
  const Index step = Tile<T>::vectors(p.n) * Vector<T>::size;
  for (Index first = 0; first < p.m; first += step) {
    const Index rows = std::min(step, p.m - first);
    T* const c = p.c + first * p.c_row;
    if (p.accumulate && !straight) {
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < p.n; ++j) turned[j * step + i] = c[i * p.c_row + j];
      }
    }
    run_wide<T>({.m = p.n,
                 .n = rows,
                 .k = p.k,
                 .a = p.b,
                 .a_row = p.b_col,
                 .a_col = p.b_row,
                 .b = p.a + first * p.a_row,
                 .b_row = p.a_col,
                 .b_col = p.a_row,
                 .c = straight ? c : turned,
                 .c_row = step,
                 .bias = nullptr,
                 .accumulate = p.accumulate},
                blocked);
    if (straight) {
      if (p.bias != nullptr) {
        for (Index i = 0; i < rows; ++i) c[i] += p.bias[0];
      }
      continue;
    }
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < p.n; ++j) {
        c[i * p.c_row + j] = p.bias == nullptr ? turned[j * step + i] : turned[j * step + i] + p.bias[j];
      }
    }
  }
}

template <class T, bool Blocked>
void run_product(const Product<T>& p) {
  if ((p.n == 1 || 4 * p.n <= Vector<T>::size) && p.m >= Vector<T>::size) {
    run_narrow(p, Blocked);
  } else {
    run_wide(p, Blocked);
  }
}

}  // namespace deltaprop::kernels
