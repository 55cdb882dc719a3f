#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "deltaprop/core/strided_view.hpp"
#include "deltaprop/engine/recursion.hpp"
#include "deltaprop/nn/access.hpp"
#include "deltaprop/nn/network.hpp"
#include "deltaprop/runtime/inference.hpp"

namespace deltaprop::runtime {

/// A network with the state of a manual pass: forward(), backward(), and the activations and deltas of both.
template <class T>
class Model {
 public:
  Model(nn::Block block, std::uint64_t seed) : network_(std::move(block), seed) {}
  Model(std::vector<std::shared_ptr<nn::Layer>> layers, std::uint64_t seed) : network_(std::move(layers), seed) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const nn::Network<T>& network() const { return network_; }
  /// For nn::Access.
  nn::Guards guards() const { return {network_.parameters()->access, network_.parameters()->averages, &pass_guard_}; }
  void set_frozen(Index layer, bool frozen);
  void set_seed(std::uint64_t seed);

  /// The subgraph of a block (0: the whole network) for these inputs.
  nn::Subgraph resolve_inputs(std::span<const StridedView> x, Index block = 0) const;
  /// Inference over all rows of x.
  Inference<T> inference(const nn::Subgraph& subgraph, std::span<const StridedView> x) const;
  void infer(Inference<T>& inference, std::span<const StridedView> x, const std::vector<Matrix<T>>& out,
             const InterruptCheck* check_interrupt = nullptr) const;
  /// The same from the pool of earlier calls if it has one: for a small network, construction costs more than the pass.
  /// Returned to the pool by release().
  std::unique_ptr<Inference<T>> acquire(Index block, const nn::Subgraph& subgraph,
                                        std::span<const StridedView> x) const;
  void release(Index block, std::unique_ptr<Inference<T>> inference) const;

  // The caller holds access for forward(), backward(), output(), activations() and deltas().
  /// The training pass; saves every activation.
  void forward(std::span<const StridedView> x, const InterruptCheck* check_interrupt = nullptr);
  /// The delta recursion from dJ/d(outputs): adds to the gradients and saves every delta. Consumes the pass.
  void backward(std::span<const StridedView> deltas);
  /// Invalidates the manual pass before its parameters change.
  void forget_pass() { state_ = State::none; }
  /// An output of the last forward(); RuntimeError without a pass that backward() could continue.
  Matrix<const T> output(Index i = 0) const;
  /// The activations and deltas of the last manual pass; RuntimeError if there is none.
  const engine::Workspace<T>& activations() const;
  const engine::Workspace<T>& deltas() const;
  /// The subgraph of the last manual pass.
  const nn::Subgraph& passed() const { return subgraph_; }

  /// Calls `use` for each output and each of its features with the derivatives of that feature of every row with
  /// respect to the inputs, as inference computes it. Does not change the gradients.
  using Derivatives = std::function<void(Index output, Index feature, const std::vector<Matrix<const T>>& inputs)>;
  void jacobian(std::span<const StridedView> x, const Derivatives& use, const InterruptCheck& check_interrupt);
  /// dJ/d(inputs), where `delta` computes dJ/d(outputs) from the outputs; otherwise the same.
  using Deltas = std::function<void(const std::vector<Matrix<const T>>& outputs, const std::vector<Matrix<T>>& deltas)>;
  void input_gradient(std::span<const StridedView> x, const Deltas& delta,
                      const std::function<void(const std::vector<Matrix<const T>>&)>& use);

  /// Has every layer that reads an input check its values.
  void check_inputs(std::span<const StridedView> x, const std::string& name,
                    const InterruptCheck& check_interrupt) const;
  /// Every layer of a block that learns from data (with `again` false, only if it has not yet done so) learns from its
  /// input.
  void learn(Index block, std::span<const StridedView> x, bool again, const InterruptCheck& check_interrupt);

  /// Number of epochs of `fit` and of training passes: part of the key of each shuffle, and of each random mask.
  std::uint64_t epochs = 0;
  std::uint64_t passes = 0;

 private:
  enum class State { none, forward, backward };

  void compile(const nn::Subgraph& subgraph);
  void run(const engine::Program& program, const engine::Workspace<T>& workspace,
           const InterruptCheck* check_interrupt = nullptr) const;
  using DerivativePass =
      std::function<void(engine::Workspace<T>&, const nn::Subgraph&, const std::function<void()>& back)>;
  void run_eval_with_grad(std::span<const StridedView> x, const DerivativePass& use);

  struct Pooled {
    Index block;
    std::unique_ptr<Inference<T>> inference;
  };

  nn::Network<T> network_;
  mutable std::mutex mutex_;
  mutable std::vector<Pooled> pool_;  // guarded by mutex_
  std::vector<Index> features_;       // of the inputs of the pass
  nn::Subgraph subgraph_;
  Index version_ = -1;
  engine::Workspace<T> workspace_;
  engine::Program forward_, backward_;
  std::vector<engine::GradientTile> tiles_;
  State state_ = State::none;
  mutable AccessGuard pass_guard_;  // of activations and deltas
};

/// The matrices of some values.
template <class T>
std::vector<Matrix<T>> activations_of(const engine::Workspace<T>& workspace, const std::vector<Index>& values) {
  std::vector<Matrix<T>> list;
  for (const Index v : values) list.push_back(workspace.a(v));
  return list;
}
template <class T>
std::vector<Matrix<T>> deltas_of(const engine::Workspace<T>& workspace, const std::vector<Index>& values) {
  std::vector<Matrix<T>> list;
  for (const Index v : values) list.push_back(workspace.delta(v));
  return list;
}

}  // namespace deltaprop::runtime
