#include "deltaprop/nn/activation.hpp"

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {

Activation::Activation(const std::string& name) {
  const auto& known = kernels::get<double>();
  while (index_ < known.activation_count && name != known.activations[index_].name) ++index_;
  if (index_ == known.activation_count) throw ValueError("Activation: expected a known name, got '" + name + "'");
}

std::string Activation::describe() const { return std::string(functions<double>().name) + "()"; }

}  // namespace deltaprop::nn
