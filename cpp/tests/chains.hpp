#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "check.hpp"
#include "deltaprop/kernels/load.hpp"
#include "deltaprop/kernels/table.hpp"

/// Reference implementation of the specified order of summation.
namespace deltaprop::testing {

/// a b + c as the kernels round it: once, unless the instruction set lacks fused multiply-add.
template <class T>
T fused(T a, T b, T c) {
#if defined(__x86_64__)
  static const std::string& set = kernels::choice().name;
  static const bool one_rounding = set == "x86-64-v3" || set == "x86-64-v4";
#else
  static const bool one_rounding = true;
#endif
  return one_rounding ? std::fma(a, b, c) : a * b + c;
}

/// A strided matrix: element (i, j) is data[i * row + j * col].
template <class T>
struct Strided {
  const T* data;
  Index row, col;
  T operator()(Index i, Index j) const { return data[i * row + j * col]; }
};

/// c = a b + bias: one chain from 0, bias last.
template <class T>
std::vector<T> chain_product(Index m, Index n, Index k, Strided<T> a, Strided<T> b, const T* bias) {
  std::vector<T> c(at(m * n));
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      T sum = 0;
      for (Index p = 0; p < k; ++p) sum = fused(a(i, p), b(p, j), sum);
      c[at(i * n + j)] = bias == nullptr ? sum : sum + bias[j];
    }
  }
  return c;
}

/// c = before + a b in chains of kBlock, each added to c; an empty `before` means none.
template <class T>
std::vector<T> chain_blocked(Index m, Index n, Index k, Strided<T> a, Strided<T> b, const std::vector<T>& before) {
  std::vector<T> c = before.empty() ? std::vector<T>(at(m * n)) : before;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      for (Index first = 0; first < k; first += kernels::kBlock) {
        T sum = 0;
        for (Index p = first; p < std::min(first + kernels::kBlock, k); ++p) sum = fused(a(i, p), b(p, j), sum);
        T& total = c[at(i * n + j)];
        total = first == 0 && before.empty() ? sum : total + sum;
      }
    }
  }
  return c;
}

/// Column sums in blocks of kBlock rows, added in order to `before` (0 if empty).
template <class T>
std::vector<T> chain_sums(Index rows, Index cols, const T* a, const std::vector<T>& before) {
  std::vector<T> sums = before.empty() ? std::vector<T>(at(cols)) : before;
  for (Index first = 0; first < rows; first += kernels::kBlock) {
    for (Index j = 0; j < cols; ++j) {
      T block = 0;
      for (Index i = first; i < std::min(first + kernels::kBlock, rows); ++i) block += a[i * cols + j];
      sums[at(j)] += block;
    }
  }
  return sums;
}

}  // namespace deltaprop::testing
