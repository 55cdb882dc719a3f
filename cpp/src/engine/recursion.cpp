#include "deltaprop/engine/recursion.hpp"

#include <algorithm>
#include <utility>

namespace deltaprop::engine {
namespace {

using nn::Node;

/// Whether a layer's pass is one of training. In probing, only layers that could not go back otherwise take it for one.
template <class T>
bool trains_in(const nn::Network<T>& network, Index layer, Mode mode) {
  return mode == Mode::training ? !network.frozen(layer) || network.layer(layer).always_backward()
                                : network.layer(layer).always_backward();
}

/// Keeps gradients as they are for a scope: a layer written in Python adds to them on the way, wanted or not.
template <class T>
class Unchanged {
 public:
  Unchanged(T* gradients, Range range) : to_(gradients), from_(gradients, gradients + range.size()) {}
  ~Unchanged() { std::copy(from_.begin(), from_.end(), to_); }
  Unchanged(const Unchanged&) = delete;
  Unchanged& operator=(const Unchanged&) = delete;

 private:
  T* to_;
  std::vector<T> from_;
};

/// c = a + b, c null where it is not wanted.
template <class T>
void sum(Matrix<const T> a, Matrix<const T> b, Matrix<T> c) {
  std::transform(a.data, a.data + a.size(), b.data, c.data, std::plus<T>());
}

/// Copies the columns of `from` to those of `to` that begin at `to_col`, from those that begin at `from_col`.
template <class T>
void copy_columns(Matrix<const T> from, Index from_col, Matrix<T> to, Index to_col, Index cols) {
  for (Index i = 0; i < from.rows; ++i) std::copy_n(from.row(i) + from_col, cols, to.row(i) + to_col);
}

/// y = (x_0, x_1, ...) for the matrices that `x` gives by their number.
template <class T, class X>
void join(const Node& node, X&& x, Matrix<T> y) {
  Index col = 0;
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    const Matrix<T> part = x(k);
    copy_columns<T>(part, 0, y, col, part.cols);
    col += part.cols;
  }
}

}  // namespace

template <class T>
void add_forward(Program& program, const nn::Network<T>& network, const nn::Subgraph& subgraph, const Workspace<T>& w,
                 Mode mode) {
  const std::vector<Index> origins = network.plan().input_index(subgraph);
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    const Node& node = network.plan().node(n);
    const Index y = node.outputs[0];
    switch (node.kind) {
      case Node::Kind::layer: {
        const Index i = node.layer;
        const bool training = trains_in(network, i, mode);
        const auto operation = [&network, &w, i, x = node.inputs[0], y, training,
                                origin = origins[static_cast<std::size_t>(node.inputs[0])]](Range rows) {
          network.layer(i).forward(nn::Forward<T>{
              .parameters = network.values_of(i),
              .x = w.a(x).slice(rows),
              .y = w.a(y).slice(rows),
              .training = training,
              .buffers = network.buffers_of(i),
              .saved = w.saved(i).slice(rows),
              .batch_statistics = w.batch_statistics(i),
              .draws = {.seed = network.seed(),
                        .pass = w.pass,
                        .layer = static_cast<std::uint32_t>(i),
                        .first_row = rows.begin},
              .origin = origin < 0 ? StridedRows{} : w.inputs[static_cast<std::size_t>(origin)].slice(rows)});
        };
        program.add_rows(operation, network.layer(i).rowwise(training));
        break;
      }
      case Node::Kind::add:
        program.add_rows([&w, a = node.inputs[0], b = node.inputs[1], y](Range rows) {
          sum<T>(w.a(a).slice(rows), w.a(b).slice(rows), w.a(y).slice(rows));
        });
        break;
      case Node::Kind::concat:
        program.add_rows([&w, &node, y](Range rows) {
          join<T>(node, [&](std::size_t k) { return w.a(node.inputs[k]).slice(rows); }, w.a(y).slice(rows));
        });
        break;
      case Node::Kind::fork: break;
    }
  }
}

