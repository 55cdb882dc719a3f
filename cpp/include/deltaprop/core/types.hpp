#pragma once

#include <cstddef>

namespace deltaprop {

using Index = std::ptrdiff_t;

/// n / size, rounded up.
constexpr Index ceil_div(Index n, Index size) { return (n + size - 1) / size; }

/// A half-open range of rows, or of elements of a flat buffer.
struct Range {
  Index begin = 0;
  Index end = 0;
  Index size() const { return end - begin; }
};

/// Non-owning view of a dense row-major matrix without padding, so any range of rows is one contiguous run. A null
/// `data` means that the caller does not need the result.
template <class T>
struct Matrix {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;

  Matrix() = default;
  Matrix(T* data_, Index rows_, Index cols_) : data(data_), rows(rows_), cols(cols_) {}
  operator Matrix<const T>() const { return {data, rows, cols}; }

  Index size() const { return rows * cols; }
  T* row(Index i) const { return data + i * cols; }
  Matrix slice(Range r) const {
    return data == nullptr ? Matrix{nullptr, r.size(), cols} : Matrix{row(r.begin), r.size(), cols};
  }
};

}  // namespace deltaprop
