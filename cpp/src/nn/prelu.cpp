#include "deltaprop/nn/prelu.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {

PReLU::PReLU(Index num_parameters, double init) : count_(num_parameters), init_(init) {
  if (count_ < 1) throw ValueError("PReLU: expected num_parameters of 1 or more, got " + std::to_string(count_));
  checked_size(count_, sizeof(double));
}

std::string PReLU::describe() const { return "PReLU(num_parameters=" + std::to_string(count_) + ")"; }

std::vector<ParameterShape> PReLU::parameters() const { return {{"weight", {count_}}}; }

void PReLU::initialise(const Random&, double* parameters) const { std::fill_n(parameters, count_, init_); }

template <class T>
void PReLU::run_forward(const Forward<T>& f) const {
  kernels::get<T>().prelu_forward(
      {.rows = f.x.rows, .cols = f.x.cols, .weight = f.parameters, .shared = shared(), .x = f.x.data, .y = f.y.data});
}

template <class T>
void PReLU::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data == nullptr) return;
  // dJ/dx = dJ/dy for x > 0, w dJ/dy elsewhere
  kernels::get<T>().prelu_backward({.rows = b.x.rows,
                                    .cols = b.x.cols,
                                    .weight = b.parameters,
                                    .shared = shared(),
                                    .x = b.x.data,
                                    .dy = b.delta_y.data,
                                    .dx = b.delta_x.data});
}

std::vector<Range> PReLU::gradient_tiles() const { return {{0, count_}}; }

template <class T>
void PReLU::run_gradient(const Gradient<T>& g, Range) const {
  // dJ/dw = sum of dJ/dy min(x, 0) over rows, and over features if w is shared
  kernels::get<T>().prelu_gradient({.rows = g.x.rows,
                                    .cols = g.x.cols,
                                    .shared = shared(),
                                    .x = g.x.data,
                                    .dy = g.delta_y.data,
                                    .gradient = g.gradients,
                                    .accumulate = g.accumulate});
}

template void PReLU::run_forward(const Forward<float>&) const;
template void PReLU::run_forward(const Forward<double>&) const;
template void PReLU::run_backward(const Backward<float>&) const;
template void PReLU::run_backward(const Backward<double>&) const;
template void PReLU::run_gradient(const Gradient<float>&, Range) const;
template void PReLU::run_gradient(const Gradient<double>&, Range) const;

}  // namespace deltaprop::nn
