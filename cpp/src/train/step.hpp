#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "deltaprop/engine/recursion.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/train/fit.hpp"
#include "loss_rows.hpp"

namespace deltaprop::train {

inline constexpr const char* kAdvice = " in a batch; choose another batch_size";

/// The training step, compiled for a network, its losses and an optimizer.
template <class T>
class Step {
 public:
  /// For data as `example` is. `keeps`: every activation and delta is there after a step.
  Step(Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads, const Data& example,
       engine::GradientScope scope, bool keeps)
      : model_(model),
        network_(model.network()),
        optimizer_(optimizer),
        subgraph_(model.resolve_inputs(example.x)),
        scope_(scope) {
    for (const Head& head : heads) heads_.push_back({LossRows<T>(*head.loss), head.weight});
    for (const StridedView& x : example.x) features_.push_back(x.cols);
    workspace_.shape(network_, subgraph_, features_, !keeps);
    tile_rows_ = engine::rows_per_tile<T>(network_.parameters()->size(), workspace_.widths());
    work_of_row_ = engine::work_of_row(network_, workspace_.widths());
    buffers_.resize(static_cast<std::size_t>(network_.parameters()->buffer_values.size()));
  }

  /// One update from a batch, or from several whose gradients are added up to those of one large batch; of so many
  /// rows in all.
  void run(std::span<const Batch> batches, double rows, const std::function<void()>& check_interrupt) {
    if (version_ != network_.version()) compile();
    Index most_rows = 0;
    for (const Batch& batch : batches) {
      if (batch.rows < min_batch_size_) network_.check_rows(batch.rows, kAdvice);
    }
    for (const Batch& batch : batches) {
      check_features(*batch.data);
      most_rows = std::max(most_rows, batch.rows);
    }
    const double parameters = static_cast<double>(network_.parameters()->size());
    // Multiplications of one product over one tile of rows: 1e7 take a tenth of a millisecond.
    const bool slow = static_cast<double>(std::min(most_rows, tile_rows_)) * parameters > 1e7;
    constexpr double kLong = 4e9;  // some tens of milliseconds
    const bool all_first =
        batches.size() > 1 || optimizer_.needs_all_gradients() || static_cast<double>(most_rows) * parameters > kLong;
    const Index worth = threads::suggested_threads(work_of_row_ * static_cast<double>(most_rows));
    const Index threads = trial_.threads(worth);
    const threads::Limit limit(threads);
    const auto start = worth > 1 ? Clock::now() : Clock::time_point();
    KeepBuffers keep(*this);
    find_scales(batches);
    for (const Batch& batch : batches) {
      batch_ = &batch;
      workspace_.accumulate = &batch != &batches.front();
      if (batches.size() > 1) gather_batch(batch);
      finite_.store(true, std::memory_order_relaxed);
      workspace_.resize(batch.rows);
      for (std::size_t k = 0; k < features_.size(); ++k) {
        workspace_.inputs[k] = {batch.data->x[k], batch.order, batch.first};
      }
      workspace_.pass = static_cast<std::uint32_t>(model_.passes++);
      pass_.run(batch.rows, tile_rows_, threads, &check_interrupt, slow);
      judge();
      if (all_first) gradients_.run(batch.rows, tile_rows_, threads, &check_interrupt);
    }
    optimizer_.begin_step();
    (all_first ? update_ : gradients_and_update_).run(0, 1, threads, &check_interrupt);
    optimizer_.end_step();
    keep.commit();
    if (worth > 1) trial_.took(std::chrono::duration<double>(Clock::now() - start).count(), rows);
  }

