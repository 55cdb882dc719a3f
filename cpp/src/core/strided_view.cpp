#include "deltaprop/core/strided_view.hpp"

#include <Eigen/Core>
#include <cstring>
#include <type_traits>

namespace deltaprop {
namespace {

template <class T, class S>
T converted(const std::byte* p) {
  S value;
  std::memcpy(&value, p, sizeof(S));  // NumPy arrays may be unaligned
  return static_cast<T>(value);
}

template <class T, class S>
void gather_as(const StridedView& source, const Index* order, Index first, Matrix<T> out) {
  const bool dense = source.col_stride == static_cast<Index>(sizeof(S));
  const Index row_bytes = out.cols * static_cast<Index>(sizeof(S));
  if (dense && std::is_same_v<T, S> && order == nullptr && source.row_stride == row_bytes && out.size() > 16) {
    std::memcpy(out.data, source.data + first * row_bytes, static_cast<std::size_t>(out.rows * row_bytes));
    return;
  }
  for (Index i = 0; i < out.rows; ++i) {
    const std::byte* from = source.data + (order == nullptr ? first + i : order[i]) * source.row_stride;
    T* to = out.row(i);
    if (dense && std::is_same_v<T, S>) {
      // For short rows this loop is faster than a call of memcpy.
      if (out.cols > 16) {
        std::memcpy(to, from, static_cast<std::size_t>(row_bytes));
      } else {
        for (Index j = 0; j < out.cols; ++j) to[j] = converted<T, S>(from + j * static_cast<Index>(sizeof(S)));
      }
    } else {
      for (Index j = 0; j < out.cols; ++j) to[j] = converted<T, S>(from + j * source.col_stride);
    }
  }
}

}  // namespace

bool is_floating(Dtype dtype) {
  return dtype == Dtype::float16 || dtype == Dtype::float32 || dtype == Dtype::float64 || dtype == Dtype::longdouble;
}

template <class T>
void gather(const StridedView& source, const Index* order, Index first, Matrix<T> out) {
  switch (source.dtype) {
    case Dtype::boolean: return gather_as<T, std::uint8_t>(source, order, first, out);
    case Dtype::int8: return gather_as<T, std::int8_t>(source, order, first, out);
    case Dtype::int16: return gather_as<T, std::int16_t>(source, order, first, out);
    case Dtype::int32: return gather_as<T, std::int32_t>(source, order, first, out);
    case Dtype::int64: return gather_as<T, std::int64_t>(source, order, first, out);
    case Dtype::uint8: return gather_as<T, std::uint8_t>(source, order, first, out);
    case Dtype::uint16: return gather_as<T, std::uint16_t>(source, order, first, out);
    case Dtype::uint32: return gather_as<T, std::uint32_t>(source, order, first, out);
    case Dtype::uint64: return gather_as<T, std::uint64_t>(source, order, first, out);
    case Dtype::float16: return gather_as<T, Eigen::half>(source, order, first, out);
    case Dtype::float32: return gather_as<T, float>(source, order, first, out);
    case Dtype::float64: return gather_as<T, double>(source, order, first, out);
    case Dtype::longdouble: return gather_as<T, long double>(source, order, first, out);
  }
}

template void gather<float>(const StridedView&, const Index*, Index, Matrix<float>);
template void gather<double>(const StridedView&, const Index*, Index, Matrix<double>);
template void gather<std::uint8_t>(const StridedView&, const Index*, Index, Matrix<std::uint8_t>);
template void gather<std::int64_t>(const StridedView&, const Index*, Index, Matrix<std::int64_t>);

}  // namespace deltaprop
