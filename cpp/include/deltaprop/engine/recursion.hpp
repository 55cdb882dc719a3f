#pragma once

#include <vector>

#include "deltaprop/core/strided_view.hpp"
#include "deltaprop/engine/program.hpp"
#include "deltaprop/engine/workspace.hpp"
#include "deltaprop/nn/network.hpp"

namespace deltaprop::engine {

/// Purpose of a pass through a subgraph.
enum class Mode {
  training,        // random masks, statistics of the batch
  eval_with_grad,  // the values of inference, saved for the backward pass
};

/// y = f(x) node by node: the forward pass of the delta recursion.
template <class T>
void add_forward(Program& program, const nn::Network<T>& network, const nn::Subgraph& subgraph,
                 const Workspace<T>& workspace, Mode mode = Mode::training);

/// Deltas that a backward pass computes.
enum class GradientScope {
  gradients,  // those required by the gradients
  inputs,     // all of them
};

/// The delta recursion, from dJ/d(output) to the inputs: the delta of a value is the sum over its readers of their
/// delta times their derivative. Implemented only here.
template <class T>
void add_backward(Program& program, const nn::Network<T>& network, const nn::Subgraph& subgraph,
                  const Workspace<T>& workspace, GradientScope scope, Mode mode = Mode::training);

/// Running statistics from the last training pass.
template <class T>
void update_buffers(const nn::Network<T>& network, const Workspace<T>& workspace);

/// A range of the flat buffers within one parameter of one layer, and the values that determine its gradient.
struct GradientTile {
  Index layer;
  Index parameter;
  Range run;
  Index input, output;
};

/// The tiles of all trained layers.
template <class T>
std::vector<GradientTile> gradient_tiles(const nn::Network<T>& network);

/// dJ/dparameters of one tile, from its layer's input and the delta of its output.
template <class T>
void compute_gradient(const nn::Network<T>& network, const Workspace<T>& workspace, const GradientTile& tile);
/// The same for a single row, written to `gradients`, which has the layout of the flat buffers.
template <class T>
void compute_row_gradient(const nn::Network<T>& network, const Workspace<T>& workspace, const GradientTile& tile,
                          Index row, T* gradients);

}  // namespace deltaprop::engine
