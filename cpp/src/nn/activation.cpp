#include "deltaprop/nn/activation.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

Index find(const std::string& name) {
  const auto& known = kernels::get<double>();
  Index index = 0;
  while (index < known.activation_count && name != known.activations[index].name) ++index;
  if (index == known.activation_count) throw ValueError("Activation: expected a known name, got '" + name + "'");
  return index;
}

}  // namespace

std::vector<std::string> activation_names() {
  const auto& known = kernels::get<double>();
  std::vector<std::string> names;
  for (Index i = 0; i < known.activation_count; ++i) names.emplace_back(known.activations[i].name);
  return names;
}

const OptionList& activation_options(const std::string& name) {
  return kernels::get<double>().activations[find(name)].options;
}

Activation::Activation(const std::string& name, const std::vector<double>& options, std::string description)
    : index_(find(name)), description_(std::move(description)) {
  const std::size_t expected = functions<double>().options.size();
  if (options.size() != expected) {
    throw ValueError(description_ + ": expected " + std::to_string(expected) + " options, got " +
                     std::to_string(options.size()));
  }
  std::copy(options.begin(), options.end(), options_.begin());
}

}  // namespace deltaprop::nn
