#pragma once

#include <algorithm>
#include <type_traits>

#include "deltaprop/kernels/table.hpp"
#include "vector.hpp"

namespace deltaprop::kernels {

/// Sum over rows in the fixed order: block = add(block, i) for each row i of a block of kBlock rows, then the blocks
/// are added to `total` in order. `blocks_at_once` blocks are interleaved to hide the latency of the additions.
template <Index blocks_at_once = 1, class S, class F>
[[gnu::always_inline]] inline S sum_over_rows(Index rows, S total, F&& add) {
  Index first = 0;
  for (; blocks_at_once > 1 && first + blocks_at_once * kBlock <= rows; first += blocks_at_once * kBlock) {
    S blocks[blocks_at_once]{};
    for (Index i = first; i < first + kBlock; ++i) {
      unroll<blocks_at_once>([&](Index b) INLINED { blocks[b] = add(blocks[b], i + b * kBlock); });
    }
    unroll<blocks_at_once>([&](Index b) INLINED { total = total + blocks[b]; });
  }
  for (; first < rows; first += kBlock) {
    const Index last = std::min(first + kBlock, rows);
    S block{};
    for (Index i = first; i < last; ++i) block = add(block, i);
    total = total + block;
  }
  return total;
}

/// Several adjacent vectors as one, so that strided rows are read several cache lines at a time.
template <class T>
struct Wide {
  static constexpr Index vectors = 16;
  static constexpr Index size = vectors * Vector<T>::size;

  Vector<T> v[vectors];

