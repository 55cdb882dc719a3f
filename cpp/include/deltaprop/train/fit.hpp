#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/runtime/model.hpp"
#include "deltaprop/train/batch_source.hpp"
#include "deltaprop/train/head.hpp"
#include "deltaprop/train/stepper.hpp"

namespace deltaprop::train {

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
  InterruptCheck check_interrupt;
};

/// What makes the updates of a training, and the guards that it holds.
template <class T>
struct Trainer {
  Stepper<T>& stepper;
  nn::Guards guards;
  Reduction<T>* reduction = nullptr;  // null: this process has all rows
};

/// Trains `model`. Throws NotFinite, naming epoch and batch, before an update that would use a loss or a delta that is
/// not finite; the network is then, as after any other exception, as the last update left it. `held`: access for
/// Call::fit that the caller has taken already.
template <class T>
History fit(runtime::Model<T>& model, const Trainer<T>& trainer, const std::vector<Head>& heads,
            BatchSource& batch_source, const FitOptions& options, const nn::Access* held = nullptr);
/// With first-order steps by an optimizer.
template <class T>
History fit(runtime::Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads,
            BatchSource& batch_source, const FitOptions& options, const nn::Access* held = nullptr);

}  // namespace deltaprop::train
