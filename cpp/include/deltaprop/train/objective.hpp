#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "deltaprop/engine/recursion.hpp"
#include "deltaprop/runtime/model.hpp"
#include "deltaprop/train/batch_source.hpp"
#include "deltaprop/train/head.hpp"
#include "deltaprop/train/loss_rows.hpp"
#include "deltaprop/train/reduction.hpp"

namespace deltaprop::train {

/// Ends the message about a batch with too few rows for a layer.
inline constexpr const char* kBatchSizeAdvice = " in a batch; choose another batch_size";

/// Data available in the workspace of an objective after a step.
struct Recording {
  bool activations = false;  // of every layer
  bool deltas = false;       // of every layer, the input's included
};

/// Execution of a pass.
struct Execution {
  Index threads;
  const InterruptCheck& check_interrupt;
  bool check_each = false;  // also between the operations of a tile of rows
};

/// A range of the flat buffers whose gradient is computed as one task: one gradient tile, or several small ones.
struct GradientTask {
  Range tiles, run;
  Index parameter;  // in which the range begins
};

/// The training loss of a network as a function of its parameters: the weighted sum of its heads' losses over a batch,
/// or over several batches that count as one. Computes its value, the flat gradient (in the network's buffer), and the
/// statistics that layers take from the batch.
///
/// A step: begin() with its batches, then differentiate() for each of them, the gradients by compute_gradients() or
/// task by task; a Statistics object committed once the update is made.
template <class T>
class Objective {
 public:
  /// For batches with the features of `example`. `reduction`: null if this process has all rows.
  Objective(runtime::Model<T>& model, const std::vector<Head>& heads, const Data& example, Recording recording = {},
            Reduction<T>* reduction = nullptr);
  Objective(const Objective&) = delete;
  Objective& operator=(const Objective&) = delete;

  /// Restores the running statistics of layers on destruction, unless committed.
  class Statistics {
   public:
    explicit Statistics(Objective& objective) : objective_(objective) {
      std::copy_n(objective.running_statistics(), objective.statistics_.size(), objective.statistics_.data());
    }
    ~Statistics() {
      const std::vector<T>& before = objective_.statistics_;
      if (!committed_) std::copy(before.begin(), before.end(), objective_.running_statistics());
    }
    Statistics(const Statistics&) = delete;
    Statistics& operator=(const Statistics&) = delete;
    void commit() { committed_ = true; }

   private:
    Objective& objective_;
    bool committed_ = false;
  };

  /// Prepares for batches whose losses are summed: recompiles if layers were frozen or unfrozen, checks shapes,
  /// and computes the scale of each head's loss, which depends on all sample weights. ValueError for unsuitable
  /// batches.
  void begin(std::span<const Batch> batches);
  /// The forward pass, the loss and the deltas of one of them. `accumulate`: its loss and gradient are added to those
  /// of the batches before it. Throws NotFinite if the loss or a delta is not finite; updates running statistics.
  void differentiate(const Batch& batch, bool accumulate, const Execution& execution);
  /// The gradient of the last batch differentiated, written to (or added to) the network's flat gradient buffer; with
  /// a reduction, call sum_gradients() after the last batch.
  void compute_gradients(const Execution& execution);
  void compute_gradient(Index task) {
    const Range tiles = tasks_[static_cast<std::size_t>(task)].tiles;
    for (Index i = tiles.begin; i < tiles.end; ++i) {
      engine::compute_gradient(network_, workspace_, tiles_[static_cast<std::size_t>(i)]);
    }
  }
  void sum_gradients();
  /// Value and flat gradient in one call: begin(), then all batches.
  double value_and_gradient(std::span<const Batch> batches, const Execution& execution);
  /// Only the value, at the present parameters, for the batches (and the random masks) of the last
  /// value_and_gradient(); does not change value() or running statistics. May be infinite or NaN.
  double value_at(std::span<const Batch> batches, const Execution& execution);

  /// Calls use(row, head, output, derivatives) with the derivatives of each output of each row of the batch with
  /// respect to all parameters, in the layout of the flat buffers; 0 for frozen ones. Does not change the gradient
  /// buffer. ValueError for a network with layers that couple rows.
  using RowDerivatives = std::function<void(Index row, std::size_t head, Index output, std::span<const T>)>;
  void jacobian(const Batch& batch, const RowDerivatives& use, const Execution& execution);

  /// The weighted sum of the heads' losses of the batches differentiated last, and one head's loss.
  double value() const {
    double sum = 0;
    for (const HeadState& head : heads_) sum += head.weight * head.value;
    return sum;
  }
  double value(std::size_t head) const { return heads_[head].value; }

  const nn::Network<T>& network() const { return network_; }
  Parameters<T>& parameters() const { return *network_.parameters(); }
  const engine::Workspace<T>& workspace() const { return workspace_; }
  const std::vector<GradientTask>& tasks() const { return tasks_; }
  /// Version of the tasks, which change when layers are frozen or unfrozen.
  Index version() const { return version_; }
  bool reduces() const { return reduction_ != nullptr; }
  /// Approximate operations per row of a batch, and the rows of a tile.
  double work_per_row() const { return work_per_row_; }
  Index tile_rows() const { return tile_rows_; }
  Index max_rows() const { return max_rows_; }

 private:
  struct HeadState {
    LossRows<T> rows;
    double weight;
    double scale = 0, value = 0;
  };

  T* running_statistics() const { return parameters().buffer_values.data(); }
  void compile();
  void compile_evaluation();
  void make_tasks();
  void check_features(const Data& data) const;
  double gather_targets(const Batch& batch, std::size_t head);
  void gather_targets(const Batch& batch);
  void compute_scales(std::span<const Batch> batches);
  void set_batch(const Batch& batch);
  void gather_inputs(Range rows);
  void add_losses(engine::Program& program, bool deltas);
  double loss_of_batch(const HeadState& head) const;
  void collect_losses(bool accumulate);
  void check_deltas(Range rows);
  void check_finite() const;
  void run(const engine::Program& program, Index rows, const Execution& execution) const;

  runtime::Model<T>& model_;
  const nn::Network<T>& network_;
  nn::Subgraph subgraph_;
  engine::GradientScope scope_;
  Reduction<T>* reduction_;
  std::vector<Index> features_;  // of the inputs
  std::vector<HeadState> heads_;
  engine::Workspace<T> workspace_;
  std::vector<engine::GradientTile> tiles_;
  std::vector<GradientTask> tasks_;
  engine::Program pass_, gradients_;
  engine::Program value_, backward_;  // compiled on first use: few trainings need them
  std::vector<T> statistics_;         // running statistics before the step
  double work_per_row_ = 0;
  Index tile_rows_ = 0;
  Index min_batch_size_ = 0;
  Index max_rows_ = 0;  // of the batches of the step
  Index version_ = -1, evaluation_version_ = -1;
  std::uint64_t first_pass_ = 0;  // number of the first pass of the step
  bool several_ = false;          // the step has more than one batch
  const Batch* batch_ = nullptr;
  std::atomic<bool> finite_{true};
};

}  // namespace deltaprop::train
