#pragma once

#include <algorithm>

#include "deltaprop/graph/ops.hpp"
#include "deltaprop/kernels/table.hpp"
#include "walk.hpp"

namespace deltaprop::graph {

/// Gather: to = from[view], or to += from[view] if `to` accumulates; `to` is contiguous.
template <class T>
void gather(const View& v, const T* from, Node::Share<T> to) {
  const Walk<2> walk(v.shape, {contiguous_strides(v.shape), v.strides});
  const Index n = walk.length(), stride = walk.strides()[1];
  walk.each([&](const auto& at) {
    T* out = to.data + at[0];
    const T* in = from + v.offset + at[1];
    if (stride == 1 && to.accumulate) {
      kernels::get<T>().blend({n, out, in, T(1), T(1)});
    } else if (stride == 1) {
      std::copy_n(in, n, out);
    } else if (to.accumulate) {
      for (Index i = 0; i < n; ++i) out[i] += in[i * stride];
    } else {
      for (Index i = 0; i < n; ++i) out[i] = in[i * stride];
    }
  });
}

/// Scatter-add, the adjoint of gather: to[view] += from. Elements that the view repeats accumulate a sum.
template <class T>
void add_through(const View& v, const T* from, T* to) {
  const Walk<2> walk(v.shape, {contiguous_strides(v.shape), v.strides});
  const Index n = walk.length(), stride = walk.strides()[1];
  to += v.offset;
  if (walk.rows() > 0 && stride == 1 && walk.row_strides()[1] == 0) {
    return kernels::get<T>().column_sums({walk.rows(), n, from, to, true});
  }
  walk.each([&](const auto& at) {
    T* out = to + at[1];
    const T* in = from + at[0];
    if (stride == 0) {
      *out += static_cast<T>(kernels::get<T>().sum(in, n));
    } else if (stride == 1) {
      kernels::get<T>().blend({n, out, in, T(1), T(1)});
    } else {
      for (Index i = 0; i < n; ++i) out[i * stride] += in[i];
    }
  });
}

}  // namespace deltaprop::graph
