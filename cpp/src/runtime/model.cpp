#include "deltaprop/runtime/model.hpp"

#include <algorithm>
#include <utility>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/check_finite.hpp"

namespace deltaprop::runtime {
namespace {

std::vector<Index> features_of(std::span<const StridedView> x) {
  std::vector<Index> features;
  for (const StridedView& s : x) features.push_back(s.cols);
  return features;
}

/// Copies all rows of the inputs to the workspace.
template <class T>
void gather_inputs(std::span<const StridedView> x, const nn::Subgraph& subgraph, engine::Workspace<T>& workspace) {
  for (std::size_t k = 0; k < x.size(); ++k) {
    workspace.inputs[k] = {x[k]};
    gather<T>(workspace.inputs[k], workspace.a(subgraph.inputs[k]));
  }
}

}  // namespace

template <class T>
void Model<T>::set_frozen(Index layer, bool frozen) {
  const nn::Access access(nn::Call::freeze, guards());
  network_.set_frozen(layer, frozen);
}

template <class T>
void Model<T>::set_seed(std::uint64_t seed) {
  const nn::Access access(nn::Call::seed, guards());
  network_.set_seed(seed);
}

template <class T>
nn::Subgraph Model<T>::resolve_inputs(std::span<const StridedView> x, Index block) const {
  std::vector<std::vector<Index>> shapes;
  for (const StridedView& s : x) shapes.push_back({s.rows, s.cols});
  return network_.resolve_inputs(block, shapes);
}

template <class T>
Inference<T> Model<T>::inference(const nn::Subgraph& subgraph, std::span<const StridedView> x) const {
  return Inference<T>(network_, subgraph, features_of(x));
}

template <class T>
std::unique_ptr<Inference<T>> Model<T>::acquire(Index block, const nn::Subgraph& subgraph,
                                                std::span<const StridedView> x) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(pool_.begin(), pool_.end(),
                                    [&](const Pooled& r) { return r.block == block && r.inference->takes(x); });
    if (found != pool_.end()) {
      auto inference = std::move(found->inference);
      pool_.erase(found);
      return inference;
    }
  }
  return std::make_unique<Inference<T>>(network_, subgraph, features_of(x));
}

template <class T>
void Model<T>::release(Index block, std::unique_ptr<Inference<T>> inference) const {
  constexpr std::size_t kMax = 8;
  constexpr Index kLargest = 1 << 20;  // elements
  if (inference->size() > kLargest) return;
  const std::lock_guard lock(mutex_);
  if (pool_.size() < kMax) pool_.push_back({block, std::move(inference)});
}

template <class T>
void Model<T>::infer(Inference<T>& inference, std::span<const StridedView> x, const std::vector<Matrix<T>>& out,
                     const InterruptCheck* check_interrupt) const {
  const nn::Access access(nn::Call::infer, guards());
  inference.run(x, out, check_interrupt);
}

template <class T>
void Model<T>::compile(const nn::Subgraph& subgraph) {
  subgraph_ = subgraph;
  forward_ = {};
  backward_ = {};
  tiles_ = engine::gradient_tiles(network_);
  engine::add_forward(forward_, network_, subgraph_, workspace_);
  engine::add_backward(backward_, network_, subgraph_, workspace_, engine::GradientScope::inputs);
  workspace_.accumulate = true;
  backward_.add_tiles(static_cast<Index>(tiles_.size()), [this](Index tile) {
    const engine::GradientTile& gradient_tile = tiles_[static_cast<std::size_t>(tile)];
    // A layer may have been frozen since the forward pass.
    if (network_.trains(gradient_tile.layer)) engine::compute_gradient(network_, workspace_, gradient_tile);
  });
  version_ = network_.version();
}

template <class T>
void Model<T>::run(const engine::Program& program, const engine::Workspace<T>& workspace,
                   const InterruptCheck* check_interrupt) const {
  const std::vector<Index>& widths = workspace.widths();
  program.run(workspace.rows(), engine::rows_per_tile<T>(network_.parameters()->size(), widths),
              engine::threads_for(network_, widths, workspace.rows()), check_interrupt);
}

template <class T>
void Model<T>::forward(std::span<const StridedView> x, const InterruptCheck* check_interrupt) {
  state_ = State::none;
  const bool same = std::equal(x.begin(), x.end(), features_.begin(), features_.end(),
                               [](const StridedView& s, Index features) { return s.cols == features; });
  if (!same || version_ != network_.version()) {
    version_ = -1;  // until every step below has succeeded
    const nn::Subgraph subgraph = resolve_inputs(x);
    features_ = features_of(x);
    workspace_.shape(network_, subgraph, features_);
    compile(subgraph);
  }
  network_.check_rows(x[0].rows);
  workspace_.resize(x[0].rows);
  gather_inputs(x, subgraph_, workspace_);
  workspace_.pass = static_cast<std::uint32_t>(passes);
  run(forward_, workspace_, check_interrupt);
  engine::update_buffers(network_, workspace_);
  ++passes;
  state_ = State::forward;
}

template <class T>
void Model<T>::backward(std::span<const StridedView> deltas) {
  output();
  for (std::size_t k = 0; k < deltas.size(); ++k) {
    gather<T>(deltas[k], nullptr, 0, workspace_.delta(subgraph_.outputs[k]));
  }
  // Consumed even if a layer written in Python raises: its gradients may be half added.
  state_ = State::none;
  run(backward_, workspace_);
  state_ = State::backward;
}

