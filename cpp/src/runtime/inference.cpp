#include "deltaprop/runtime/inference.hpp"

#include <algorithm>
#include <utility>

#include "deltaprop/core/threads.hpp"
#include "deltaprop/engine/node_ops.hpp"
#include "deltaprop/engine/program.hpp"
#include "deltaprop/engine/workspace.hpp"

namespace deltaprop::runtime {

template <class T>
Inference<T>::Inference(const nn::Network<T>& network, nn::Subgraph subgraph, const std::vector<Index>& in)
    : network_(network),
      subgraph_(std::move(subgraph)),
      widths_(network.widths(subgraph_, in)),
      buffer_index_(network.plan().activation_buffer_index(subgraph_)),
      input_index_(network.plan().input_index(subgraph_)),
      slots_(widths_.size(), 0),
      step_(engine::rows_per_tile<T>(network_.parameters()->size(), widths_)) {
  assign_slots();
  before_.resize(sizes_.size());
  std::exclusive_scan(sizes_.begin(), sizes_.end(), before_.begin(), Index{0});
  for (Index n = subgraph_.nodes.begin; n < subgraph_.nodes.end; ++n) {
    const nn::Node& node = network_.plan().node(n);
    if (node.kind == nn::Node::Kind::layer && !network_.layer(node.layer).rowwise(false)) step_ = 0;
  }
}

/// A slot is in use from the operation that writes its value to the last one that reads it.
template <class T>
void Inference<T>::assign_slots() {
  std::vector<Index> free;
  std::vector<Index> readers;  // remaining, of each slot's value
  const auto take = [&](Index value) {
    const Index width = widths_[static_cast<std::size_t>(value)];
    if (free.empty()) {
      free.push_back(static_cast<Index>(sizes_.size()));
      sizes_.push_back(0);
      readers.push_back(0);
    }
    const Index s = free.back();
    free.pop_back();
    auto& size = sizes_[static_cast<std::size_t>(s)];
    size = std::max(size, width);
    readers[static_cast<std::size_t>(s)] = 1;
    slot(value) = s;
  };
  for (const Index v : subgraph_.inputs) take(v);
  for (Index n = subgraph_.nodes.begin; n < subgraph_.nodes.end; ++n) {
    const nn::Node& node = network_.plan().node(n);
    if (node.kind == nn::Node::Kind::fork) {
      readers[static_cast<std::size_t>(slot(node.inputs[0]))] += static_cast<Index>(node.outputs.size()) - 1;
      continue;
    }
    const auto output = std::find(subgraph_.outputs.begin(), subgraph_.outputs.end(), node.outputs[0]);
    if (output == subgraph_.outputs.end()) {
      take(node.outputs[0]);
    } else {
      slot(node.outputs[0]) = -1 - (output - subgraph_.outputs.begin());
    }
    for (const Index v : node.inputs) {
      if (--readers[static_cast<std::size_t>(slot(v))] == 0) free.push_back(slot(v));
    }
  }
}

template <class T>
void Inference<T>::run(std::span<const StridedView> x, std::span<const Matrix<T>> out,
                       const InterruptCheck* check_interrupt) {
  const Index rows = x[0].rows, some = std::max<Index>(rows, 1);
  const Index threads = step_ == 0 ? 1 : engine::threads_for(network_, widths_, rows);
  const Index step = step_ == 0 ? some : std::min(engine::tile_for_each(rows, step_, threads), some);
  const Index tiles = ceil_div(some, step), used = std::min(tiles, threads);
  buffers_.resize(std::max(buffers_.size(), static_cast<std::size_t>(used)));
  for (Index t = 0; t < used; ++t) {
    buffers_[static_cast<std::size_t>(t)].reserve(checked_size(step, numbers_a_row()));
  }
  threads::parallel_for(tiles, threads, [&](Index number, Index thread) {
    if (check_interrupt != nullptr && thread == 0) (*check_interrupt)();
    const Range tile{number * step, std::min((number + 1) * step, rows)};
    run_tile(x, out, tile, buffers_[static_cast<std::size_t>(thread)].data());
  });
}

template <class T>
void Inference<T>::run(std::span<const StridedView> x, std::span<const Matrix<T>> out, T* memory) const {
  run_tile(x, out, {0, x[0].rows}, memory);
}

template <class T>
void Inference<T>::run_tile(std::span<const StridedView> x, std::span<const Matrix<T>> out, Range tile,
                            T* memory) const {
  const auto a = [&](Index value) -> Matrix<T> {
    const Index s = slot(value);
    if (s < 0) return out[static_cast<std::size_t>(-1 - s)].slice(tile);
    return {memory + before_[static_cast<std::size_t>(s)] * tile.size(), tile.size(),
            widths_[static_cast<std::size_t>(value)]};
  };
  for (std::size_t k = 0; k < subgraph_.inputs.size(); ++k) {
    gather<T>(x[k], nullptr, tile.begin, a(subgraph_.inputs[k]));
  }
  for (Index n = subgraph_.nodes.begin; n < subgraph_.nodes.end; ++n) {
    const nn::Node& node = network_.plan().node(n);
    const Index i = node.layer;
    switch (node.kind) {
      case nn::Node::Kind::layer: {
        const Index origin = input_index_[static_cast<std::size_t>(node.inputs[0])];
        network_.layer(i).forward(nn::Forward<T>{
            .parameters = network_.values_of(i),
            .x = a(node.inputs[0]),
            .y = a(node.outputs[0]),
            .training = false,
            .buffers = network_.buffers_of(i),
            .draws = {.first_row = tile.begin},
            .origin =
                origin < 0 ? StridedRows{} : StridedRows{x[static_cast<std::size_t>(origin)], nullptr, tile.begin}});
        break;
      }
      case nn::Node::Kind::add: engine::add<T>(a(node.inputs[0]), a(node.inputs[1]), a(node.outputs[0])); break;
      case nn::Node::Kind::concat:
        engine::concatenate<T>(node, [&](std::size_t k) { return a(node.inputs[k]); }, a(node.outputs[0]));
        break;
      case nn::Node::Kind::fork: break;
    }
  }
}

template <class T>
Index Inference<T>::size() const {
  Index size = 0;
  for (const Buffer<T>& buffer : buffers_) size += buffer.size();
  return size;
}

template class Inference<float>;
template class Inference<double>;

}  // namespace deltaprop::runtime
