#pragma once

#include <array>
#include <string>
#include <vector>

#include "deltaprop/kernels/table.hpp"
#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

std::vector<std::string> activation_names();
/// The options of one, by its name; ValueError for others.
const OptionList& activation_options(const std::string& name);

/// y = f(x), of each element or each row; which f is a row of the kernels' table.
class Activation final : public BothPrecisions<Activation> {
 public:
  /// By its name in the kernels' table, with its options in the order of their description; ValueError for others.
  /// `description` is what messages call it.
  Activation(const std::string& name, const std::vector<double>& options, std::string description);

  std::string describe() const override { return description_; }
  bool supports_inplace() const override { return functions<double>().from_output(options_.data()); }

  template <class T>
  void run_forward(const Forward<T>& f) const {
    kernels::ActivationForward<T> call{.rows = f.x.rows, .cols = f.x.cols, .x = f.x.data, .y = f.y.data};
    take_options(call.options);
    functions<T>().forward(call);
  }
  // dJ/dx = dJ/dy * f'(x)
  template <class T>
  void run_backward(const Backward<T>& b) const {
    if (b.delta_x.data == nullptr) return;
    kernels::ActivationBackward<T> call{
        .rows = b.x.rows, .cols = b.x.cols, .x = b.x.data, .y = b.y.data, .dy = b.delta_y.data, .dx = b.delta_x.data};
    take_options(call.options);
    functions<T>().backward(call);
  }

 private:
  template <class T>
  const kernels::Activation<T>& functions() const {
    return kernels::get<T>().activations[index_];
  }
  template <class T>
  void take_options(T (&options)[OptionList::kMax]) const {
    for (std::size_t i = 0; i < options_.size(); ++i) options[i] = static_cast<T>(options_[i]);
  }

  Index index_ = 0;
  std::array<double, OptionList::kMax> options_{};
  std::string description_;
};

}  // namespace deltaprop::nn
