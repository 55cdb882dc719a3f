#include "deltaprop/nn/linear.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/threads.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {

namespace {

/// Splits a product along its columns over threads, so that each thread reads a part of the weights.
template <class F>
void parallel_columns(Index rows, Index inner, Index cols, F&& product) {
  constexpr Index kUnit = 64;  // columns: a multiple of the register tiles of all instruction sets
  const Index threads =
      threads::suggested_threads(static_cast<double>(rows) * static_cast<double>(inner) * static_cast<double>(cols));
  const Index width = threads == 1 ? cols : ceil_div(ceil_div(cols, threads), kUnit) * kUnit;
  threads::parallel_for(ceil_div(cols, width), threads,
                        [&](Index part, Index) { product(Range{part * width, std::min((part + 1) * width, cols)}); });
}

}  // namespace

Linear::Linear(Index in_features, Index out_features, bool bias, Initialiser init)
    : in_(in_features), out_(out_features), bias_(bias), init_(std::move(init)) {
  if (in_ < 1 || out_ < 1) {
    throw ValueError("Linear: expected in_features and out_features of 1 or more, got " + std::to_string(in_) +
                     " and " + std::to_string(out_));
  }
  checked_size(checked_size(in_, out_), 2 * sizeof(double));  // the bias is no larger than the weight
}

std::string Linear::describe() const {
  return "Linear(" + std::to_string(in_) + ", " + std::to_string(out_) + (bias_ ? ")" : ", bias=False)");
}

std::vector<ParameterShape> Linear::parameters() const {
  std::vector<ParameterShape> list{{"weight", {in_, out_}, true}};
  if (bias_) list.push_back({"bias", {out_}, false});
  return list;
}

void Linear::initialise(const Random& random, double* parameters) const {
  init_.fill_linear(random, in_, out_, parameters, bias_ ? parameters + weights() : nullptr);
}

template <class T>
void Linear::run_forward(const Forward<T>& f) const {
  // z = a w + b: (rows, in) (in, out) + (out,)
  parallel_columns(f.x.rows, in_, out_, [&](Range columns) {
    kernels::get<T>().product({.m = f.x.rows,
                               .n = columns.size(),
                               .k = in_,
                               .a = f.x.data,
                               .a_row = in_,
                               .a_col = 1,
                               .b = f.parameters + columns.begin,
                               .b_row = out_,
                               .b_col = 1,
                               .c = f.y.data + columns.begin,
                               .c_row = out_,
                               .bias = bias_ ? f.parameters + weights() + columns.begin : nullptr,
                               .accumulate = false});
  });
}

template <class T>
void Linear::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data == nullptr) return;
  // dJ/da = delta w^T: (rows, out) (out, in)
  parallel_columns(b.x.rows, out_, in_, [&](Range columns) {
    kernels::get<T>().product({.m = b.x.rows,
                               .n = columns.size(),
                               .k = out_,
                               .a = b.delta_y.data,
                               .a_row = out_,
                               .a_col = 1,
                               .b = b.parameters + columns.begin * out_,
                               .b_row = 1,
                               .b_col = out_,
                               .c = b.delta_x.data + columns.begin,
                               .c_row = in_,
                               .bias = nullptr,
                               .accumulate = false});
  });
}

std::vector<Range> Linear::gradient_tiles() const {
  // Tiles of rows of w, of one size: large enough to amortise the packing of the operands, small enough to be in cache
  // when they are updated. The bias is the last tile.
  constexpr Index kTile = 1 << 16, kRows = 192;
  constexpr Index kUnit = 24;  // rows: a multiple of the register tiles of all instruction sets
  const Index count = (in_ - 1) / std::max(kRows, kTile / out_) + 1;
  const Index rows = ((in_ - 1) / count / kUnit + 1) * kUnit;
  std::vector<Range> tiles;
  for (Index row = 0; row < in_; row += rows) tiles.push_back({row * out_, std::min(row + rows, in_) * out_});
  if (bias_) tiles.push_back({weights(), weights() + out_});
  return tiles;
}

template <class T>
void Linear::run_gradient(const Gradient<T>& g, Range tile) const {
  if (tile.begin == weights()) {
    // dJ/db = sum over rows of delta
    kernels::get<T>().column_sums({.rows = g.delta_y.rows,
                                   .cols = out_,
                                   .a = g.delta_y.data,
                                   .sums = g.gradients + tile.begin,
                                   .accumulate = g.accumulate});
    return;
  }
  // The tile's rows of dJ/dw = a^T delta: (in, rows) (rows, out)
  kernels::get<T>().blocked_product({.m = tile.size() / out_,
                                     .n = out_,
                                     .k = g.x.rows,
                                     .a = g.x.data + tile.begin / out_,
                                     .a_row = 1,
                                     .a_col = in_,
                                     .b = g.delta_y.data,
                                     .b_row = out_,
                                     .b_col = 1,
                                     .c = g.gradients + tile.begin,
                                     .c_row = out_,
                                     .bias = nullptr,
                                     .accumulate = g.accumulate});
}

template void Linear::run_forward(const Forward<float>&) const;
template void Linear::run_forward(const Forward<double>&) const;
template void Linear::run_backward(const Backward<float>&) const;
template void Linear::run_backward(const Backward<double>&) const;
template void Linear::run_gradient(const Gradient<float>&, Range) const;
template void Linear::run_gradient(const Gradient<double>&, Range) const;

}  // namespace deltaprop::nn