template <class T>
Matrix<const T> Model<T>::output(Index i) const {
  if (state_ != State::forward) {
    throw std::runtime_error(
        "backward: expected a fresh training pass; call net.forward(x), not net(x), before each backward");
  }
  return workspace_.a(subgraph_.outputs[static_cast<std::size_t>(i)]);
}

template <class T>
const engine::Workspace<T>& Model<T>::activations() const {
  if (state_ == State::none)
    throw std::runtime_error("activations: expected a training pass; call net.forward(x) first");
  return workspace_;
}

template <class T>
const engine::Workspace<T>& Model<T>::deltas() const {
  if (state_ != State::backward) {
    throw std::runtime_error("deltas: expected a backward pass; call net.forward(x) and net.backward(delta) first");
  }
  return workspace_;
}

/// Runs the network with the values of inference, then `use`, which may call the backward pass any number of times.
template <class T>
void Model<T>::run_eval_with_grad(std::span<const StridedView> x, const DerivativePass& use) {
  // A layer written in Python saves data for the backward pass in itself: this pass overwrites that of a manual pass.
  const bool in_layers = network_.keeps_in_layers();
  const nn::Access access(in_layers ? nn::Call::layer_derivatives : nn::Call::derivatives, guards());
  if (in_layers) forget_pass();
  const nn::Subgraph subgraph = resolve_inputs(x);
  engine::Workspace<T> workspace;
  workspace.shape(network_, subgraph, features_of(x));
  workspace.resize(x[0].rows);
  workspace.accumulate = true;
  engine::Program forward_program, backward_program;
  engine::add_forward(forward_program, network_, subgraph, workspace, engine::Mode::eval_with_grad);
  engine::add_backward(backward_program, network_, subgraph, workspace, engine::GradientScope::inputs,
                       engine::Mode::eval_with_grad);
  gather_inputs(x, subgraph, workspace);
  run(forward_program, workspace);
  use(workspace, subgraph, [&] { run(backward_program, workspace); });
}

template <class T>
void Model<T>::jacobian(std::span<const StridedView> x, const Derivatives& use, const InterruptCheck& check_interrupt) {
  run_eval_with_grad(
      x, [&](engine::Workspace<T>& workspace, const nn::Subgraph& subgraph, const std::function<void()>& back) {
        for (std::size_t output = 0; output < subgraph.outputs.size(); ++output) {
          for (Index feature = 0; feature < workspace.width(subgraph.outputs[output]); ++feature) {
            check_interrupt();
            for (std::size_t k = 0; k < subgraph.outputs.size(); ++k) {
              const Matrix<T> delta = workspace.delta(subgraph.outputs[k]);
              std::fill_n(delta.data, delta.size(), T(0));
              for (Index i = 0; k == output && i < delta.rows; ++i) delta.row(i)[feature] = T(1);
            }
            back();
            const auto inputs = deltas_of(workspace, subgraph.inputs);
            use(static_cast<Index>(output), feature, {inputs.begin(), inputs.end()});
          }
        }
      });
}

template <class T>
void Model<T>::input_gradient(std::span<const StridedView> x, const Deltas& delta,
                              const std::function<void(const std::vector<Matrix<const T>>&)>& use) {
  run_eval_with_grad(
      x, [&](engine::Workspace<T>& workspace, const nn::Subgraph& subgraph, const std::function<void()>& back) {
        const auto outputs = activations_of(workspace, subgraph.outputs);
        delta({outputs.begin(), outputs.end()}, deltas_of(workspace, subgraph.outputs));
        back();
        const auto inputs = deltas_of(workspace, subgraph.inputs);
        use({inputs.begin(), inputs.end()});
      });
}

template <class T>
void Model<T>::check_inputs(std::span<const StridedView> x, const std::string& name,
                            const InterruptCheck& check_interrupt) const {
  const nn::Subgraph subgraph = resolve_inputs(x);
  const std::vector<Index> origins = network_.plan().input_index(subgraph);
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    const nn::Node& node = network_.plan().node(n);
    if (node.kind != nn::Node::Kind::layer) continue;
    const Index input = origins[static_cast<std::size_t>(node.inputs[0])];
    if (input >= 0) network_.layer(node.layer).check_input(x[static_cast<std::size_t>(input)], name, check_interrupt);
  }
}

template <class T>
void Model<T>::learn(Index block, std::span<const StridedView> x, bool again, const InterruptCheck& check_interrupt) {
  const nn::Subgraph subgraph = resolve_inputs(x, block);
  const std::vector<Index> origins = network_.plan().input_index(subgraph);
  std::vector<std::pair<T*, std::vector<T>>> learned;  // written after all have learned
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    const nn::Node& node = network_.plan().node(n);
    if (node.kind != nn::Node::Kind::layer) continue;
    const nn::Layer& layer = network_.layer(node.layer);
    if (!layer.learns_from_data() || network_.frozen(node.layer)) continue;
    const Index input = origins[static_cast<std::size_t>(node.inputs[0])];
    if (input < 0) {
      throw ValueError(layer.describe() + ": expected to stand first in a network or a branch");
    }
    T* buffers = network_.buffers_of(node.layer);
    if (!again && layer.has_learned(buffers)) continue;
    const StridedView& data = x[static_cast<std::size_t>(input)];
    kernels::check_finite<T>(data, "X", check_interrupt);
    learned.emplace_back(buffers, std::vector<T>(static_cast<std::size_t>(network_.buffers_range(node.layer).size())));
    layer.learn(data, check_interrupt, learned.back().second.data());
  }
  for (const auto& [buffers, values] : learned) std::copy(values.begin(), values.end(), buffers);
}

template class Model<float>;
template class Model<double>;

}  // namespace deltaprop::runtime
