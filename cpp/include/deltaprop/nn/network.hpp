#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "deltaprop/nn/plan.hpp"

namespace deltaprop::nn {

/// A tree of layers with their parameters in one flat buffer and the gradients in another.
template <class T>
class Network {
 public:
  /// Lays out the buffers and initialises each layer from the seed and its position.
  Network(Block block, std::uint64_t seed);
  Network(std::vector<std::shared_ptr<Layer>> layers, std::uint64_t seed);

  const Plan& plan() const { return plan_; }
  /// The block from which a subgraph of the plan was built.
  const Block& block(Index subgraph) const { return *blocks_[static_cast<std::size_t>(subgraph)]; }
  /// Number of layers, which are in the order of the plan.
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
  /// Seeds the draws that follow; the parameters do not change.
  void set_seed(std::uint64_t seed) { seed_ = seed; }

  /// The parameters and running statistics of a frozen layer do not change, and training uses the running statistics.
  bool frozen(Index i) const { return layers_[static_cast<std::size_t>(i)].frozen; }
  void set_frozen(Index i, bool frozen);
  /// Whether training computes gradients of this layer.
  bool trains(Index i) const { return parameters_of(i).size() > 0 && !frozen(i); }
  bool rowwise(Index i, bool training) const { return layer(i).rowwise(training && !frozen(i)); }
  /// Whether some layer stores state for the backward pass in itself, as layers written in Python may.
  bool keeps_in_layers() const {
    return std::any_of(layers_.begin(), layers_.end(), [](const Place& p) { return p.layer->always_backward(); });
  }
  /// Incremented when a layer is frozen or unfrozen, which invalidates compiled programs.
  Index version() const { return version_; }

  /// The subgraph for inputs of these shapes; ValueError, naming the mismatched layer, if they do not fit.
  Subgraph resolve_inputs(Index subgraph, const std::vector<std::vector<Index>>& shapes) const;
  /// Minimum number of rows for training, over the layers that are not frozen.
  Index min_batch_size() const;
  /// ValueError if `rows` is below the minimum of some layer; `advice` is appended to the message.
  void check_rows(Index rows, const char* advice = "") const;
  /// Features of each value of a subgraph (0 for other values), given those of its inputs. ValueError, naming the
  /// mismatched layer, if they do not fit.
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

/// The elements of `all` at the given indices.
inline std::vector<Index> select(const std::vector<Index>& all, const std::vector<Index>& indices) {
  std::vector<Index> selected;
  for (const Index i : indices) selected.push_back(all[static_cast<std::size_t>(i)]);
  return selected;
}

}  // namespace deltaprop::nn
