#pragma once

#include <vector>

#include "deltaprop/core/strided_view.hpp"
#include "deltaprop/engine/program.hpp"
#include "deltaprop/engine/workspace.hpp"
#include "deltaprop/nn/network.hpp"

namespace deltaprop::engine {

/// What a pass through a subgraph is for.
enum class Mode {
  training,        // random masks, statistics of the batch
  eval_with_grad,  // as inference computes, but kept for the way back
};

/// y = f(x) node by node: the pass whose way back is the delta recursion.
template <class T>
void add_forward(Program& program, const nn::Network<T>& network, const nn::Subgraph& subgraph,
                 const Workspace<T>& workspace, Mode mode = Mode::training);

/// Which deltas a backward pass is to find.
enum class GradientScope {
  gradients,  // those that the gradients need
  inputs,     // all of them
};

/// The delta recursion: the delta of a value is the sum, over whoever reads it, of their delta times their derivative,
/// from the outputs' deltas, dJ/d(output), down. This is its only place.
template <class T>
void add_backward(Program& program, const nn::Network<T>& network, const nn::Subgraph& subgraph,
                  const Workspace<T>& workspace, GradientScope scope, Mode mode = Mode::training);

/// Running statistics from the last training pass.
template <class T>
void update_buffers(const nn::Network<T>& network, const Workspace<T>& workspace);

/// A run of the flat buffers, inside one parameter of one layer, and the values that its gradient comes from.
struct GradientTile {
  Index layer;
  Index parameter;
  Range run;
  Index input, output;
};

/// Those of all layers that train.
template <class T>
std::vector<GradientTile> gradient_tiles(const nn::Network<T>& network);

/// dJ/dparameters of one tile, from its layer's input and the delta of its output.
template <class T>
void compute_gradient(const nn::Network<T>& network, const Workspace<T>& workspace, const GradientTile& tile);
/// The same for one row alone, written into `gradients`, which has the layout of the flat buffers.
template <class T>
void compute_row_gradient(const nn::Network<T>& network, const Workspace<T>& workspace, const GradientTile& tile,
                          Index row, T* gradients);

}  // namespace deltaprop::engine
