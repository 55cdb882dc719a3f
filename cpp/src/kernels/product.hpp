#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "deltaprop/kernels/table.hpp"
#include "packing.hpp"
#include "vector.hpp"

/// The matrix product: the micro-kernel holds a tile of c in registers while one chain of fused multiply-adds runs
/// along k. Cache blocking and packing follow Goto and van de Geijn, "Anatomy of high-performance matrix
/// multiplication" (2008), with their names: blocks of mc rows, nc columns and depth kc, register tiles of mr rows and
/// nr columns. None of it changes a bit: a chain that is split along k continues from its stored value.
namespace deltaprop::kernels {

template <class T>
struct RegisterTile {
#ifdef __AVX512F__
  // 32 registers: the 16 accumulators of 8 rows hide the latency, and batches are multiples of 8 rather than of 12.
  static constexpr Index mr = 8;
#else
  // 16 registers: 12 accumulators, 2 for b, the rest for a.
  static constexpr Index mr = 6;
#endif
  static constexpr Index max_vectors = 8;
  /// Columns, in vectors. With fewer rows there are more, so that the accumulators still hide the latency of an FMA.
  static constexpr Index vectors(Index rows) { return rows == 1 ? max_vectors : rows == 2 ? 4 : 2; }
};

enum class Chain {
  fresh,       // c = sum
  accumulate,  // the chain continues from c
  add_total,   // c = c + sum
};

/// One call of the micro-kernel: a tile of c.
template <class T>
struct MicroCall {
  Index k;
  const T* a;
  Index a_row, a_col;
  const T* b;
  Index b_row;
  Index tail;  // columns in the last vector where it is partial
  T* c;
  Index c_row;
  Chain chain;
  const T* bias;
};

template <class T, Index Rows, Index Vectors, bool Tail>
void micro_kernel(const MicroCall<T>& m) {
  using V = Vector<T>;
  const auto load = [&](const T* from, Index v) INLINED {
    return Tail && v == Vectors - 1 ? V::load(from + v * V::size, m.tail) : V::load(from + v * V::size);
  };
  V sum[Rows * Vectors];
  if (m.chain == Chain::accumulate) {
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

/// Selects the instance of micro_kernel for a tile of `rows` by `cols`, at most RegisterTile::vectors(rows) vectors.
template <class T>
void dispatch_micro_kernel(Index rows, Index cols, MicroCall<T>& m) {
  using Function = void (*)(const MicroCall<T>&);
  using Tile = RegisterTile<T>;
  constexpr Index width = Vector<T>::size, max_vectors = Tile::max_vectors;
  static constexpr auto functions = []<Index... I>(std::integer_sequence<Index, I...>) {
    // [rows - 1][vectors - 1][tail]
    return std::array<Function, sizeof...(I)>{[] {
      constexpr Index r = I / 2 / max_vectors + 1, v = I / 2 % max_vectors + 1;
      if constexpr (v <= Tile::vectors(r)) {
        return &micro_kernel<T, r, v, I % 2 != 0>;
      } else {
        return Function(nullptr);
      }
    }()...};
  }(std::make_integer_sequence<Index, Tile::mr * max_vectors * 2>{});
  m.tail = cols % width;
  const Index vectors = (cols - 1) / width;
  functions[static_cast<std::size_t>(((rows - 1) * max_vectors + vectors) * 2 + (m.tail != 0))](m);
}

/// Budgets in elements: the depth of a block, the packed blocks of b and a, and a whole b that is read from cache.
template <class T>
struct CacheBudget {
  static constexpr Index depth = 4096 / sizeof(T);
  static constexpr Index packed_b = (1 << 18) / sizeof(T);
  static constexpr Index packed_a = (1 << 20) / sizeof(T);
  static constexpr Index whole_b = (1 << 23) / sizeof(T);
};

/// Cache blocking of one product. A dimension whose operand is not packed is not blocked.
struct Blocking {
  bool pack_a, pack_b;
  bool stream_b;     // b is read from memory, unpacked
  Index mc, nc, kc;  // mc in whole tiles of mr rows, nc in whole panels
  Index nr;          // columns of a panel of b
};

template <class T, bool Blocked>
[[gnu::always_inline]] inline Blocking choose_blocking(const Product<T>& p) {
  using Tile = RegisterTile<T>;
  using Cache = CacheBudget<T>;
  // b is packed where its columns are not contiguous, or where its rows are so far apart that they compete for cache
  // sets and TLB entries. Packing the columns of a pays once several panels of b reuse them, its rows only if a does
  // not stay in cache.
  const bool strided = p.b_col != 1;
  const bool far_apart = p.b_row * static_cast<Index>(sizeof(T)) >= 1024 && p.m > 4 * Tile::mr;
  Blocking s{};
  s.nr = std::min<Index>(Tile::vectors(p.m), strided ? 4 : 8) * Vector<T>::size;
  s.pack_b = strided || far_apart;
  s.pack_a = p.a_col != 1 ? p.n > s.nr && p.k > 4 : p.n > 4 * s.nr && p.m * p.k > 2 * Cache::packed_a;
  s.stream_b = !s.pack_b && p.k * p.b_row > Cache::whole_b;
  constexpr Index streams = 16;  // rows of b at a time: the hardware prefetcher follows no more streams
  const Index max_kc = s.stream_b ? streams : std::min(Cache::depth, Cache::packed_b / s.nr);
  s.kc = std::clamp<Index>(p.k, 1, Blocked ? kBlock : max_kc);
  const auto block = [&s](bool packed, Index n, Index capacity, Index unit) {
    const Index units = ceil_div(n, unit);
    return (packed ? std::min(units, std::max<Index>(capacity / s.kc / unit, 1)) : units) * unit;
  };
  s.nc = block(s.pack_b, p.n, Cache::packed_b, s.nr);
  s.mc = block(s.pack_a, p.m, Cache::packed_a, Tile::mr);
  return s;
}

/// Part of a product: rows ic, ..., ic + m - 1 and columns jc, ..., jc + n - 1 of c, terms pc, ..., pc + k - 1 of their
/// sums.
struct Block {
  Index ic, jc, pc, m, n, k;
};

/// Prefetches the block of b that is packed after `x`, spread over the calls of the micro-kernel for `x`.
template <class T>
Prefetcher<T> next_block_of_b(const Product<T>& p, const Blocking& s, const Block& x, const T* b) {
  const Index cols = std::min(s.nc, p.n - (x.jc + x.n));
  if (cols == 0) return {};
  const Index calls = ceil_div(x.m, RegisterTile<T>::mr) * (s.nc / s.nr);
  Prefetcher<T> prefetcher = p.b_col == 1 ? Prefetcher<T>{b + s.nc, x.k, p.b_row, cols, 0}
                                          : Prefetcher<T>{b + s.nc * p.b_col, cols, p.b_col, x.k, 0};
  prefetcher.rows_per_call = ceil_div(prefetcher.rows, calls);
  return prefetcher;
}

/// The macro-kernel: packs a block of b if it is to be packed, and runs the micro-kernel over the tiles of c. `a` is
/// the block of a, packed or not; `call` has the fields that all tiles share.
template <class T>
[[gnu::always_inline]] inline void macro_kernel(const Product<T>& p, const Blocking& s, const Block& x, const T* a,
                                                T* packed_b, MicroCall<T>& call) {
  constexpr Index mr = RegisterTile<T>::mr;
  const T* b = p.b + x.pc * p.b_row + x.jc * p.b_col;
  const bool last = x.pc + x.k >= p.k;
  Prefetcher<T> prefetcher{};
  if (s.pack_b) {
    pack(x.k, x.n, s.nr, b, p.b_row, p.b_col, packed_b);
    prefetcher = next_block_of_b(p, s, x, b);
  }
  for (Index jr = 0; jr < x.n; jr += s.nr) {
    const Index cols = std::min(s.nr, x.n - jr);
    call.b = s.pack_b ? packed_b + jr * x.k : b + jr;
    call.bias = last && p.bias != nullptr ? p.bias + x.jc + jr : nullptr;
    if (s.stream_b) {
      const Index rows = std::min(s.kc, p.k - x.pc - x.k);
      prefetcher = {call.b + x.k * p.b_row, rows, p.b_row, cols, ceil_div(rows * mr, x.m)};
    }
    for (Index ir = 0; ir < x.m; ir += mr) {
      call.a = s.pack_a ? a + ir * x.k : a + ir * p.a_row;
      call.c = p.c + (x.ic + ir) * p.c_row + x.jc + jr;
      prefetcher.advance();
      dispatch_micro_kernel(std::min(mr, x.m - ir), cols, call);
    }
  }
}

/// c = a b, vector lanes along the columns of c.
template <class T, bool Blocked>
void multiply(const Product<T>& p) {
  constexpr Index mr = RegisterTile<T>::mr;
  const Blocking s = choose_blocking<T, Blocked>(p);
  T *packed_a = nullptr, *packed_b = nullptr;
  if (s.pack_a || s.pack_b) {
    const Index size = s.pack_b ? s.nc * s.kc + kPackingSlack : 0;
    packed_b = packing_buffer<T>(size + (s.pack_a ? s.mc * s.kc + kPackingSlack : 0));
    packed_a = packed_b + size;
  }
  MicroCall<T> call{};
  call.a_row = s.pack_a ? 1 : p.a_row;
  call.a_col = s.pack_a ? mr : p.a_col;
  call.b_row = s.pack_b ? s.nr : p.b_row;
  call.c_row = p.c_row;
  Block x{};
  do {  // at least once: with k = 0, c is 0 and the bias
    x.k = call.k = std::min(s.kc, p.k - x.pc);
    call.chain = Blocked ? (x.pc > 0 || p.accumulate ? Chain::add_total : Chain::fresh)
                         : (x.pc > 0 ? Chain::accumulate : Chain::fresh);
    for (x.ic = 0; x.ic < p.m; x.ic += s.mc) {
      x.m = std::min(s.mc, p.m - x.ic);
      const T* a = p.a + x.ic * p.a_row + x.pc * p.a_col;
      if (s.pack_a) pack(x.k, x.m, mr, a, p.a_col, p.a_row, packed_a);
      for (x.jc = 0; x.jc < p.n; x.jc += s.nc) {
        x.n = std::min(s.nc, p.n - x.jc);
        macro_kernel(p, s, x, s.pack_a ? packed_a : a, packed_b, call);
      }
    }
    x.pc += x.k;
  } while (x.pc < p.k);
}

/// c^T = b^T a^T: where c has few columns, the vector lanes run along its rows.
template <class T, bool Blocked>
void multiply_transposed(const Product<T>& p) {
  T transposed[RegisterTile<T>::max_vectors * Vector<T>::size];  // a tile of c^T
  const bool contiguous = p.c_row == 1;
  const Index width = RegisterTile<T>::vectors(p.n) * Vector<T>::size;
  for (Index first = 0; first < p.m; first += width) {
    const Index rows = std::min(width, p.m - first);
    T* const c = p.c + first * p.c_row;
    if (p.accumulate && !contiguous) {
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < p.n; ++j) transposed[j * width + i] = c[i * p.c_row + j];
      }
    }
    multiply<T, Blocked>({.m = p.n,
                          .n = rows,
                          .k = p.k,
                          .a = p.b,
                          .a_row = p.b_col,
                          .a_col = p.b_row,
                          .b = p.a + first * p.a_row,
                          .b_row = p.a_col,
                          .b_col = p.a_row,
                          .c = contiguous ? c : transposed,
                          .c_row = width,
                          .bias = nullptr,
                          .accumulate = p.accumulate});
    if (contiguous) {
      if (p.bias != nullptr) {
        for (Index i = 0; i < rows; ++i) c[i] += p.bias[0];
      }
      continue;
    }
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < p.n; ++j) {
        const T sum = transposed[j * width + i];
        c[i * p.c_row + j] = p.bias == nullptr ? sum : sum + p.bias[j];
      }
    }
  }
}

template <class T, bool Blocked>
void run_product(const Product<T>& p) {
  if ((p.n == 1 || 4 * p.n <= Vector<T>::size) && p.m >= Vector<T>::size) {
    multiply_transposed<T, Blocked>(p);
  } else {
    multiply<T, Blocked>(p);
  }
}

}  // namespace deltaprop::kernels
