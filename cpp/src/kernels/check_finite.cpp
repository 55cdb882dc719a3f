#include "deltaprop/kernels/check_finite.hpp"

#include <algorithm>
#include <cmath>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::kernels {

template <class T>
void check_finite(const StridedView& view, const std::string& name, const InterruptCheck& check_interrupt,
                  Index first) {
  if (!is_floating(view.dtype)) return;
  for_each_chunk<T>(view, check_interrupt, [&](Matrix<T> part, Index begin) {
    if (get<T>().all_finite(part.data, part.size())) return;
    const T* bad = std::find_if(part.data, part.data + part.size(), [](T v) { return !std::isfinite(v); });
    const Index at = bad - part.data;
    double value = 0;
    StridedView cell = view;
    cell.data += (at % view.cols) * view.col_stride;
    gather<double>(cell, nullptr, begin + at / view.cols, {&value, 1, 1});
    throw ValueError(name + ": expected finite numbers" +
                     (std::isfinite(value) ? " that fit float32 (dtype=\"float64\" takes more)" : "") + ", got " +
                     number_text(value) + " in row " + std::to_string(first + begin + at / view.cols) + ", column " +
                     std::to_string(at % view.cols));
  });
}

template void check_finite<float>(const StridedView&, const std::string&, const InterruptCheck&, Index);
template void check_finite<double>(const StridedView&, const std::string&, const InterruptCheck&, Index);

}  // namespace deltaprop::kernels
