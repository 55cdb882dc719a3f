#pragma once

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// y = x for x > 0, w x elsewhere; w is a scalar, or one number per feature.
class PReLU final : public BothPrecisions<PReLU> {
 public:
  PReLU(Index num_parameters, double init);

  std::string describe() const override;
  Index in_features() const override { return shared() ? kAnyWidth : count_; }
  std::vector<ParameterShape> parameters() const override;
  void initialise(const Random&, double*) const override;
  std::vector<Range> gradient_tiles() const override;

  template <class T>
  void run_forward(const Forward<T>&) const;
  template <class T>
  void run_backward(const Backward<T>&) const;
  template <class T>
  void run_gradient(const Gradient<T>&, Range) const;

 private:
  bool shared() const { return count_ == 1; }

  Index count_;
  double init_;
};

}  // namespace deltaprop::nn
