#pragma once

#include <algorithm>
#include <type_traits>

#include "deltaprop/kernels/table.hpp"
#include "vector.hpp"

namespace deltaprop::kernels {

/// Adds to `total` what `add(block, i)` adds for each row i: chains of kBlock rows, the blocks added in order. So many
/// `together` run side by side, as each waits for its own last sum.
template <Index together = 1, class S, class F>
[[gnu::always_inline]] inline S sum_over_rows(Index rows, S total, F&& add) {
  Index first = 0;
  for (; together > 1 && first + together * kBlock <= rows; first += together * kBlock) {
    S blocks[together]{};
    for (Index i = first; i < first + kBlock; ++i) {
      unroll<together>([&](Index b) INLINED { blocks[b] = add(blocks[b], i + b * kBlock); });
    }
    unroll<together>([&](Index b) INLINED { total = total + blocks[b]; });
  }
  for (; first < rows; first += kBlock) {
    const Index last = std::min(first + kBlock, rows);
    S block{};
    for (Index i = first; i < last; ++i) block = add(block, i);
    total = total + block;
  }
  return total;
}

/// Several vectors side by side: rows far apart in memory are read by more than a cache line at a time.
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

/// Adds each column over the rows, or its products with another.
template <class T>
void column_sums(const ColumnSums<T>& s) {
  const Index stride = s.factor_stride == 0 ? s.cols : s.factor_stride;
  const auto columns = [&](Index j, auto load, auto store) {
    using V = decltype(load(s.a));
    const auto before = s.accumulate ? load(s.sums + j) : V{};
    constexpr Index together = std::is_same_v<V, Wide<T>> ? 1 : 4;
    const auto sum = [&](auto add) { store(s.sums + j, sum_over_rows<together>(s.rows, before, add)); };
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

/// Whether no element is infinite or NaN: 0 x is 0 exactly for the finite ones.
template <class T>
bool all_finite(const T* a, Index n) {
  constexpr Index together = 4, run = together * Vector<T>::size;
  const auto zero = Vector<T>::zero();
  Vector<T> sums[together] = {zero, zero, zero, zero};
  Index first = 0;
  for (; first + run <= n; first += run) {
    unroll<together>([&](Index k)
                         INLINED { sums[k] = fma(Vector<T>::load(a + first + k * Vector<T>::size), zero, sums[k]); });
  }
  for_each_vector<T>(n - first, [&](Index i, auto load, auto) { sums[0] = fma(load(a + first + i), zero, sums[0]); });
  return all((sums[0] + sums[1]) + (sums[2] + sums[3]) == zero);
}

/// The columns of so many rows, Vector<T>::size at the most, as a vector each: a row in each lane, those past the rows
/// zero. `to` has room for whole squares of vectors.
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
/// And back.
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

/// The sum within a row, of f over its elements, by a tree that its length alone fixes: 16 chains, element j in
/// chain j mod 16, then halves added.
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

inline constexpr Index kSumRun = 4096;
/// The sum of f(first element, load) over n elements, however many: row sums of runs, added in float64.
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

/// f of a row's vectors, one after the other; its lanes are still to be put together.
template <class T, class F>
[[gnu::always_inline]] inline Vector<T> folded(const T* a, Index n, F&& f) {
  constexpr Index width = Vector<T>::size;
  auto so_far = Vector<T>::all(a[0]);
  Index j = 0;
  for (; j + width <= n; j += width) so_far = f(so_far, Vector<T>::load(a + j));
  return j < n ? f(so_far, Vector<T>::load(a + j, n - j, a[0])) : so_far;
}

/// The largest element; where one is NaN, any of them.
template <class T>
[[gnu::always_inline]] inline T row_max(const T* a, Index n) {
  T lanes[Vector<T>::size];
  folded(a, n, [](Vector<T> u, Vector<T> v) { return max(u, v); }).store(lanes);
  return *std::max_element(lanes, lanes + Vector<T>::size);
}

}  // namespace deltaprop::kernels