  static Wide load(const T* from) {
    Wide w;
    unroll<vectors>([&](Index k) INLINED { w.v[k] = Vector<T>::load(from + k * Vector<T>::size); });
    return w;
  }
  void store(T* to) const {
    unroll<vectors>([&](Index k) INLINED { v[k].store(to + k * Vector<T>::size); });
  }
  friend Wide operator+(Wide a, const Wide& b) {
    unroll<vectors>([&](Index k) INLINED { a.v[k] = a.v[k] + b.v[k]; });
    return a;
  }
  friend Wide fma(const Wide& a, const Wide& b, Wide c) {
    unroll<vectors>([&](Index k) INLINED { c.v[k] = fma(a.v[k], b.v[k], c.v[k]); });
    return c;
  }
};

template <class T>
void column_sums(const ColumnSums<T>& s) {
  const Index stride = s.factor_stride == 0 ? s.cols : s.factor_stride;
  const auto columns = [&](Index j, auto load, auto store) {
    using V = decltype(load(s.a));
    const auto before = s.accumulate ? load(s.sums + j) : V{};
    constexpr Index blocks_at_once = std::is_same_v<V, Wide<T>> ? 1 : 4;
    const auto sum = [&](auto add) { store(s.sums + j, sum_over_rows<blocks_at_once>(s.rows, before, add)); };
    if (s.factors == nullptr) {
      sum([&](const V& block, Index i) { return block + load(s.a + i * s.cols + j); });
    } else {
      sum([&](const V& block, Index i) {
        return fma(load(s.a + i * s.cols + j), load(s.factors + i * stride + j), block);
      });
    }
  };
  Index done = 0;
  for (; done + Wide<T>::size <= s.cols; done += Wide<T>::size) {
    columns(done, Wide<T>::load, [](T* to, const Wide<T>& sums) { sums.store(to); });
  }
  for_each_vector<T>(s.cols - done, [&](Index j, auto load, auto store) { columns(done + j, load, store); });
}

/// Whether all elements are finite: 0 x is 0 for finite x and NaN otherwise.
template <class T>
bool all_finite(const T* a, Index n) {
  constexpr Index chains = 4, run = chains * Vector<T>::size;
  const auto zero = Vector<T>::zero();
  Vector<T> sums[chains] = {zero, zero, zero, zero};
  Index first = 0;
  for (; first + run <= n; first += run) {
    unroll<chains>([&](Index k)
                       INLINED { sums[k] = fma(Vector<T>::load(a + first + k * Vector<T>::size), zero, sums[k]); });
  }
  for_each_vector<T>(n - first, [&](Index i, auto load, auto) { sums[0] = fma(load(a + first + i), zero, sums[0]); });
  return all((sums[0] + sums[1]) + (sums[2] + sums[3]) == zero);
}

/// Transposes up to Vector<T>::size rows: column j becomes a vector with one row per lane, unused lanes 0. `to` holds
/// cols vectors, rounded up to a multiple of Vector<T>::size.
template <class T>
void rows_to_lanes(const T* from, Index rows, Index cols, T* to) {
  constexpr Index width = Vector<T>::size;
  for (Index j = 0; j < cols; j += width) {
    packets::PacketBlock<typename Vector<T>::Packet, width> square;
    unroll<width>([&](Index i) INLINED {
      square.packet[i] = (i < rows ? Vector<T>::load(from + i * cols + j, cols - j) : Vector<T>::zero()).p;
    });
    packets::ptranspose(square);
    unroll<width>([&](Index k) INLINED { Vector<T>{square.packet[k]}.store(to + (j + k) * width); });
  }
}
/// The inverse of rows_to_lanes().
template <class T>
void lanes_to_rows(const T* from, Index rows, Index cols, T* to) {
  constexpr Index width = Vector<T>::size;
  for (Index j = 0; j < cols; j += width) {
    packets::PacketBlock<typename Vector<T>::Packet, width> square;
    unroll<width>([&](Index k) INLINED { square.packet[k] = Vector<T>::load(from + (j + k) * width).p; });
    packets::ptranspose(square);
    unroll<width>([&](Index i) INLINED {
      if (i < rows) Vector<T>{square.packet[i]}.store(to + i * cols + j, cols - j);
    });
  }
}

/// Sum of f over the n elements of a row by a reduction tree that depends on n alone: element j is added to chain
/// j mod 16, then the 16 chains are added pairwise by halves.
template <class T, class F>
[[gnu::always_inline]] inline T row_sum(Index n, F&& f) {
  constexpr Index chains = 16;
  constexpr Index width = Vector<T>::size;
  Vector<T> running[chains / width];
  unroll<chains / width>([&](Index k) INLINED { running[k] = Vector<T>::zero(); });
  constexpr std::integral_constant<Index, width> whole;
  Index first = 0;
  for (; first + chains <= n; first += chains) {
    unroll<chains / width>([&](Index k) INLINED { running[k] = running[k] + f(first + k * width, whole); });
  }
  alignas(64) T sums[chains];
  unroll<chains / width>([&](Index k) INLINED { running[k].store(sums + k * width); });
  for (Index lane = 0; lane < chains && first + lane < n; lane += width) {
    const Index rest = std::min(width, n - first - lane);
    (Vector<T>::load(sums + lane) + f(first + lane, rest)).store(sums + lane, rest);
  }
  for (Index half = chains / 2; half > 0; half /= 2) {
    for (Index lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

/// Elements of a run of long_sum().
inline constexpr Index kSumRun = 4096;
/// Sum of f(first element, load) over any number of elements: row_sum() of runs, added in float64.
template <class T, class F>
[[gnu::always_inline]] inline double long_sum(Index n, F&& f) {
  double sum = 0;
  for (Index first = 0; first < n; first += kSumRun) {
    sum += row_sum<T>(std::min(n - first, kSumRun), [&](Index i, auto count) {
      return f(first + i, [count](const T* from) {
        if constexpr (std::is_same_v<decltype(count), Index>) {
          return Vector<T>::load(from, count);
        } else {
          return Vector<T>::load(from);
        }
      });
    });
  }
  return sum;
}

/// Left fold of f over the vectors of a row. The lanes of the result remain to be combined.
template <class T, class F>
[[gnu::always_inline]] inline Vector<T> fold_vectors(const T* a, Index n, F&& f) {
  constexpr Index width = Vector<T>::size;
  auto result = Vector<T>::all(a[0]);
  Index j = 0;
  for (; j + width <= n; j += width) result = f(result, Vector<T>::load(a + j));
  return j < n ? f(result, Vector<T>::load(a + j, n - j, a[0])) : result;
}

/// The largest element; unspecified if any is NaN.
template <class T>
[[gnu::always_inline]] inline T row_max(const T* a, Index n) {
  T lanes[Vector<T>::size];
  fold_vectors(a, n, [](Vector<T> u, Vector<T> v) { return max(u, v); }).store(lanes);
  return *std::max_element(lanes, lanes + Vector<T>::size);
}

}  // namespace deltaprop::kernels
