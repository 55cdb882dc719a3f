#pragma once

#include <optional>
#include <string>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// y = weight xhat + bias, xhat = (x - mean) / sqrt(variance + eps), per feature: moments over the rows of the batch in
/// training, running moments in inference and if frozen.
class BatchNorm final : public BothPrecisions<BatchNorm> {
 public:
  /// `momentum` of the running statistics; none: cumulative averages over all batches.
  BatchNorm(Index features, double eps, std::optional<double> momentum, bool affine, std::string description);

  std::string describe() const override { return description_; }
  Index in_features() const override { return features_; }
  Index out_features(Index) const override { return features_; }
  std::vector<ParameterShape> parameters() const override;
  std::vector<ParameterShape> buffers() const override;
  Index saved_per_row(Index) const override { return features_; }
  Index saved_per_batch(Index) const override { return 5 * features_; }
  Index min_batch_size() const override { return 2; }
  bool rowwise(bool training) const override { return !training; }
  void initialise(const Random&, double*) const override;
  void initialise_buffers(double*) const override;
  std::vector<Range> gradient_tiles() const override;

  template <class T>
  void run_forward(const Forward<T>&) const;
  template <class T>
  void run_backward(const Backward<T>&) const;
  template <class T>
  void run_gradient(const Gradient<T>&, Range) const;
  template <class T>
  void run_update_buffers(const Statistics<T>&) const;

 private:
  template <class T>
  const T* invert(const T* variance, T* inverse_deviation) const;

  Index features_;
  double eps_;
  std::optional<double> momentum_;
  bool affine_;
  std::string description_;
};

/// The same formula per row, moments over its features; RMSNorm takes 0 for the mean, LayerNorm (`centred`) does not.
class RowNorm final : public BothPrecisions<RowNorm> {
 public:
  /// Without `eps`, the machine epsilon of the precision.
  RowNorm(bool centred, Index features, std::optional<double> eps, bool weight, bool bias, std::string description);

  std::string describe() const override { return description_; }
  Index in_features() const override { return features_; }
  Index out_features(Index) const override { return features_; }
  std::vector<ParameterShape> parameters() const override;
  /// xhat, and 1 / sqrt(variance + eps).
  Index saved_per_row(Index) const override { return features_ + 1; }
  void initialise(const Random&, double*) const override;
  std::vector<Range> gradient_tiles() const override;

  template <class T>
  void run_forward(const Forward<T>&) const;
  template <class T>
  void run_backward(const Backward<T>&) const;
  template <class T>
  void run_gradient(const Gradient<T>&, Range) const;

 private:
  bool centred_;
  Index features_;
  std::optional<double> eps_;
  bool weight_, bias_;
  std::string description_;
};

}  // namespace deltaprop::nn
