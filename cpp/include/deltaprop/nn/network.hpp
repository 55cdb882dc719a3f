#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// Layers one after the other, their parameters in one flat buffer and the gradients in a second one.
template <class T>
class Network {
 public:
  /// Lays out the buffers and initialises each layer from the seed and its place. ValueError where two layers do
  /// not fit.
  Network(std::vector<std::shared_ptr<Layer>> layers, std::uint64_t seed);

  Index size() const { return static_cast<Index>(layers_.size()); }
  const Layer& layer(Index i) const { return *layers_[static_cast<std::size_t>(i)]; }
  /// Features of the input, or kAnyWidth.
  Index in_features() const { return in_features_; }
  /// Where each layer's parameters lie in the flat buffers.
  Range parameters_of(Index i) const { return ranges_[static_cast<std::size_t>(i)]; }
  T* values_of(Index i) const { return parameters_->values.data() + parameters_of(i).begin; }
  T* gradients_of(Index i) const { return parameters_->gradients.data() + parameters_of(i).begin; }
  const std::shared_ptr<Parameters<T>>& parameters() const { return parameters_; }
  std::uint64_t seed() const { return seed_; }

  /// The features before, between and after these layers (all of them) for an input of `in`.
  std::vector<Index> widths(Range layers, Index in) const;
  std::vector<Index> widths(Index in) const { return widths(all(), in); }
  /// ValueError, naming the layer that minds, unless an input of this shape fits these layers.
  void check_input(Range layers, const std::vector<Index>& shape) const;
  Range all() const { return {0, size()}; }
  bool rowwise() const;

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<Range> ranges_;
  std::shared_ptr<Parameters<T>> parameters_;
  std::uint64_t seed_;
  Index in_features_;
};

}  // namespace deltaprop::nn
