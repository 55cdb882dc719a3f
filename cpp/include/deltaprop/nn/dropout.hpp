#pragma once

#include <string>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// y = (x + offset) mask + shift in training, with mask 0 with probability p and `scale` otherwise; y = x in inference.
class Dropout final : public BothPrecisions<Dropout> {
 public:
  /// Chosen to preserve the mean of x, and for AlphaDropout its variance.
  struct Terms {
    double scale, offset, shift;
  };

  /// "Dropout" or "AlphaDropout"; ValueError for others, and for a p that is no probability.
  Dropout(const std::string& name, double p);

  std::string describe() const override { return description_; }
  Index saved_per_row(Index in) const override { return in; }

  template <class T>
  void run_forward(const Forward<T>&) const;
  template <class T>
  void run_backward(const Backward<T>&) const;

 private:
  bool drops(bool training) const { return training && p_ > 0; }

  double p_;
  Terms terms_;
  std::string description_;
};

}  // namespace deltaprop::nn
