#pragma once

#include <string>

#include "deltaprop/kernels/table.hpp"
#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// y = f(x), element by element; which f is a row of the kernels' table.
class Activation final : public BothPrecisions<Activation> {
 public:
  /// By its name in the kernels' table; ValueError for others.
  explicit Activation(const std::string& name);

  std::string describe() const override;

  template <class T>
  void run_forward(const Forward<T>& f) const {
    functions<T>().forward(f.x.data, f.y.data, f.x.size());
  }
  // dJ/dx = dJ/dy * f'(x)
  template <class T>
  void run_backward(const Backward<T>& b) const {
    if (b.delta_x.data == nullptr) return;
    functions<T>().backward(b.x.data, b.y.data, b.delta_y.data, b.delta_x.data, b.x.size());
  }

 private:
  template <class T>
  const kernels::Activation<T>& functions() const {
    return kernels::get<T>().activations[index_];
  }

  Index index_ = 0;
};

}  // namespace deltaprop::nn
