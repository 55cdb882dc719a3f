#pragma once

#include <string>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// y = (x - mean) / scale, with the mean and deviation of each feature over the data set, computed before training. It
/// reads the user's data in float64, as the mean may be large compared with the deviation. In float32 networks a second
/// buffer holds the rounding error of the mean.
class Standardize final : public BothPrecisions<Standardize> {
 public:
  Standardize(Index features, std::string description);

  std::string describe() const override { return description_; }
  Index in_features() const override { return features_; }
  Index out_features(Index) const override { return features_; }
  std::vector<ParameterShape> buffers() const override;
  void initialise_buffers(double*) const override;
  bool learns_from_data() const override { return true; }
  bool has_learned(const float* buffers) const override { return buffers[3 * features_] != 0; }
  bool has_learned(const double* buffers) const override { return buffers[3 * features_] != 0; }

  template <class T>
  void run_learn(const StridedView& x, const InterruptCheck& check_interrupt, T* buffers) const;
  template <class T>
  void run_forward(const Forward<T>&) const;
  template <class T>
  void run_backward(const Backward<T>&) const;

 private:
  Index features_;
  std::string description_;
};

}  // namespace deltaprop::nn
