#pragma once

#include <cstddef>

namespace deltaprop {

using Index = std::ptrdiff_t;

/// How many parts of a size n numbers make, the last one perhaps smaller.
constexpr Index ceil_div(Index n, Index size) { return (n + size - 1) / size; }

/// A half-open range of rows, or of elements of a flat buffer.
struct Range {
  Index begin = 0;
  Index end = 0;
  Index size() const { return end - begin; }
};

/// A dense row-major matrix over memory owned elsewhere. Rows follow each other without a gap, so
/// any range of rows is one contiguous run. A null `data` means "not wanted".
template <class T>
struct Matrix {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;

  Matrix() = default;
  Matrix(T* data_, Index rows_, Index cols_) : data(data_), rows(rows_), cols(cols_) {}
  /// A view that may write is also a view that may only read.
  operator Matrix<const T>() const { return {data, rows, cols}; }

  Index size() const { return rows * cols; }
  T* row(Index i) const { return data + i * cols; }
  Matrix slice(Range r) const {
    return data == nullptr ? Matrix{nullptr, r.size(), cols} : Matrix{row(r.begin), r.size(), cols};
  }
};

}  // namespace deltaprop
