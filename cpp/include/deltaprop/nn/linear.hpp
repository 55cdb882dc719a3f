#pragma once

#include "deltaprop/nn/initialise.hpp"
#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// z = a w + b with a (rows, in), w (in, out) and optional b (out,).
class Linear final : public BothPrecisions<Linear> {
 public:
  Linear(Index in_features, Index out_features, bool bias, Initialiser init);

  std::string describe() const override;
  Index in_features() const override { return in_; }
  Index out_features(Index) const override { return out_; }
  bool reads_output() const override { return false; }
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
  Index weights() const { return in_ * out_; }

  Index in_, out_;
  bool bias_;
  Initialiser init_;
};

}  // namespace deltaprop::nn
