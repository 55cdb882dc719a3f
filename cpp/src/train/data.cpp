#include "deltaprop/train/data.hpp"

#include <cmath>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::train {

template <class T>
void check_finite(const Source& source, const std::string& name) {
  if (!is_floating(source.dtype)) return;
  const Index chunk = std::min(chunk_rows(source.cols), source.rows);
  Buffer<T> rows(checked_size(chunk, source.cols));
  for (Index first = 0; first < source.rows; first += chunk) {
    const Matrix<T> part{rows.data(), std::min(chunk, source.rows - first), source.cols};
    gather<T>(source, nullptr, first, part);
    if (kernels::get<T>().all_finite(part.data, part.size())) continue;
    const T* bad = std::find_if(part.data, part.data + part.size(), [](T v) { return !std::isfinite(v); });
    const Index at = bad - part.data;
    double value = 0;
    Source cell = source;
    cell.data += (at % source.cols) * source.col_stride;
    gather<double>(cell, nullptr, first + at / source.cols, {&value, 1, 1});
    throw ValueError(name + ": expected finite numbers" +
                     (std::isfinite(value) ? " that fit float32 (dtype=\"float64\" takes more)" : "") + ", got " +
                     (std::isfinite(value) ? "one of 3.4e38 or more" : std::to_string(value)) + " in row " +
                     std::to_string(first + at / source.cols) + ", column " + std::to_string(at % source.cols));
  }
}

void check_classes(const Source& source, Index classes, const std::string& name) {
  for (Index i = 0; i < source.rows; ++i) {
    std::int64_t c = 0;
    gather<std::int64_t>(source, nullptr, i, {&c, 1, 1});
    if (c < 0 || c >= classes) {
      throw ValueError(name + ": expected classes from 0 to " + std::to_string(classes - 1) + ", got " +
                       std::to_string(c) + " in row " + std::to_string(i));
    }
  }
}

void check_weights(const Source& source) {
  for (Index i = 0; i < source.rows; ++i) {
    double w = 0;
    gather<double>(source, nullptr, i, {&w, 1, 1});
    if (!(w >= 0) || !std::isfinite(w)) {
      throw ValueError("sample_weight: expected finite weights of 0 or more, got " + std::to_string(w) + " in row " +
                       std::to_string(i));
    }
  }
}

template void check_finite<float>(const Source&, const std::string&);
template void check_finite<double>(const Source&, const std::string&);

}  // namespace deltaprop::train
