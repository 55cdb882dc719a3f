#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/nn/loss.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/train/data.hpp"
#include "deltaprop/train/model.hpp"

namespace deltaprop::train {

/// The loss of one output, and what it counts in the sum of all.
struct Head {
  const nn::Loss* loss;
  double weight = 1;
};

/// Rows of a set of data: order[0], order[1], ..., or first, first + 1, ... where order is null.
struct Batch {
  const Data* data;
  const Index* order;
  Index first;
  Index rows;

  Batch slice(Range r) const {
    return {data, order == nullptr ? nullptr : order + r.begin, order == nullptr ? first + r.begin : 0, r.size()};
  }
};

/// Where batches come from. They stay valid until the next call of begin_epoch() or begin_step().
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// The inputs and answers as any batch has them, to compile for.
  virtual const Data& example() = 0;
  /// Rows of the smallest batch, where that is known ahead.
  virtual std::optional<Index> min_batch_size() const { return std::nullopt; }
  virtual void begin_epoch(std::uint64_t epoch, const std::function<void()>& check_interrupt) = 0;
  virtual void begin_step() {}
  /// Nothing at the end of the epoch.
  virtual std::optional<Batch> next() = 0;
};

/// Batches of a set of data in memory, shuffled anew each epoch by a permutation that the seed and the epoch decide,
/// or in order.
class ArrayBatches final : public BatchSource {
 public:
  /// One batch of everything is the same in any order but for rounding: it keeps the data's.
  ArrayBatches(const Data& data, Index batch_size, bool shuffle, std::uint64_t seed);

  const Data& example() override { return data_; }
  std::optional<Index> min_batch_size() const override;
  void begin_epoch(std::uint64_t epoch, const std::function<void()>& check_interrupt) override;
  std::optional<Batch> next() override;

 private:
  const Data& data_;
  Index batch_size_;
  std::uint64_t seed_;
  std::vector<Index> order_;
  Index begin_ = 0;
};

/// Stop when the whole set's loss, taken after an update, moved by less than eps since the last look.
struct StopOnPlateau {
  double eps;
  bool every_update;
  const std::vector<Head>* heads = nullptr;  // null: those trained with
  const Data* data = nullptr;                // the whole set
};

/// Options that change as the fit goes on, evaluated ahead: row i holds for epoch, or update, i.
struct Schedule {
  struct Column {
    Index group, option;
    std::vector<double> values;
  };
  bool every_update = false;
  std::vector<Column> columns;
};

struct History {
  std::vector<double> loss, val_loss, lr;               // an epoch each
  std::vector<std::vector<double>> losses, val_losses;  // the same for each head, where there are several
  std::vector<double> stop_losses;                      // a look of the stop rule each
  /// Means over an epoch's updates of the norms of each layer's activations, deltas and gradients, where asked for;
  /// a layer after the other, an epoch after the other.
  std::vector<double> activation_norms, delta_norms, gradient_norms;
  Index epochs = 0;
  Index updates = 0;
  std::string stop_reason;
};

struct FitOptions {
  Index epochs;
  Index accumulate = 1;  // batches an update
  /// What layers learn from that learn from data before training, and have not yet done so.
  const Inputs* learn_from = nullptr;
  /// Epochs that went before, whose shuffles are over: part of the key of the next ones. None: the network's count.
  std::optional<std::uint64_t> first_epoch;
  const Data* validation = nullptr;
  const std::vector<Head>* validation_heads = nullptr;  // null: those trained with
  std::optional<StopOnPlateau> stop;
  std::vector<double> stop_losses;  // the rule's looks before this fit, where it goes on from another: it may be over
  Schedule schedule;
  bool record_activations = false, record_deltas = false, record_gradients = false;
  /// After each epoch; true stops.
  std::function<bool(const History&)> epoch_end;
  /// After each update, with its loss; true stops.
  std::function<bool(const History&, double)> batch_end;
  /// Where an exception ends the fit: what was done before.
  std::function<void(const History&)> on_exception;
  /// Between steps, a few where they are small, and, within large ones, between tiles; stops the fit by throwing.
  std::function<void()> check_interrupt;
};

/// Trains `model`. Throws NotFinite, naming epoch and batch, before an update that would use a loss or a delta that is
/// not finite; the network is then, as after any other exception, as the last update left it. `held`: access for
/// Call::fit that the caller has taken already.
template <class T>
History fit(Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads, BatchSource& batch_source,
            const FitOptions& options, const nn::Access* held = nullptr);

}  // namespace deltaprop::train