  /// The weighted sum of the heads' losses before the last update, and one head's own.
  double value() const {
    double sum = 0;
    for (const RunningHead& head : heads_) sum += head.weight * head.value;
    return sum;
  }
  double value(std::size_t head) const { return heads_[head].value; }
  const engine::Workspace<T>& workspace() const { return workspace_; }
  /// About as many operations as a row of a batch takes.
  double work_of_row() const { return work_of_row_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// Gradients that are found before the update of them all: those of one tile, or of several small ones.
  struct Part {
    Range tiles, run;
    Index parameter;  // in which the run begins
  };

  struct RunningHead {
    LossRows<T> rows;
    double weight;
    double scale = 0, value = 0;
  };

  /// Puts running statistics back where they were unless the update was made.
  class KeepBuffers {
   public:
    explicit KeepBuffers(Step& step) : step_(step) { std::copy_n(now(), step.buffers_.size(), step.buffers_.data()); }
    ~KeepBuffers() {
      if (!committed_) std::copy_n(step_.buffers_.data(), step_.buffers_.size(), now());
    }
    void commit() { committed_ = true; }

   private:
    T* now() const { return step_.network_.parameters()->buffer_values.data(); }

    Step& step_;
    bool committed_ = false;
  };

  void compile() {
    version_ = network_.version();
    min_batch_size_ = network_.min_batch_size();
    make_parts();
    pass_ = gradients_ = update_ = gradients_and_update_ = {};
    pass_.add_rows([this](Range rows) { gather_inputs(rows); });
    engine::add_forward(pass_, network_, subgraph_, workspace_);
    for (std::size_t k = 0; k < heads_.size(); ++k) {
      pass_.add_rows(
          [this, k](Range rows) {
            const RunningHead& head = heads_[k];
            head.rows.run(rows, workspace_.a(subgraph_.outputs[k]), head.scale * head.weight,
                          workspace_.delta(subgraph_.outputs[k]));
          },
          heads_[k].rows.loss().rowwise());
    }
    engine::add_backward(pass_, network_, subgraph_, workspace_, scope_);
    pass_.add_rows([this](Range rows) { check_deltas(rows); });
    add_update();
  }

  /// Gradients and updates tile by tile, each updated while it is in cache; or all gradients first, where the update
  /// needs them all, and where the step takes long: an interrupt between tiles then leaves no update half done.
  void add_update() {
    const auto count = static_cast<Index>(parts_.size());
    const auto find = [this](Index i) {
      const Range tiles = part(i).tiles;
      for (Index t = tiles.begin; t < tiles.end; ++t) engine::compute_gradient(network_, workspace_, tile(t));
    };
    const auto update = [this](Index i) { optimizer_.update(part(i).parameter, part(i).run); };
    gradients_.add_tiles(count, find, true);
    update_.add_tiles(count, update);
    gradients_and_update_.add_tiles(count, [find, update](Index i) {
      find(i);
      update(i);
    });
  }

  /// An update of a few numbers costs a call, as that of some hundreds does.
  void make_parts() {
    constexpr Index kTogether = 1024;
    tiles_ = engine::gradient_tiles(network_);
    parts_.clear();
    for (Index i = 0; i < static_cast<Index>(tiles_.size()); ++i) {
      const Range run = tile(i).run;
      if (!parts_.empty() && parts_.back().run.end == run.begin && run.end - parts_.back().run.begin <= kTogether) {
        parts_.back().run.end = run.end;
        parts_.back().tiles.end = i + 1;
      } else {
        parts_.push_back({{i, i + 1}, run, tile(i).parameter});
      }
    }
  }

  /// A feed may give batches of any kind.
  void check_features(const Data& data) const {
    const bool same = std::equal(data.x.begin(), data.x.end(), features_.begin(), features_.end(),
                                 [](const StridedView& x, Index features) { return x.cols == features; });
    if (same) return;
    std::vector<Index> got;
    for (const StridedView& x : data.x) got.push_back(x.cols);
    throw ValueError("fit: expected batches of inputs with " + shape_text(features_) +
                     " features, as the first has, got " + shape_text(got));
  }

  const engine::GradientTile& tile(Index i) const { return tiles_[static_cast<std::size_t>(i)]; }
  const Part& part(Index i) const { return parts_[static_cast<std::size_t>(i)]; }

  double gather_batch(const Batch& batch, std::size_t k) {
    return heads_[k].rows.gather_batch(batch.data->targets[k], batch.order, batch.first, batch.rows,
                                       workspace_.width(subgraph_.outputs[k]));
  }
  void gather_batch(const Batch& batch) {
    for (std::size_t k = 0; k < heads_.size(); ++k) gather_batch(batch, k);
  }

  /// What each loss's sum over all rows is divided by; needs the weights of all of them.
  void find_scales(std::span<const Batch> batches) {
    for (std::size_t k = 0; k < heads_.size(); ++k) {
      double weight = 0;
      for (const Batch& batch : batches) weight += gather_batch(batch, k);
      heads_[k].scale = heads_[k].rows.loss().scale(weight, workspace_.width(subgraph_.outputs[k]));
    }
  }

  void gather_inputs(Range rows) {
    const Batch part = batch_->slice(rows);
    const Data& data = *part.data;
    for (std::size_t k = 0; k < data.x.size(); ++k) {
      const Matrix<T> x = workspace_.a(subgraph_.inputs[k]).slice(rows);
      gather<T>(workspace_.inputs[k].slice(rows), x);
      if (data.check_x_rows) check_gathered<T>(x, data.x_name, part.order, part.first, 0);
    }
  }

  /// Ends a batch's pass, which may be the end of the fit.
  void judge() {
    for (RunningHead& head : heads_) {
      const double value = head.rows.loss().value(head.rows.sums(), workspace_.rows(), head.scale);
      head.value = workspace_.accumulate ? head.value + value : value;
    }
    if (!std::isfinite(value()) || !finite_.load(std::memory_order_relaxed)) throw NotFinite(describe());
    engine::update_buffers(network_, workspace_);
  }

  void check_deltas(Range rows) {
    for (const engine::GradientTile& t : tiles_) {
      if (t.run.begin != network_.parameters_of(t.layer).begin) continue;  // once a layer
      const Matrix<T> delta = workspace_.delta(t.output).slice(rows);
      if (!kernels::get<T>().all_finite(delta.data, delta.size())) finite_.store(false, std::memory_order_relaxed);
    }
  }

  std::string describe() const {
    return std::isfinite(value()) ? "a delta is not finite" : "the loss is " + std::to_string(value());
  }

  Model<T>& model_;
  const nn::Network<T>& network_;
  optim::Optimizer<T>& optimizer_;
  nn::Subgraph subgraph_;
  engine::GradientScope scope_;
  std::vector<Index> features_;  // of the inputs
  std::vector<RunningHead> heads_;
  engine::Workspace<T> workspace_;
  std::vector<engine::GradientTile> tiles_;
  std::vector<Part> parts_;
  engine::Program pass_, gradients_, update_, gradients_and_update_;
  std::vector<T> buffers_;  // before the batch
  double work_of_row_ = 0;
  Index tile_rows_ = 0;
  Index min_batch_size_ = 0;
  Index version_ = -1;
  const Batch* batch_ = nullptr;
  std::atomic<bool> finite_{true};
  threads::Trial trial_;
};

}  // namespace deltaprop::train
