#include "deltaprop/engine/recursion.hpp"

#include <algorithm>
#include <utility>

namespace deltaprop::engine {

template <class T>
void add_forward(Program& program, const nn::Network<T>& network, const Workspace<T>& workspace) {
  for (Index i = 0; i < network.size(); ++i) {
    const auto operation = [&network, &workspace, i](Range rows) {
      network.layer(i).forward(nn::Forward<T>{.parameters = network.values_of(i),
                                              .x = workspace.a(i).slice(rows),
                                              .y = workspace.a(i + 1).slice(rows),
                                              .training = true});
    };
    program.add_rows(operation, network.layer(i).rowwise());
  }
}

template <class T>
Index lowest_layer(const nn::Network<T>& network) {
  Index i = 0;
  while (i < network.size() && network.parameters_of(i).size() == 0 && !network.layer(i).always_backward()) ++i;
  return i;
}

template <class T>
void add_backward(Program& program, const nn::Network<T>& network, const Workspace<T>& workspace,
                  BackwardOptions options) {
  const Index lowest = options.input_delta ? 0 : lowest_layer(network);
  for (Index i = network.size(); i-- > lowest;) {
    const bool wants_delta = options.input_delta || i > lowest;
    const auto operation = [&network, &workspace, i, wants_delta, accumulate = options.accumulate](Range rows) {
      network.layer(i).backward(nn::Backward<T>{.parameters = network.values_of(i),
                                                .x = workspace.a(i).slice(rows),
                                                .y = workspace.a(i + 1).slice(rows),
                                                .delta_y = workspace.delta(i + 1).slice(rows),
                                                .delta_x = wants_delta ? workspace.delta(i).slice(rows) : Matrix<T>{},
                                                .gradients = network.gradients_of(i),
                                                .accumulate = accumulate});
    };
    program.add_rows(operation, network.layer(i).rowwise());
  }
}

template <class T>
std::vector<GradientTile> gradient_tiles(const nn::Network<T>& network) {
  std::vector<GradientTile> tiles;
  const auto& parameters = network.parameters()->list;
  for (Index i = 0; i < network.size(); ++i) {
    const Index offset = network.parameters_of(i).begin;
    for (const Range r : network.layer(i).gradient_tiles()) {
      const Range run{offset + r.begin, offset + r.end};
      const auto owner = std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) {
        return run.begin >= p.range.begin && run.end <= p.range.end;
      });
      tiles.push_back({i, owner - parameters.begin(), run});
    }
  }
  return tiles;
}

template <class T>
void find_gradient(const nn::Network<T>& network, const Workspace<T>& workspace, const GradientTile& tile,
                   bool accumulate) {
  const Index offset = network.parameters_of(tile.layer).begin;
  network.layer(tile.layer)
      .gradient(nn::Gradient<T>{.x = workspace.a(tile.layer),
                                .delta_y = workspace.delta(tile.layer + 1),
                                .gradients = network.gradients_of(tile.layer),
                                .accumulate = accumulate},
                {tile.run.begin - offset, tile.run.end - offset});
}

template <class T>
void infer(const nn::Network<T>& network, Range layers, Index in_features, const FillRows<T>& fill, Matrix<T> out,
           Scratch<T>& scratch, const std::function<void()>* between) {
  if (scratch.widths.empty()) scratch.widths = network.widths(layers, in_features);
  const std::vector<Index>& widths = scratch.widths;
  const Index step = network.rowwise() ? std::min(rows_per_tile<T>(widths), std::max<Index>(out.rows, 1))
                                       : std::max<Index>(out.rows, 1);
  const Index widest = *std::max_element(widths.begin(), widths.end());
  Buffer<T>&from = scratch.from, &to = scratch.to;
  from.reserve(checked_size(step, widest));
  to.reserve(checked_size(step, widest));
  Index begin = 0;
  do {
    if (between != nullptr) (*between)();
    const Range rows{begin, std::min(begin + step, out.rows)};
    Matrix<T> x{from.data(), rows.size(), in_features};
    fill(rows, x);
    for (Index i = layers.begin; i < layers.end; ++i) {
      const Index width = widths[static_cast<std::size_t>(i - layers.begin + 1)];
      const Matrix<T> y = i + 1 == layers.end ? out.slice(rows) : Matrix<T>{to.data(), rows.size(), width};
      network.layer(i).forward(nn::Forward<T>{.parameters = network.values_of(i), .x = x, .y = y, .training = false});
      x = y;
      std::swap(from, to);
    }
    begin += step;
  } while (begin < out.rows);
}

#define DELTAPROP_INSTANTIATE(T)                                                                       \
  template void add_forward(Program&, const nn::Network<T>&, const Workspace<T>&);                     \
  template void add_backward(Program&, const nn::Network<T>&, const Workspace<T>&, BackwardOptions);   \
  template std::vector<GradientTile> gradient_tiles(const nn::Network<T>&);                            \
  template void find_gradient(const nn::Network<T>&, const Workspace<T>&, const GradientTile&, bool);  \
  template Index lowest_layer(const nn::Network<T>&);                                                  \
  template void infer(const nn::Network<T>&, Range, Index, const FillRows<T>&, Matrix<T>, Scratch<T>&, \
                      const std::function<void()>*)
DELTAPROP_INSTANTIATE(float);
DELTAPROP_INSTANTIATE(double);
#undef DELTAPROP_INSTANTIATE

}  // namespace deltaprop::engine