template <class T>
void add_backward(Program& program, const nn::Network<T>& network, const nn::Subgraph& subgraph, const Workspace<T>& w,
                  GradientScope scope, Mode mode) {
  const nn::Plan& plan = network.plan();
  // A value's delta is wanted where a gradient lies on the way to it.
  std::vector<bool> wanted(static_cast<std::size_t>(plan.values()), scope == GradientScope::inputs);
  const auto wants = [&wanted](Index value) -> bool { return wanted[static_cast<std::size_t>(value)]; };
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    const Node& node = plan.node(n);
    const bool own =
        node.kind == Node::Kind::layer && (network.trains(node.layer) || network.layer(node.layer).always_backward());
    const bool before = std::any_of(node.inputs.begin(), node.inputs.end(), wants);
    for (const Index v : node.outputs) wanted[static_cast<std::size_t>(v)] = own || before;
  }
  for (Index n = subgraph.nodes.end; n-- > subgraph.nodes.begin;) {
    const Node& node = plan.node(n);
    if (!wants(node.outputs[0])) continue;
    switch (node.kind) {
      case Node::Kind::layer: {
        const Index i = node.layer;
        const bool training = trains_in(network, i, mode);
        const bool adds = network.layer(i).always_backward();
        const auto operation = [&network, &w, i, x = node.inputs[0], y = node.outputs[0], training, adds, mode,
                                wants_delta = wants(node.inputs[0])](Range rows) {
          const bool still = adds && (mode == Mode::eval_with_grad || network.frozen(i));
          const Unchanged<T> kept(network.gradients_of(i), still ? network.parameters_of(i) : Range{0, 0});
          network.layer(i).backward(nn::Backward<T>{.parameters = network.values_of(i),
                                                    .x = w.a(x).slice(rows),
                                                    .y = w.a(y).slice(rows),
                                                    .delta_y = w.delta(y).slice(rows),
                                                    .delta_x = wants_delta ? w.delta(x).slice(rows) : Matrix<T>{},
                                                    .gradients = network.gradients_of(i),
                                                    .accumulate = w.accumulate,
                                                    .training = training,
                                                    .buffers = network.buffers_of(i),
                                                    .saved = w.saved(i).slice(rows),
                                                    .batch_statistics = w.batch_statistics(i)});
        };
        program.add_rows(operation, network.layer(i).rowwise(training));
        break;
      }
      case Node::Kind::fork:
        // delta = delta_0 + delta_1 + ..., one for each reader
        program.add_rows([&w, &node](Range rows) {
          const Matrix<T> total = w.delta(node.inputs[0]).slice(rows);
          const Matrix<T> first = w.delta(node.outputs[0]).slice(rows);
          sum<T>(first, w.delta(node.outputs[1]).slice(rows), total);
          for (std::size_t k = 2; k < node.outputs.size(); ++k) {
            sum<T>(total, w.delta(node.outputs[k]).slice(rows), total);
          }
        });
        break;
      case Node::Kind::concat:
        program.add_rows([&w, &node](Range rows) {
          const Matrix<const T> delta = w.delta(node.outputs[0]).slice(rows);
          Index col = 0;
          for (const Index x : node.inputs) {
            copy_columns<T>(delta, col, w.delta(x).slice(rows), 0, w.width(x));
            col += w.width(x);
          }
        });
        break;
      case Node::Kind::add: break;  // the summands share its delta
    }
  }
}

template <class T>
void update_buffers(const nn::Network<T>& network, const Workspace<T>& w) {
  for (Index i = 0; i < network.size(); ++i) {
    if (network.buffers_range(i).size() == 0 || network.frozen(i)) continue;
    network.layer(i).update_buffers(nn::Statistics<T>{
        .rows = w.rows(), .batch_statistics = w.batch_statistics(i), .buffers = network.buffers_of(i)});
  }
}

template <class T>
std::vector<GradientTile> gradient_tiles(const nn::Network<T>& network) {
  std::vector<GradientTile> tiles;
  const auto& parameters = network.parameters()->list;
  for (const Node& node : network.plan().nodes()) {
    if (node.kind != Node::Kind::layer || !network.trains(node.layer)) continue;
    const Index offset = network.parameters_of(node.layer).begin;
    for (const Range r : network.layer(node.layer).gradient_tiles()) {
      const Range run{offset + r.begin, offset + r.end};
      const auto owner = std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) {
        return run.begin >= p.range.begin && run.end <= p.range.end;
      });
      tiles.push_back({node.layer, owner - parameters.begin(), run, node.inputs[0], node.outputs[0]});
    }
  }
  return tiles;
}

