#include "deltaprop/nn/activation.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {

Activation::Activation(const std::string& name, const std::vector<double>& options, std::string description)
    : description_(std::move(description)) {
  const auto& known = kernels::get<double>();
  while (index_ < known.activation_count && name != known.activations[index_].name) ++index_;
  if (index_ == known.activation_count) throw ValueError("Activation: expected a known name, got '" + name + "'");
  const auto expected = static_cast<std::size_t>(functions<double>().options);
  if (options.size() != expected) {
    throw ValueError(description_ + ": expected " + std::to_string(expected) + " options, got " +
                     std::to_string(options.size()));
  }
  std::copy(options.begin(), options.end(), options_.begin());
}

}  // namespace deltaprop::nn
