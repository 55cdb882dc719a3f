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
  return {{"mean", {features_}}, {"scale", {features_}}, {"learned", {}}};
}

void Standardize::initialise_buffers(double* buffers) const { std::fill_n(buffers + features_, features_, 1.0); }

std::vector<double> Standardize::learn(const Source& x, const std::function<void()>& poll) const {
  const auto n = static_cast<double>(x.rows);
  std::vector<double> learned(static_cast<std::size_t>(2 * features_ + 1), 0.0);
  double *mean = learned.data(), *scale = mean + features_;
  const auto add_up = [&](double* sums, auto term) {
    for_each_chunk<double>(x, poll, [&](Matrix<double> part, Index) {
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
    // A feature is constant where its variance is what rounding of the mean leaves, as in scikit-learn's
    // _is_constant_feature, or where float32 could not hold the deviation.
    constexpr double eps = std::numeric_limits<double>::epsilon();
    const double rounding = n * mean[j] * eps;
    const double deviation = std::sqrt(scale[j]);
    const bool constant = scale[j] <= n * eps * scale[j] + rounding * rounding ||
                          deviation < static_cast<double>(std::numeric_limits<float>::min());
    scale[j] = constant ? 1 : deviation;
  }
  learned.back() = 1;
  return learned;
}

template <class T>
void Standardize::run_forward(const Forward<T>& f) const {
  if (!has_learned(f.buffers)) {
    throw std::runtime_error(description_ +
                             ": expected to have learned from data; call its learn(X), or fit on arrays");
  }
  const T *mean = f.buffers, *scale = f.buffers + features_;
  for (Index i = 0; i < f.x.rows; ++i) {
    for (Index j = 0; j < features_; ++j) f.y.row(i)[j] = (f.x.row(i)[j] - mean[j]) / scale[j];
  }
}

template <class T>
void Standardize::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data == nullptr) return;
  const T* scale = b.buffers + features_;
  for (Index i = 0; i < b.x.rows; ++i) {
    for (Index j = 0; j < features_; ++j) b.delta_x.row(i)[j] = b.delta_y.row(i)[j] / scale[j];
  }
}

template void Standardize::run_forward(const Forward<float>&) const;
template void Standardize::run_forward(const Forward<double>&) const;
template void Standardize::run_backward(const Backward<float>&) const;
template void Standardize::run_backward(const Backward<double>&) const;

}  // namespace deltaprop::nn
