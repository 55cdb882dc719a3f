#pragma once

#include <vector>

#include "deltaprop/engine/workspace.hpp"
#include "deltaprop/kernels/table.hpp"
#include "deltaprop/train/fit.hpp"

namespace deltaprop::train {

/// A running mean rather than a sum, so that an epoch of one batch has exactly that batch's value.
class Mean {
 public:
  void add(double value, double weight) {
    seen_ += weight;
    mean_ += (value - mean_) * (weight / seen_);
  }
  double value() const { return mean_; }

 private:
  double mean_ = 0, seen_ = 0;
};

/// Means over an epoch of the norms of each layer's activations, deltas and gradients.
template <class T>
class LayerNorms {
 public:
  LayerNorms(const nn::Network<T>& network, const FitOptions& options)
      : network_(network),
        any_(options.record_activations || options.record_deltas || options.record_gradients),
        activations_(options.record_activations ? network.size() : 0),
        deltas_(options.record_deltas ? network.size() : 0),
        gradients_(options.record_gradients ? network.size() : 0) {}

  void add(const engine::Workspace<T>& workspace) {
    if (!any_) return;
    for (const nn::Node& node : network_.plan().nodes()) {
      if (node.kind != nn::Node::Kind::layer) continue;
      const Matrix<T> a = workspace.a(node.outputs[0]), delta = workspace.delta(node.outputs[0]);
      activations_.add(node.layer, a.data, a.size());
      deltas_.add(node.layer, delta.data, delta.size());
      const Index trained = network_.trains(node.layer) ? network_.parameters_of(node.layer).size() : 0;
      gradients_.add(node.layer, network_.gradients_of(node.layer), trained);
    }
  }
  void end_epoch(History& history) {
    activations_.flush(history.activation_norms);
    deltas_.flush(history.delta_norms);
    gradients_.flush(history.gradient_norms);
  }

 private:
  /// One mean per layer, or none if not recorded.
  class List {
   public:
    explicit List(Index layers) : means_(static_cast<std::size_t>(layers)) {}
    template <class N>
    void add(Index layer, const N* numbers, Index n) {
      if (!means_.empty()) means_[static_cast<std::size_t>(layer)].add(kernels::get<N>().norm(numbers, n), 1);
    }
    void flush(std::vector<double>& into) {
      for (Mean& mean : means_) {
        into.push_back(mean.value());
        mean = {};
      }
    }

   private:
    std::vector<Mean> means_;
  };

  const nn::Network<T>& network_;
  bool any_;
  List activations_, deltas_, gradients_;
};

}  // namespace deltaprop::train
