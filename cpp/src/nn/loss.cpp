#include "deltaprop/nn/loss.hpp"

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {
namespace {

template <class T>
void call_kernel(kernels::Loss which, const LossCall<T>& c) {
  kernels::get<T>().losses[static_cast<int>(which)]({.rows = c.outputs.rows,
                                                     .cols = c.outputs.cols,
                                                     .outputs = c.outputs.data,
                                                     .targets = c.targets.values.data,
                                                     .classes = c.targets.classes,
                                                     .weights = c.weights,
                                                     .scale = c.scale,
                                                     .deltas = c.deltas.data,
                                                     .values = c.values,
                                                     .elements = c.elements});
}

}  // namespace

Reduction reduction(const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  throw ValueError("reduction: expected 'mean', 'sum' or 'none', got '" + name + "'");
}

double Loss::scale(double total_weight, Index cols) const {
  if (reduction_ != Reduction::mean) return factor_;
  const double divisor = total_weight * static_cast<double>(elements(cols));
  return divisor == 0 ? 0 : factor_ / divisor;
}

double Loss::value(const double* rows, Index n, double scale) const {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += rows[i];
  return sum * scale;
}

void MSELoss::run(const LossCall<float>& c) const { call_kernel(kernels::Loss::squared_error, c); }
void MSELoss::run(const LossCall<double>& c) const { call_kernel(kernels::Loss::squared_error, c); }
void CrossEntropyLoss::run(const LossCall<float>& c) const { call_kernel(kernels::Loss::cross_entropy, c); }
void CrossEntropyLoss::run(const LossCall<double>& c) const { call_kernel(kernels::Loss::cross_entropy, c); }

}  // namespace deltaprop::nn
