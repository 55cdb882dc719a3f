#pragma once

#include <algorithm>

#include "deltaprop/core/types.hpp"
#include "deltaprop/kernels/table.hpp"
#include "deltaprop/nn/plan.hpp"

/// Operations of the nodes other than layers: sums and concatenations.
namespace deltaprop::engine {

/// c = a + b; c may be a or b.
template <class T>
void add(Matrix<const T> a, Matrix<const T> b, Matrix<T> c) {
  kernels::get<T>().add(a.data, b.data, c.data, c.size());
}

/// Copies `cols` columns from `from_col` of `from` to `to_col` of `to`.
template <class T>
void copy_columns(Matrix<const T> from, Index from_col, Matrix<T> to, Index to_col, Index cols) {
  for (Index i = 0; i < from.rows; ++i) std::copy_n(from.row(i) + from_col, cols, to.row(i) + to_col);
}

/// y = (x_0, x_1, ...), where x(k) is the k-th input's matrix.
template <class T, class X>
void concatenate(const nn::Node& node, X&& x, Matrix<T> y) {
  Index col = 0;
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    const Matrix<T> part = x(k);
    copy_columns<T>(part, 0, y, col, part.cols);
    col += part.cols;
  }
}

/// (delta_0, delta_1, ...) = delta, where part(k) is the delta of the k-th input.
template <class T, class Part>
void split(const nn::Node& node, Matrix<const T> delta, Part&& part) {
  Index col = 0;
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    const Matrix<T> to = part(k);
    copy_columns<T>(delta, col, to, 0, to.cols);
    col += to.cols;
  }
}

}  // namespace deltaprop::engine
