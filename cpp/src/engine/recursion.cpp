#include "deltaprop/engine/recursion.hpp"

#include <algorithm>
#include <utility>

#include "deltaprop/engine/node_ops.hpp"

namespace deltaprop::engine {
namespace {

using nn::Node;

/// Whether a layer runs in training mode. With eval_with_grad, only layers without a backward pass otherwise do.
template <class T>
bool trains_in(const nn::Network<T>& network, Index layer, Mode mode) {
  return mode == Mode::training ? !network.frozen(layer) || network.layer(layer).always_backward()
                                : network.layer(layer).always_backward();
}

/// Restores gradients on destruction: the backward pass of a layer written in Python always adds to them.
template <class T>
class GradientRestorer {
 public:
  GradientRestorer(T* gradients, Range range) : to_(gradients), from_(gradients, gradients + range.size()) {}
  ~GradientRestorer() { std::copy(from_.begin(), from_.end(), to_); }
  GradientRestorer(const GradientRestorer&) = delete;
  GradientRestorer& operator=(const GradientRestorer&) = delete;

 private:
  T* to_;
  std::vector<T> from_;
};

/// For each value whether its delta is required: all with GradientScope::inputs, otherwise those that lie between an
/// output and a gradient.
template <class T>
std::vector<bool> required_deltas(const nn::Network<T>& network, const nn::Subgraph& subgraph, GradientScope scope) {
  const nn::Plan& plan = network.plan();
  std::vector<bool> required(static_cast<std::size_t>(plan.values()), scope == GradientScope::inputs);
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    const Node& node = plan.node(n);
    const bool trains =
        node.kind == Node::Kind::layer && (network.trains(node.layer) || network.layer(node.layer).always_backward());
    const bool upstream = std::any_of(node.inputs.begin(), node.inputs.end(), [&required](Index value) -> bool {
      return required[static_cast<std::size_t>(value)];
    });
    for (const Index v : node.outputs) required[static_cast<std::size_t>(v)] = trains || upstream;
  }
  return required;
}

/// `input_delta`: whether the delta of the layer's input is required.
template <class T>
void add_layer_backward(Program& program, const nn::Network<T>& network, const Workspace<T>& w, const Node& node,
                        bool input_delta, Mode mode) {
  const Index i = node.layer;
  const bool training = trains_in(network, i, mode);
  const bool adds = network.layer(i).always_backward();
  const auto operation = [&network, &w, i, x = node.inputs[0], y = node.outputs[0], training, adds, mode,
                          input_delta](Range rows) {
    const bool restores = adds && (mode == Mode::eval_with_grad || network.frozen(i));
    const GradientRestorer<T> restorer(network.gradients_of(i), restores ? network.parameters_of(i) : Range{0, 0});
    network.layer(i).backward(nn::Backward<T>{.parameters = network.values_of(i),
                                              .x = w.a(x).slice(rows),
                                              .y = w.a(y).slice(rows),
                                              .delta_y = w.delta(y).slice(rows),
                                              .delta_x = input_delta ? w.delta(x).slice(rows) : Matrix<T>{},
                                              .gradients = network.gradients_of(i),
                                              .accumulate = w.accumulate,
                                              .training = training,
                                              .buffers = network.buffers_of(i),
                                              .saved = w.saved(i).slice(rows),
                                              .batch_statistics = w.batch_statistics(i)});
  };
  program.add_rows(operation, network.layer(i).rowwise(training));
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
          add<T>(w.a(a).slice(rows), w.a(b).slice(rows), w.a(y).slice(rows));
        });
        break;
      case Node::Kind::concat:
        program.add_rows([&w, &node, y](Range rows) {
          concatenate<T>(node, [&](std::size_t k) { return w.a(node.inputs[k]).slice(rows); }, w.a(y).slice(rows));
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
  const std::vector<bool> required = required_deltas(network, subgraph, scope);
  for (Index n = subgraph.nodes.end; n-- > subgraph.nodes.begin;) {
    const Node& node = plan.node(n);
    if (!required[static_cast<std::size_t>(node.outputs[0])]) continue;
    switch (node.kind) {
      case Node::Kind::layer:
        add_layer_backward(program, network, w, node, required[static_cast<std::size_t>(node.inputs[0])], mode);
        break;
      case Node::Kind::fork:
        // delta = delta_0 + delta_1 + ..., one for each reader
        program.add_rows([&w, &node](Range rows) {
          const Matrix<T> total = w.delta(node.inputs[0]).slice(rows);
          const Matrix<T> first = w.delta(node.outputs[0]).slice(rows);
          add<T>(first, w.delta(node.outputs[1]).slice(rows), total);
          for (std::size_t k = 2; k < node.outputs.size(); ++k) {
            add<T>(total, w.delta(node.outputs[k]).slice(rows), total);
          }
        });
        break;
      case Node::Kind::concat:
        program.add_rows([&w, &node](Range rows) {
          split<T>(node, w.delta(node.outputs[0]).slice(rows),
                   [&](std::size_t k) { return w.delta(node.inputs[k]).slice(rows); });
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

namespace {

template <class T>
void compute_gradient(const nn::Network<T>& network, const GradientTile& tile, nn::Gradient<T> gradient) {
  const Index offset = network.parameters_of(tile.layer).begin;
  gradient.gradients += offset;
  network.layer(tile.layer).gradient(gradient, {tile.run.begin - offset, tile.run.end - offset});
}

}  // namespace

template <class T>
void compute_gradient(const nn::Network<T>& network, const Workspace<T>& w, const GradientTile& tile) {
  compute_gradient<T>(network, tile,
                      {.x = w.a(tile.input),
                       .delta_y = w.delta(tile.output),
                       .gradients = network.parameters()->gradients.data(),
                       .accumulate = w.accumulate,
                       .saved = w.saved(tile.layer),
                       .batch_statistics = w.batch_statistics(tile.layer)});
}

template <class T>
void compute_row_gradient(const nn::Network<T>& network, const Workspace<T>& w, const GradientTile& tile, Index row,
                          T* gradients) {
  const Range rows{row, row + 1};
  compute_gradient<T>(network, tile,
                      {.x = w.a(tile.input).slice(rows),
                       .delta_y = w.delta(tile.output).slice(rows),
                       .gradients = gradients,
                       .accumulate = false,
                       .saved = w.saved(tile.layer).slice(rows),
                       .batch_statistics = w.batch_statistics(tile.layer)});
}

#define DELTAPROP_INSTANTIATE(T)                                                                                       \
  template void add_forward(Program&, const nn::Network<T>&, const nn::Subgraph&, const Workspace<T>&, Mode);          \
  template void add_backward(Program&, const nn::Network<T>&, const nn::Subgraph&, const Workspace<T>&, GradientScope, \
                             Mode);                                                                                    \
  template void update_buffers(const nn::Network<T>&, const Workspace<T>&);                                            \
  template std::vector<GradientTile> gradient_tiles(const nn::Network<T>&);                                            \
  template void compute_gradient(const nn::Network<T>&, const Workspace<T>&, const GradientTile&);                     \
  template void compute_row_gradient(const nn::Network<T>&, const Workspace<T>&, const GradientTile&, Index, T*)
DELTAPROP_INSTANTIATE(float);
DELTAPROP_INSTANTIATE(double);
#undef DELTAPROP_INSTANTIATE

}  // namespace deltaprop::engine
