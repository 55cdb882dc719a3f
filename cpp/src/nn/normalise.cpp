#include "deltaprop/nn/normalise.hpp"

#include <algorithm>
#include <limits>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {
namespace {

Index checked_features(Index features, const std::string& description) {
  if (features < 1) throw ValueError(description + ": expected one feature or more, got " + std::to_string(features));
  checked_size(features, 5 * sizeof(double));
  return features;
}

std::vector<ParameterShape> affine_parameters(Index features, bool weight, bool bias) {
  std::vector<ParameterShape> list;
  if (weight) list.push_back({"weight", {features}});
  if (bias) list.push_back({"bias", {features}});
  return list;
}

std::vector<Range> affine_tiles(Index features, bool weight, bool bias) {
  std::vector<Range> tiles;
  if (weight) tiles.push_back({0, features});
  if (bias) tiles.push_back({features, 2 * features});
  return tiles;
}

/// Layout of BatchNorm's batch statistics.
template <class Pointer>
struct BatchSums {
  Pointer mean, variance, inverse_deviation, weight_gradient, bias_gradient;

  BatchSums(Pointer statistics, Index n)
      : mean(statistics),
        variance(statistics + n),
        inverse_deviation(statistics + 2 * n),
        weight_gradient(statistics + 3 * n),
        bias_gradient(statistics + 4 * n) {}
};

/// Thread-local scratch memory: inference has no workspace.
template <class T>
T* scratch(Index n) {
  thread_local Buffer<T> buffer;
  buffer.reserve(n);
  return buffer.data();
}

}  // namespace

BatchNorm::BatchNorm(Index features, double eps, std::optional<double> momentum, bool affine, std::string description)
    : features_(checked_features(features, description)),
      eps_(eps),
      momentum_(momentum),
      affine_(affine),
      description_(std::move(description)) {}

std::vector<ParameterShape> BatchNorm::parameters() const { return affine_parameters(features_, affine_, affine_); }

std::vector<ParameterShape> BatchNorm::buffers() const {
  return {{"running_mean", {features_}}, {"running_var", {features_}}, {"num_batches_tracked", {}}};
}

void BatchNorm::initialise(const Random&, double* parameters) const {
  if (affine_) std::fill_n(parameters, features_, 1.0);
}

void BatchNorm::initialise_buffers(double* buffers) const { std::fill_n(buffers + features_, features_, 1.0); }

template <class T>
const T* BatchNorm::invert(const T* variance, T* inverse_deviation) const {
  kernels::get<T>().inverse_deviation(
      {.n = features_, .variance = variance, .epsilon = static_cast<T>(eps_), .inverse_deviation = inverse_deviation});
  return inverse_deviation;
}

template <class T>
void BatchNorm::run_forward(const Forward<T>& f) const {
  const auto& k = kernels::get<T>();
  kernels::ColumnNorm<T> norm{.rows = f.x.rows,
                              .cols = features_,
                              .x = f.x.data,
                              .weight = affine_ ? f.parameters : nullptr,
                              .bias = affine_ ? f.parameters + features_ : nullptr,
                              .y = f.y.data,
                              .normal = f.saved.data};
  if (f.training) {
    const BatchSums batch(f.batch_statistics, features_);
    k.column_moments(
        {.rows = f.x.rows, .cols = features_, .x = f.x.data, .mean = batch.mean, .variance = batch.variance});
    norm.mean = batch.mean;
    norm.inverse_deviation = invert<T>(batch.variance, batch.inverse_deviation);
  } else {
    norm.mean = f.buffers;
    norm.inverse_deviation = invert<T>(f.buffers + features_, scratch<T>(features_));
  }
  k.column_norm(norm);
}

template <class T>
void BatchNorm::run_backward(const Backward<T>& b) const {
  const auto& k = kernels::get<T>();
  kernels::ColumnNormDelta<T> delta{.rows = b.x.rows,
                                    .cols = features_,
                                    .batch = b.x.rows,
                                    .delta_y = b.delta_y.data,
                                    .normal = b.saved.data,
                                    .weight = affine_ ? b.parameters : nullptr,
                                    .delta_x = b.delta_x.data};
  if (b.training) {
    // dJ/dbias = sum over rows of dJ/dy, dJ/dweight = sum over rows of dJ/dy xhat. delta_x needs both sums, as the
    // moments depend on x.
    const BatchSums batch(b.batch_statistics, features_);
    const auto sum = [&](T* sums, const T* factors) {
      k.column_sums({.rows = b.x.rows, .cols = features_, .a = b.delta_y.data, .sums = sums, .factors = factors});
      return sums;
    };
    delta.delta_sums = sum(batch.bias_gradient, nullptr);
    delta.product_sums = sum(batch.weight_gradient, b.saved.data);
    delta.inverse_deviation = batch.inverse_deviation;
  } else {
    delta.inverse_deviation = invert<T>(b.buffers + features_, scratch<T>(features_));
  }
  if (b.delta_x.data != nullptr) k.column_norm_delta(delta);
}

