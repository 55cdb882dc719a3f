#pragma once

#include "deltaprop/engine/program.hpp"
#include "deltaprop/engine/workspace.hpp"
#include "deltaprop/nn/network.hpp"

namespace deltaprop::engine {

/// a[i + 1] = f_i(a[i]) for i = 0, 1, ...: the training pass.
template <class T>
void add_forward(Program& program, const nn::Network<T>& network, const Workspace<T>& workspace);

/// Which deltas and gradients a backward pass is to find.
struct BackwardOptions {
  bool input_delta;  // all deltas down to the input's; else only what the gradients need
  bool accumulate;   // add to the gradients instead of writing them
};

/// The delta recursion: delta[i] = delta[i + 1] * df_i/da[i], for i = L - 1, L - 2, ..., from delta[L], which is
/// dJ/da[L]. This is its only place.
template <class T>
void add_backward(Program& program, const nn::Network<T>& network, const Workspace<T>& workspace,
                  BackwardOptions options);

/// A run of the flat buffers, inside one parameter of one layer.
struct GradientTile {
  Index layer;
  Index parameter;
  Range run;
};

template <class T>
std::vector<GradientTile> gradient_tiles(const nn::Network<T>& network);

/// dJ/dparameters of one tile, from a[layer] and delta[layer + 1].
template <class T>
void find_gradient(const nn::Network<T>& network, const Workspace<T>& workspace, const GradientTile& tile,
                   bool accumulate);

/// The first layer whose gradients need a delta: below it no delta is found unless asked for.
template <class T>
Index lowest_layer(const nn::Network<T>& network);

/// Writes rows of the input into a tile.
template <class T>
using FillRows = std::function<void(Range rows, Matrix<T> into)>;

/// What inference through the same layers needs besides its output; kept by whoever infers often, so that nothing is
/// allocated again.
template <class T>
struct Scratch {
  std::vector<Index> widths;
  Buffer<T> from, to;
};

/// Inference through a run of layers: `out` for the rows that `fill` gives, tile by tile, keeping nothing. Const: any
/// number of threads may do so at once.
template <class T>
void infer(const nn::Network<T>& network, Range layers, Index in_features, const FillRows<T>& fill, Matrix<T> out,
           Scratch<T>& scratch, const std::function<void()>* between = nullptr);

}  // namespace deltaprop::engine
