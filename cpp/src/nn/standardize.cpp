#include "deltaprop/nn/standardize.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {

Standardize::Standardize(Index features, std::string description)
    : features_(features), description_(std::move(description)) {
  if (features_ < 1) throw ValueError(description_ + ": expected one feature or more");
  checked_size(features_, 2 * sizeof(double));
}

std::vector<ParameterShape> Standardize::buffers() const {
  return {{"mean", {features_}}, {"mean_rest", {features_}}, {"scale", {features_}}, {"learned", {}}};
}

void Standardize::initialise_buffers(double* buffers) const { std::fill_n(buffers + 2 * features_, features_, 1.0); }

template <class T>
void Standardize::run_learn(const StridedView& x, const InterruptCheck& check_interrupt, T* buffers) const {
  const auto n = static_cast<double>(x.rows);
  std::vector<double> learned(static_cast<std::size_t>(2 * features_), 0.0);
  double *mean = learned.data(), *scale = mean + features_;
  const auto add_up = [&](double* sums, auto term) {
    for_each_chunk<double>(x, check_interrupt, [&](Matrix<double> part, Index) {
      for (Index i = 0; i < part.rows; ++i) {
        for (Index j = 0; j < features_; ++j) sums[j] += term(part.row(i)[j], j);
      }
    });
    for (Index j = 0; j < features_; ++j) sums[j] /= n;
  };
  add_up(mean, [](double v, Index) { return v; });
  add_up(scale, [mean](double v, Index j) { return (v - mean[j]) * (v - mean[j]); });
  for (Index j = 0; j < features_; ++j) {
    if (!std::isfinite(mean[j]) || !std::isfinite(scale[j])) {
      throw ValueError(description_ + ": expected numbers whose squares are finite, got larger ones in column " +
                       std::to_string(j));
    }
    // A feature is constant if its variance is within the rounding error of the mean, as in scikit-learn's
    // _is_constant_feature, or if its deviation underflows in float32.
    constexpr double eps = std::numeric_limits<double>::epsilon();
    const double rounding = n * mean[j] * eps;
    const double deviation = std::sqrt(scale[j]);
    const bool constant = scale[j] <= n * eps * scale[j] + rounding * rounding ||
                          deviation < static_cast<double>(std::numeric_limits<float>::min());
    scale[j] = constant ? 1 : deviation;
  }
  for (Index j = 0; j < features_; ++j) {
    buffers[j] = static_cast<T>(mean[j]);
    buffers[features_ + j] = static_cast<T>(mean[j] - static_cast<double>(buffers[j]));
    buffers[2 * features_ + j] = static_cast<T>(scale[j]);
  }
  buffers[3 * features_] = 1;
}

template <class T>
void Standardize::run_forward(const Forward<T>& f) const {
  if (!has_learned(f.buffers)) {
    throw std::runtime_error(description_ +
                             ": expected to have learned from data; call its learn(X), or fit on arrays");
  }
  thread_local Buffer<double> buffer;
  buffer.reserve(2 * features_);
  double *mean = buffer.data(), *x = mean + features_;
  const T* scale = f.buffers + 2 * features_;
  for (Index j = 0; j < features_; ++j) {
    const auto rounded = static_cast<double>(f.buffers[j]);
    mean[j] = rounded + static_cast<double>(f.buffers[features_ + j]);
    // The rounding error is stale if the mean has been set since.
    if (static_cast<T>(mean[j]) != f.buffers[j]) mean[j] = rounded;
  }
  for (Index i = 0; i < f.x.rows; ++i) {
    if (f.origin.source.data == nullptr) {
      std::copy_n(f.x.row(i), features_, x);
    } else {
      gather<double>(f.origin.slice({i, i + 1}), {x, 1, features_});
    }
    T* y = f.y.row(i);
    for (Index j = 0, n = features_; j < n; ++j) {
      y[j] = static_cast<T>((x[j] - mean[j]) / static_cast<double>(scale[j]));
    }
  }
}

template <class T>
void Standardize::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data == nullptr) return;
  const T* scale = b.buffers + 2 * features_;
  for (Index i = 0; i < b.x.rows; ++i) {
    for (Index j = 0; j < features_; ++j) b.delta_x.row(i)[j] = b.delta_y.row(i)[j] / scale[j];
  }
}

template void Standardize::run_learn(const StridedView&, const InterruptCheck&, float*) const;
template void Standardize::run_learn(const StridedView&, const InterruptCheck&, double*) const;
template void Standardize::run_forward(const Forward<float>&) const;
template void Standardize::run_forward(const Forward<double>&) const;
template void Standardize::run_backward(const Backward<float>&) const;
template void Standardize::run_backward(const Backward<double>&) const;

}  // namespace deltaprop::nn