std::vector<Range> BatchNorm::gradient_tiles() const { return affine_tiles(features_, affine_, affine_); }

template <class T>
void BatchNorm::run_gradient(const Gradient<T>& g, Range tile) const {
  const BatchSums batch(g.batch_statistics, features_);
  const T* fresh = tile.begin == 0 ? batch.weight_gradient : batch.bias_gradient;
  T* gradient = g.gradients + tile.begin;
  if (!g.accumulate) return void(std::copy_n(fresh, features_, gradient));
  kernels::get<T>().blend({.n = features_, .values = gradient, .fresh = fresh, .keep = T(1), .take = T(1)});
}

template <class T>
void BatchNorm::run_update_buffers(const Statistics<T>& s) const {
  const auto& k = kernels::get<T>();
  const BatchSums batch(s.batch_statistics, features_);
  T& tracked = s.buffers[2 * features_];
  tracked += 1;
  const double take = momentum_ ? *momentum_ : 1 / static_cast<double>(tracked);
  const auto blend = [&](T* running, const T* fresh, double factor) {
    k.blend({.n = features_,
             .values = running,
             .fresh = fresh,
             .keep = static_cast<T>(1 - take),
             .take = static_cast<T>(take * factor)});
  };
  const auto rows = static_cast<double>(s.rows);
  blend(s.buffers, batch.mean, 1);
  blend(s.buffers + features_, batch.variance, rows / (rows - 1));  // unbiased
}

RowNorm::RowNorm(bool centred, Index features, std::optional<double> eps, bool weight, bool bias,
                 std::string description)
    : centred_(centred),
      features_(checked_features(features, description)),
      eps_(eps),
      weight_(weight),
      bias_(weight && bias),
      description_(std::move(description)) {}

std::vector<ParameterShape> RowNorm::parameters() const { return affine_parameters(features_, weight_, bias_); }

void RowNorm::initialise(const Random&, double* parameters) const {
  if (weight_) std::fill_n(parameters, features_, 1.0);
}

template <class T>
void RowNorm::run_forward(const Forward<T>& f) const {
  const auto& k = kernels::get<T>();
  const auto norm = centred_ ? k.layer_norm : k.rms_norm;
  for (Index i = 0; i < f.x.rows; ++i) {
    T* saved = f.saved.data == nullptr ? nullptr : f.saved.row(i);
    norm({.rows = 1,
          .cols = features_,
          .x = f.x.row(i),
          .weight = weight_ ? f.parameters : nullptr,
          .bias = bias_ ? f.parameters + features_ : nullptr,
          .epsilon = eps_ ? static_cast<T>(*eps_) : std::numeric_limits<T>::epsilon(),
          .y = f.y.row(i),
          .normal = saved,
          .inverse_deviation = saved == nullptr ? nullptr : saved + features_});
  }
}

template <class T>
void RowNorm::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data == nullptr) return;
  const auto& k = kernels::get<T>();
  const auto delta = centred_ ? k.layer_norm_delta : k.rms_norm_delta;
  for (Index i = 0; i < b.x.rows; ++i) {
    delta({.rows = 1,
           .cols = features_,
           .delta_y = b.delta_y.row(i),
           .normal = b.saved.row(i),
           .inverse_deviation = b.saved.row(i) + features_,
           .weight = weight_ ? b.parameters : nullptr,
           .delta_x = b.delta_x.row(i)});
  }
}

std::vector<Range> RowNorm::gradient_tiles() const { return affine_tiles(features_, weight_, bias_); }

template <class T>
void RowNorm::run_gradient(const Gradient<T>& g, Range tile) const {
  // dJ/dweight = sum over rows of dJ/dy xhat, dJ/dbias = sum over rows of dJ/dy
  kernels::get<T>().column_sums({.rows = g.delta_y.rows,
                                 .cols = features_,
                                 .a = g.delta_y.data,
                                 .sums = g.gradients + tile.begin,
                                 .accumulate = g.accumulate,
                                 .factors = tile.begin == 0 ? g.saved.data : nullptr,
                                 .factor_stride = features_ + 1});
}

#define DELTAPROP_INSTANTIATE(T)                                           \
  template void BatchNorm::run_forward(const Forward<T>&) const;           \
  template void BatchNorm::run_backward(const Backward<T>&) const;         \
  template void BatchNorm::run_gradient(const Gradient<T>&, Range) const;  \
  template void BatchNorm::run_update_buffers(const Statistics<T>&) const; \
  template void RowNorm::run_forward(const Forward<T>&) const;             \
  template void RowNorm::run_backward(const Backward<T>&) const;           \
  template void RowNorm::run_gradient(const Gradient<T>&, Range) const
DELTAPROP_INSTANTIATE(float);
DELTAPROP_INSTANTIATE(double);
#undef DELTAPROP_INSTANTIATE

}  // namespace deltaprop::nn