template <class T>
void compute_gradient(const nn::Network<T>& network, const Workspace<T>& w, const GradientTile& tile) {
  const Index offset = network.parameters_of(tile.layer).begin;
  network.layer(tile.layer)
      .gradient(nn::Gradient<T>{.x = w.a(tile.input),
                                .delta_y = w.delta(tile.output),
                                .gradients = network.gradients_of(tile.layer),
                                .accumulate = w.accumulate,
                                .saved = w.saved(tile.layer),
                                .batch_statistics = w.batch_statistics(tile.layer)},
                {tile.run.begin - offset, tile.run.end - offset});
}

template <class T>
Inference<T>::Inference(const nn::Network<T>& network, nn::Subgraph subgraph, const std::vector<Index>& in)
    : network_(network),
      subgraph_(std::move(subgraph)),
      widths_(network.widths(subgraph_, in)),
      buffer_index_(network.plan().activation_buffer_index(subgraph_)),
      input_index_(network.plan().input_index(subgraph_)),
      slots_(widths_.size(), 0),
      step_(rows_per_tile<T>(network_.parameters()->size(), widths_)) {
  assign_slots();
  before_.resize(sizes_.size());
  std::exclusive_scan(sizes_.begin(), sizes_.end(), before_.begin(), Index{0});
  for (Index n = subgraph_.nodes.begin; n < subgraph_.nodes.end; ++n) {
    const Node& node = network_.plan().node(n);
    if (node.kind == Node::Kind::layer && !network_.layer(node.layer).rowwise(false)) step_ = 0;
  }
}

/// A slot is taken from the first value written there until the last reader of it is done.
template <class T>
void Inference<T>::assign_slots() {
  std::vector<Index> free;
  std::vector<Index> readers;  // of each slot's value, still to come
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
    const Node& node = network_.plan().node(n);
    if (node.kind == Node::Kind::fork) {
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
                       const std::function<void()>* check_interrupt) {
  const Index rows = x[0].rows, some = std::max<Index>(rows, 1);
  const Index threads = step_ == 0 ? 1 : threads_for(network_, widths_, rows);
  const Index step = step_ == 0 ? some : std::min(tile_for_each(rows, step_, threads), some);
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
    const Node& node = network_.plan().node(n);
    const Index i = node.layer;
    switch (node.kind) {
      case Node::Kind::layer: {
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
      case Node::Kind::add: sum<T>(a(node.inputs[0]), a(node.inputs[1]), a(node.outputs[0])); break;
      case Node::Kind::concat:
        join<T>(node, [&](std::size_t k) { return a(node.inputs[k]); }, a(node.outputs[0]));
        break;
      case Node::Kind::fork: break;
    }
  }
}

template <class T>
Index Inference<T>::size() const {
  Index size = 0;
  for (const Buffer<T>& buffer : buffers_) size += buffer.size();
  return size;
}

#define DELTAPROP_INSTANTIATE(T)                                                                                       \
  template void add_forward(Program&, const nn::Network<T>&, const nn::Subgraph&, const Workspace<T>&, Mode);          \
  template void add_backward(Program&, const nn::Network<T>&, const nn::Subgraph&, const Workspace<T>&, GradientScope, \
                             Mode);                                                                                    \
  template void update_buffers(const nn::Network<T>&, const Workspace<T>&);                                            \
  template std::vector<GradientTile> gradient_tiles(const nn::Network<T>&);                                            \
  template void compute_gradient(const nn::Network<T>&, const Workspace<T>&, const GradientTile&);                     \
  template class Inference<T>
DELTAPROP_INSTANTIATE(float);
DELTAPROP_INSTANTIATE(double);
#undef DELTAPROP_INSTANTIATE

}  // namespace deltaprop::engine
