#pragma once

#include <cstddef>
#include <cstdint>

#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// The element types that data may come in.
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

/// A table of numbers as its owner keeps it: any real type, any strides (in bytes), read-only. Rows are converted
/// as they are gathered, so that no copy of a whole data set is made.
struct Source {
  const std::byte* data = nullptr;
  Dtype dtype = Dtype::float64;
  Index rows = 0;
  Index cols = 0;
  Index row_stride = 0;
  Index col_stride = 0;
};

/// Writes the source's rows order[0], order[1], ... (or first, first + 1, ... where order is null), converted to T,
/// into `out`, one after the other.
template <class T>
void gather(const Source& source, const Index* order, Index first, Matrix<T> out);

}  // namespace deltaprop
