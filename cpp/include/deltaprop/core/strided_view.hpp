#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// Element types of the user's arrays.
enum class Dtype {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64,
  longdouble
};

bool is_floating(Dtype dtype);

/// Read-only view of the user's table: any real type, any strides (in bytes). Rows are converted as they are gathered,
/// so a data set is never copied as a whole.
struct StridedView {
  const std::byte* data = nullptr;
  Dtype dtype = Dtype::float64;
  Index rows = 0;
  Index cols = 0;
  Index row_stride = 0;
  Index col_stride = 0;
};

/// Rows order[0], order[1], ... of a view; first, first + 1, ... if `order` is null.
struct StridedRows {
  StridedView source;
  const Index* order = nullptr;
  Index first = 0;

  StridedRows slice(Range r) const {
    return {source, order == nullptr ? nullptr : order + r.begin, order == nullptr ? first + r.begin : 0};
  }
};

/// Gathers rows order[0], order[1], ... (first, first + 1, ... if `order` is null) into `out`, converted to T.
template <class T>
void gather(const StridedView& source, const Index* order, Index first, Matrix<T> out);
template <class T>
void gather(const StridedRows& rows, Matrix<T> out) {
  gather<T>(rows.source, rows.order, rows.first, out);
}

/// Rows per chunk when a whole data set is scanned.
inline Index chunk_rows(Index cols) { return std::clamp<Index>((Index{1} << 20) / std::max<Index>(cols, 1), 1, 4096); }

/// Calls f(converted rows, index of the first) for each chunk. Calls `check_interrupt`, which may throw, before each.
template <class T, class F>
void for_each_chunk(const StridedView& source, const InterruptCheck& check_interrupt, F&& f) {
  const Index chunk = std::min(chunk_rows(source.cols), source.rows);
  const Buffer<T> rows(checked_size(chunk, source.cols));
  for (Index first = 0; first < source.rows; first += chunk) {
    check_interrupt();
    const Matrix<T> part{rows.data(), std::min(chunk, source.rows - first), source.cols};
    gather<T>(source, nullptr, first, part);
    f(part, first);
  }
}

}  // namespace deltaprop
