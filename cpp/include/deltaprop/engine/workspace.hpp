#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/threads.hpp"
#include "deltaprop/nn/network.hpp"

namespace deltaprop::engine {

/// Buffers of one pass: activation a and delta = dJ/da of each value of the network's plan, and the data that each
/// layer saves for the backward pass. Buffers only grow, so a repeated batch size allocates nothing.
template <class T>
class Workspace {
 public:
  /// For a subgraph of a network and the features of its inputs. `in_place`: values without further readers may be
  /// overwritten; not every activation and delta is then available after the pass.
  void shape(const nn::Network<T>& network, const nn::Subgraph& subgraph, const std::vector<Index>& in,
             bool in_place = false) {
    const nn::Plan& plan = network.plan();
    rows_ = -1;
    widths_ = network.widths(subgraph, in);
    inputs.resize(in.size());
    a_buffer_index_ = plan.activation_buffer_index(subgraph);
    delta_buffer_index_ = plan.delta_buffer_index(subgraph);
    if (in_place) assign_inplace_buffers(network, subgraph);
    a_.resize(widths_.size());
    delta_.resize(widths_.size());
    saved_.resize(static_cast<std::size_t>(network.size()));
    for (const nn::Node& node : plan.nodes()) {
      if (node.kind != nn::Node::Kind::layer) continue;
      Saved& saved = saved_[static_cast<std::size_t>(node.layer)];
      const Index features = width(node.inputs[0]);
      saved.width = network.layer(node.layer).saved_per_row(features);
      saved.batch_statistics.reserve(network.layer(node.layer).saved_per_batch(features));
    }
  }
  /// Grows the buffers to this number of rows.
  void resize(Index rows) {
    if (rows == rows_) return;
    rows_ = -1;  // until every allocation has succeeded
    for (std::size_t v = 0; v < widths_.size(); ++v) {
      a_[buffer_of(a_buffer_index_, v)].reserve(checked_size(rows, widths_[v]));
      delta_[buffer_of(delta_buffer_index_, v)].reserve(checked_size(rows, widths_[v]));
    }
    for (Saved& saved : saved_) saved.rows.reserve(checked_size(rows, saved.width));
    rows_ = rows;
  }

  Index rows() const { return rows_; }
  Range all() const { return {0, rows_}; }
  Index width(Index value) const { return widths_[static_cast<std::size_t>(value)]; }
  const std::vector<Index>& widths() const { return widths_; }
  Matrix<T> a(Index value) const { return {a_buffer(value).data(), rows_, width(value)}; }
  Matrix<T> delta(Index value) const { return {delta_buffer(value).data(), rows_, width(value)}; }
  const Buffer<T>& a_buffer(Index value) const {
    return a_[buffer_of(a_buffer_index_, static_cast<std::size_t>(value))];
  }
  const Buffer<T>& delta_buffer(Index value) const {
    return delta_[buffer_of(delta_buffer_index_, static_cast<std::size_t>(value))];
  }
  Matrix<T> saved(Index layer) const {
    const Saved& saved = saved_[static_cast<std::size_t>(layer)];
    return {saved.rows.data(), rows_, saved.width};
  }
  T* batch_statistics(Index layer) const { return saved_[static_cast<std::size_t>(layer)].batch_statistics.data(); }

  /// The caller's arrays, which the pass converts to its inputs; may be empty.
  std::vector<StridedRows> inputs;
  /// Number of the pass, part of the key of its random draws.
  std::uint32_t pass = 0;
  /// Whether gradients are added to the gradient buffer instead of overwriting it.
  bool accumulate = false;

 private:
  struct Saved {
    Index width = 0;
    Buffer<T> rows, batch_statistics;
  };

  /// Lets y share the buffer of x, and delta_x that of delta_y, if the layer supports it and the backward pass of the
  /// producer of x does not read x.
  void assign_inplace_buffers(const nn::Network<T>& network, const nn::Subgraph& subgraph) {
    std::vector<bool> free(widths_.size(), false);
    for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
      const nn::Node& node = network.plan().node(n);
      if (node.kind != nn::Node::Kind::layer) continue;
      const nn::Layer& layer = network.layer(node.layer);
      const Index x = node.inputs[0], y = node.outputs[0];
      free[static_cast<std::size_t>(y)] = !layer.reads_output();
      // The summands of an addition share one delta: none may overwrite it.
      const bool own_delta = delta_buffer_index_[static_cast<std::size_t>(y)] == y;
      if (!free[static_cast<std::size_t>(x)] || !layer.supports_inplace() || !own_delta) continue;
      std::replace(a_buffer_index_.begin(), a_buffer_index_.end(), y, x);
      delta_buffer_index_[static_cast<std::size_t>(y)] = x;
    }
  }

  static std::size_t buffer_of(const std::vector<Index>& buffer_index, std::size_t value) {
    return static_cast<std::size_t>(buffer_index[value]);
  }

  Index rows_ = 0;
  std::vector<Index> widths_, a_buffer_index_, delta_buffer_index_;
  std::vector<Buffer<T>> a_, delta_;
  std::vector<Saved> saved_;
};

/// Approximate operations per row of a pass.
template <class T>
double work_of_row(const nn::Network<T>& network, const std::vector<Index>& widths) {
  double work = static_cast<double>(network.parameters()->size());
  for (const Index w : widths) work += 8 * static_cast<double>(w);  // activations, deltas, losses
  return work;
}

/// Number of threads that pays off for a pass of `rows` rows.
template <class T>
Index threads_for(const nn::Network<T>& network, const std::vector<Index>& widths, Index rows) {
  return threads::suggested_threads(work_of_row(network, widths) * static_cast<double>(rows));
}

/// Rows that fit the second-level cache together with the data that layers save for them. Affects speed only.
template <class T>
Index rows_per_tile(Index parameters, const std::vector<Index>& widths) {
  Index features = 1;
  for (const Index w : widths) features += w;
  constexpr Index kCache = 256 * 1024, kFew = 24, kMany = 256;
  // A product packs its weights for each tile: small tiles of wide layers would spend their time on packing.
  const Index least = std::clamp(4 * parameters / features, kFew, kMany);
  return std::max(kCache / (2 * features * static_cast<Index>(sizeof(T))), least);
}

}  // namespace deltaprop::engine
