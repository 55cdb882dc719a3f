#include "deltaprop/nn/network.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

/// The first layer whose width fixes the width of the input, the layers before it keeping it; or `size`.
std::size_t deciding_layer(const std::vector<std::shared_ptr<Layer>>& layers, Range range) {
  for (Index i = range.begin; i < range.end; ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (layers[k]->in_features() != kAnyWidth) return k;
    if (layers[k]->out_features(kAnyWidth) != kAnyWidth) break;
  }
  return layers.size();
}

Index required_width(const std::vector<std::shared_ptr<Layer>>& layers, Range range) {
  const std::size_t i = deciding_layer(layers, range);
  return i == layers.size() ? kAnyWidth : layers[i]->in_features();
}

void check_chain(const std::vector<std::shared_ptr<Layer>>& layers, Index width) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const Index expected = layers[i]->in_features();
    if (width != kAnyWidth && expected != kAnyWidth && width != expected) {
      throw ValueError("Sequential: layer " + std::to_string(i) + ", " + layers[i]->describe() + ", expected " +
                       std::to_string(expected) + " features, got " + std::to_string(width) + " from layer " +
                       std::to_string(i - 1) + ", " + layers[i - 1]->describe());
    }
    width = layers[i]->out_features(width);
  }
}

}  // namespace

template <class T>
Network<T>::Network(std::vector<std::shared_ptr<Layer>> layers, std::uint64_t seed)
    : layers_(std::move(layers)),
      parameters_(std::make_shared<Parameters<T>>()),
      seed_(seed),
      in_features_(required_width(layers_, all())) {
  if (layers_.empty()) throw ValueError("Sequential: expected one layer or more, got none");
  check_chain(layers_, in_features_);
  Index end = 0;
  for (Index i = 0; i < size(); ++i) {
    const Index begin = end;
    for (ParameterShape shape : layer(i).parameters()) {
      const Index n = shape.size();
      shape.name = std::to_string(i) + "." + shape.name;
      parameters_->list.push_back({std::move(shape), i, {end, end + n}});
      end += n;
    }
    ranges_.push_back({begin, end});
  }
  parameters_->values = Buffer<T>(end);
  parameters_->gradients = Buffer<T>(end);
  std::vector<double> initial;
  for (Index i = 0; i < size(); ++i) {
    initial.assign(static_cast<std::size_t>(parameters_of(i).size()), 0.0);
    layer(i).initialise(Random(seed, Purpose::initialise, 0, static_cast<std::uint32_t>(i)), initial.data());
    std::transform(initial.begin(), initial.end(), values_of(i), [](double v) { return static_cast<T>(v); });
  }
}

template <class T>
std::vector<Index> Network<T>::widths(Range layers, Index in) const {
  std::vector<Index> widths{in};
  for (Index i = layers.begin; i < layers.end; ++i) widths.push_back(layer(i).out_features(widths.back()));
  return widths;
}

template <class T>
void Network<T>::check_input(Range range, const std::vector<Index>& shape) const {
  const std::size_t decides = deciding_layer(layers_, range);
  const Index width = required_width(layers_, range);
  const bool fits = width == kAnyWidth || (!shape.empty() && shape.back() == width);
  if ((shape.size() == 1 || shape.size() == 2) && fits) return;
  const std::string name =
      layers_[decides == layers_.size() ? static_cast<std::size_t>(range.begin) : decides]->describe();
  throw ValueError(name + ": expected input (N, " + (width == kAnyWidth ? "features" : std::to_string(width)) +
                   "), got " + shape_text(shape));
}

template <class T>
bool Network<T>::rowwise() const {
  return std::all_of(layers_.begin(), layers_.end(), [](const auto& l) { return l->rowwise(); });
}

template class Network<float>;
template class Network<double>;

}  // namespace deltaprop::nn
