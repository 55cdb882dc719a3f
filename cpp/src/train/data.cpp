#include "deltaprop/train/data.hpp"

#include <cmath>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::train {

void check_class(std::int64_t c, Index classes, std::int64_t ignored, const std::string& name, Index row) {
  if ((c >= 0 && c < classes) || c == ignored) return;
  throw ValueError(name + ": expected classes from 0 to " + std::to_string(classes - 1) + ", got " + std::to_string(c) +
                   " in row " + std::to_string(row));
}

void check_classes(const StridedView& source, Index classes, const std::string& name, std::int64_t ignored,
                   const InterruptCheck& check_interrupt) {
  for_each_chunk<std::int64_t>(source, check_interrupt, [&](Matrix<std::int64_t> part, Index first) {
    for (Index i = 0; i < part.rows; ++i) check_class(part.data[i], classes, ignored, name, first + i);
  });
}

template <class T>
void check_weights(const StridedView& source, const InterruptCheck& check_interrupt) {
  for_each_chunk<T>(source, check_interrupt, [&](Matrix<T> part, Index first) {
    for (Index i = 0; i < part.rows; ++i) {
      if (part.data[i] >= 0 && std::isfinite(part.data[i])) continue;
      throw ValueError("sample_weight: expected finite weights of 0 or more, got " +
                       number_text(static_cast<double>(part.data[i])) + " in row " + std::to_string(first + i));
    }
  });
}

template void check_weights<float>(const StridedView&, const InterruptCheck&);
template void check_weights<double>(const StridedView&, const InterruptCheck&);

}  // namespace deltaprop::train
