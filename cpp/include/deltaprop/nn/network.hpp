#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "deltaprop/nn/plan.hpp"

namespace deltaprop::nn {

/// A tree of layers, their parameters in one flat buffer and the gradients in a second one.
template <class T>
class Network {
 public:
  /// Lays out the buffers and initialises each layer from the seed and its place.
  Network(Block block, std::uint64_t seed);
  Network(std::vector<std::shared_ptr<Layer>> layers, std::uint64_t seed);

  const Plan& plan() const { return plan_; }
  /// The block that a subgraph of the plan was made from.
  const Block& block(Index subgraph) const { return *blocks_[static_cast<std::size_t>(subgraph)]; }
  /// The layers, in the order of the plan.
  Index size() const { return static_cast<Index>(layers_.size()); }
  const Layer& layer(Index i) const { return *layers_[static_cast<std::size_t>(i)].layer; }
  /// Where each layer's parameters lie in the flat buffers.
  Range parameters_of(Index i) const { return layers_[static_cast<std::size_t>(i)].parameters; }
  T* values_of(Index i) const { return parameters_->values.data() + parameters_of(i).begin; }
  T* gradients_of(Index i) const { return parameters_->gradients.data() + parameters_of(i).begin; }
  Range buffers_range(Index i) const { return layers_[static_cast<std::size_t>(i)].buffers; }
  T* buffers_of(Index i) const { return parameters_->buffer_values.data() + buffers_range(i).begin; }
  const std::shared_ptr<Parameters<T>>& parameters() const { return parameters_; }
  std::uint64_t seed() const { return seed_; }
  /// Draws to come are as those of a network made from it; parameters stay as they are.
  void set_seed(std::uint64_t seed) { seed_ = seed; }

  /// A frozen layer's parameters and running statistics stay as they are, and the latter are used in training.
  bool frozen(Index i) const { return layers_[static_cast<std::size_t>(i)].frozen; }
  void set_frozen(Index i, bool frozen);
  /// Whether training finds gradients of this layer.
  bool trains(Index i) const { return parameters_of(i).size() > 0 && !frozen(i); }
  bool rowwise(Index i, bool training) const { return layer(i).rowwise(training && !frozen(i)); }
  /// Whether a layer keeps in itself what it needs for the way back.
  bool keeps_in_layers() const {
    return std::any_of(layers_.begin(), layers_.end(), [](const Place& p) { return p.layer->always_backward(); });
  }
  /// Changes whenever a layer is frozen or unfrozen: what was compiled before no longer holds.
  Index version() const { return version_; }

  /// The subgraph as it runs on inputs of these shapes; ValueError, naming the layer that minds, where they do not fit.
  Subgraph resolve_inputs(Index subgraph, const std::vector<std::vector<Index>>& shapes) const;
  /// The fewest rows that those layers can train on that are not frozen.
  Index min_batch_size() const;
  /// ValueError where one of them cannot train on so few; `advice` ends the message.
  void check_rows(Index rows, const char* advice = "") const;
  /// The features of each value of a subgraph (0 for others) for those of its inputs. ValueError, naming the layer
  /// that minds, where they do not fit.
  std::vector<Index> widths(const Subgraph& subgraph, const std::vector<Index>& in) const;

 private:
  struct Place {
    std::shared_ptr<Layer> layer;
    Range parameters, buffers;
    bool frozen = false;
  };

  void collect(const Block& block, const std::string& path);

  std::shared_ptr<const Block> root_;
  Plan plan_;
  std::vector<const Block*> blocks_;
  std::vector<Place> layers_;
  std::shared_ptr<Parameters<T>> parameters_;
  std::uint64_t seed_;
  Index version_ = 0;
};

/// Those of several values, by their numbers.
inline std::vector<Index> select(const std::vector<Index>& all, const std::vector<Index>& values) {
  std::vector<Index> some;
  for (const Index v : values) some.push_back(all[static_cast<std::size_t>(v)]);
  return some;
}

}  // namespace deltaprop::nn
