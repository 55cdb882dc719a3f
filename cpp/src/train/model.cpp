#include "deltaprop/train/model.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::train {

template <class T>
Model<T>::Model(std::vector<std::shared_ptr<nn::Layer>> layers, std::uint64_t seed)
    : network_(std::move(layers), seed), tiles_(engine::gradient_tiles(network_)) {
  engine::add_forward(forward_, network_, workspace_);
  engine::add_backward(backward_, network_, workspace_, {.input_delta = true, .accumulate = true});
  backward_.add_tiles(static_cast<Index>(tiles_.size()), [this](Index tile) {
    engine::find_gradient(network_, workspace_, tiles_[static_cast<std::size_t>(tile)], true);
  });
}

template <class T>
void Model<T>::infer_through(Range layers, const Source& x, Matrix<T> out, const std::function<void()>* between) const {
  engine::Scratch<T> scratch;
  run_inference(layers, x, out, scratch, between);
}

template <class T>
void Model<T>::infer(const Source& x, Matrix<T> out, engine::Scratch<T>& scratch,
                     const std::function<void()>* between) const {
  run_inference(network_.all(), x, out, scratch, between);
}

template <class T>
void Model<T>::run_inference(Range layers, const Source& x, Matrix<T> out, engine::Scratch<T>& scratch,
                             const std::function<void()>* between) const {
  const Busy::Visit visit(network_.parameters()->busy);
  // By reference: a function object of one pointer is copied without an allocation.
  const engine::FillRows<T> fill = [&x](Range rows, Matrix<T> into) { gather<T>(x, nullptr, rows.begin, into); };
  engine::infer<T>(network_, layers, x.cols, fill, out, scratch, between);
}

template <class T>
void Model<T>::forward(const Source& x, const std::function<void()>* between) {
  network_.parameters()->busy.check();
  state_ = State::none;
  if (widths_.empty() || widths_.front() != x.cols) widths_ = network_.widths(x.cols);
  workspace_.resize(x.rows, widths_);
  gather<T>(x, nullptr, 0, workspace_.a(0));
  forward_.run(x.rows, engine::rows_per_tile<T>(workspace_.widths()), between);
  state_ = State::forward;
}

template <class T>
void Model<T>::backward(const Source& delta) {
  network_.parameters()->busy.check();
  output();
  gather<T>(delta, nullptr, 0, workspace_.delta(network_.size()));
  // Consumed even if a layer written in Python raises: its gradients may be half added.
  state_ = State::none;
  backward_.run(delta.rows, engine::rows_per_tile<T>(workspace_.widths()));
  state_ = State::backward;
}

template <class T>
Matrix<const T> Model<T>::output() const {
  if (state_ != State::forward) {
    throw std::runtime_error(
        "backward: expected a fresh training pass; call net.forward(x), not net(x), before each backward");
  }
  return workspace_.a(network_.size());
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

template class Model<float>;
template class Model<double>;

}  // namespace deltaprop::train
