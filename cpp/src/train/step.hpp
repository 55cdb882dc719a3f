#pragma once

#include <atomic>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "deltaprop/engine/recursion.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "loss_rows.hpp"

namespace deltaprop::train {

/// The training step, compiled once for a network, a loss and an optimizer.
template <class T>
class Step {
 public:
  Step(const nn::Network<T>& network, optim::Optimizer<T>& optimizer, const nn::Loss& loss, const Data& data,
       Index batch_size)
      : network_(network), optimizer_(optimizer), loss_(loss), data_(data), targets_(loss, data, batch_size) {
    workspace_.resize(batch_size, network.widths(data.x.cols));
    tile_rows_ = engine::rows_per_tile<T>(workspace_.widths());
    tiles_ = engine::gradient_tiles(network);
    // Multiplications of one product over one tile of rows: 1e7 take a tenth of a millisecond.
    slow_ =
        static_cast<double>(std::min(batch_size, tile_rows_)) * static_cast<double>(network.parameters()->size()) > 1e7;
    compile(batch_size);
  }

  /// One update from the rows order[0], order[1], ..., or first, first + 1, ...; gives the loss before it.
  double run(const Index* order, Index first, Index rows, const std::function<void()>& between) {
    order_ = order;
    first_ = first;
    finite_.store(true, std::memory_order_relaxed);
    workspace_.set_rows(rows);
    program_.run(rows, tile_rows_, &between, slow_);
    return value_;
  }

 private:
  void compile(Index batch_size) {
    program_.add_once([this] {
      const double weight = targets_.gather_weights(order_, first_, workspace_.rows());
      scale_ = loss_.scale(weight, workspace_.width(network_.size()));
    });
    program_.add_rows([this](Range rows) { gather_inputs(rows); });
    engine::add_forward(program_, network_, workspace_);
    program_.add_rows(
        [this](Range rows) {
          targets_.run(order_, first_, rows, workspace_.rows(), workspace_.a(network_.size()), scale_,
                       workspace_.delta(network_.size()));
        },
        loss_.rowwise());
    engine::add_backward(program_, network_, workspace_, {.input_delta = false, .accumulate = false});
    program_.add_rows([this](Range rows) { check_deltas(rows); });
    program_.add_once([this] {
      value_ = loss_.value(targets_.sums.data(), workspace_.rows(), scale_);
      if (!std::isfinite(value_) || !finite_.load(std::memory_order_relaxed)) throw NotFinite(describe());
    });
    add_update(batch_size);
  }

  /// Gradients and updates tile by tile, each updated while it is in cache. All gradients come first where the
  /// optimizer has to see them together, and where the step would take long, so that an interrupt between tiles leaves
  /// no update half done.
  void add_update(Index batch_size) {
    constexpr double kLong = 4e9;  // multiplications, some tens of milliseconds
    const bool long_step = static_cast<double>(batch_size) * static_cast<double>(network_.parameters()->size()) > kLong;
    const auto count = static_cast<Index>(tiles_.size());
    const auto find = [this](Index i) { engine::find_gradient(network_, workspace_, tile(i), false); };
    // Asked each step: a callback may have set clip_norm.
    const auto apart = [this, long_step] { return long_step || optimizer_.needs_all_gradients(); };
    program_.add_tiles(
        count,
        [apart, find](Index i) {
          if (apart()) find(i);
        },
        long_step);
    program_.add_once([this] { optimizer_.begin_step(); });
    program_.add_tiles(count, [this, apart, find](Index i) {
      if (!apart()) find(i);
      optimizer_.update(tile(i).parameter, tile(i).run);
    });
    program_.add_once([this] { optimizer_.end_step(); });
  }

  const engine::GradientTile& tile(Index i) const { return tiles_[static_cast<std::size_t>(i)]; }

  void gather_inputs(Range rows) {
    const Matrix<T> x = workspace_.a(0).slice(rows);
    gather<T>(data_.x, order_ == nullptr ? nullptr : order_ + rows.begin, first_ + rows.begin, x);
    if (data_.check_x_rows) check_gathered<T>(x, "X", order_, first_, rows.begin);
  }

  void check_deltas(Range rows) {
    for (Index i = 0; i < network_.size(); ++i) {
      if (network_.parameters_of(i).size() == 0) continue;
      const Matrix<T> delta = workspace_.delta(i + 1).slice(rows);
      if (!kernels::get<T>().all_finite(delta.data, delta.size())) finite_.store(false, std::memory_order_relaxed);
    }
  }

  std::string describe() const {
    return std::isfinite(value_) ? "a delta is not finite" : "the loss is " + std::to_string(value_);
  }

  const nn::Network<T>& network_;
  optim::Optimizer<T>& optimizer_;
  const nn::Loss& loss_;
  const Data& data_;
  LossRows<T> targets_;
  engine::Workspace<T> workspace_;
  std::vector<engine::GradientTile> tiles_;
  engine::Program program_;
  Index tile_rows_ = 0;
  bool slow_ = false;
  const Index* order_ = nullptr;
  Index first_ = 0;
  double scale_ = 0;
  double value_ = 0;
  std::atomic<bool> finite_{true};
};

}  // namespace deltaprop::train
