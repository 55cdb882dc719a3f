#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "deltaprop/core/busy.hpp"
#include "deltaprop/core/source.hpp"
#include "deltaprop/engine/recursion.hpp"
#include "deltaprop/nn/network.hpp"

namespace deltaprop::train {

/// A network with all that is needed to run it by hand: the training pass and the deltas it leaves, and the rule of
/// who may use it when.
template <class T>
class Model {
 public:
  Model(std::vector<std::shared_ptr<nn::Layer>> layers, std::uint64_t seed);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const nn::Network<T>& network() const { return network_; }

  /// Inference over all rows of x into `out` (x.rows, outputs).
  void infer(const Source& x, Matrix<T> out) const { infer_through(network_.all(), x, out); }
  /// The same with scratch memory of the caller's, and `between` called between tiles of rows.
  void infer(const Source& x, Matrix<T> out, engine::Scratch<T>& scratch, const std::function<void()>* between) const;
  /// The same through some of the layers only.
  void infer_through(Range layers, const Source& x, Matrix<T> out,
                     const std::function<void()>* between = nullptr) const;

  /// The training pass; keeps every activation.
  void forward(const Source& x, const std::function<void()>* between = nullptr);
  /// The delta recursion from dJ/d(output): adds to the gradients and keeps every delta. Consumes the pass.
  void backward(const Source& delta);
  /// Makes a pass by hand stale: the parameters are about to change under it.
  void forget_pass() { state_ = State::none; }
  /// The shape that backward() takes; RuntimeError where there is no pass to go back through.
  Matrix<const T> output() const;
  /// a[i] and delta[i] of the last pass by hand. RuntimeError where there was none.
  const engine::Workspace<T>& activations() const;
  const engine::Workspace<T>& deltas() const;

  /// Epochs of `fit` so far: part of the key of each shuffle.
  std::uint64_t epochs = 0;

  /// To be held by whoever calls forward(), backward(), output(), activations() or deltas(): there is one set of
  /// activations and deltas.
  mutable Busy passing{"the network is in use: expected one forward or backward at a time"};

 private:
  void run_inference(Range layers, const Source& x, Matrix<T> out, engine::Scratch<T>& scratch,
                     const std::function<void()>* between) const;

  enum class State { none, forward, backward };

  nn::Network<T> network_;
  std::vector<Index> widths_;  // for the last width of the input
  engine::Workspace<T> workspace_;
  engine::Program forward_, backward_;
  std::vector<engine::GradientTile> tiles_;
  State state_ = State::none;
};

}  // namespace deltaprop::train
