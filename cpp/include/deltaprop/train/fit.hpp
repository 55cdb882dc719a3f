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

/// Stops when the loss of the whole set, evaluated after updates, changes by less than eps between two checks.
struct StopOnPlateau {
  double eps;
  bool every_update;
  const std::vector<Head>* heads = nullptr;  // null: those of the training
  const Data* data = nullptr;                // the whole set
};

/// Values of scheduled options, computed in advance: row i applies to epoch, or update, i.
struct Schedule {
  struct Column {
    Index group, option;
    std::vector<double> values;
  };
  bool every_update = false;
  std::vector<Column> columns;
};

struct History {
  std::vector<double> loss, val_loss, lr;               // per epoch
  std::vector<std::vector<double>> losses, val_losses;  // by head, if there are several
  std::vector<double> stop_losses;                      // per check of the stop rule
  /// Means over an epoch's updates of the norms of each layer's activations, deltas and gradients, if
  /// recorded; layers in order within each epoch.
  std::vector<double> activation_norms, delta_norms, gradient_norms;
  Index epochs = 0;
  Index updates = 0;
  std::string stop_reason;
};

struct FitOptions {
  Index epochs;
  Index accumulate = 1;  // batches per update
  /// Inputs for layers that learn from data before training and have not yet done so.
  const Inputs* learn_from = nullptr;
  /// Index of the first epoch, part of the key of each shuffle. None: the network's count of epochs.
  std::optional<std::uint64_t> first_epoch;
  const Data* validation = nullptr;
  const std::vector<Head>* validation_heads = nullptr;  // null: those of the training
  std::optional<StopOnPlateau> stop;
  std::vector<double> stop_losses;  // checks before this fit if it resumes another: may stop at once
  Schedule schedule;
  bool record_activations = false, record_deltas = false, record_gradients = false;
  /// After each epoch; true stops.
  std::function<bool(const History&)> epoch_end;
  /// After each update, with its loss; true stops.
  std::function<bool(const History&, double)> batch_end;
  /// Called if an exception ends the fit, with the history up to it.
  std::function<void(const History&)> on_exception;
  /// Called between steps (once for several small ones) and between the tiles of large ones; throws to stop the fit.
  InterruptCheck check_interrupt;
};

/// The stepper of a training, its reduction, and the guards that the training takes.
template <class T>
struct Trainer {
  Stepper<T>& stepper;
  nn::Guards guards;
  Reduction<T>* reduction = nullptr;  // null: this process has all rows
};

/// Trains `model`. Throws NotFinite, naming epoch and batch, before an update that would use a loss or a delta that is
/// not finite; the network is then, as after any other exception, as the last update left it. `held`: access for
/// Call::fit taken by the caller.
template <class T>
History fit(runtime::Model<T>& model, const Trainer<T>& trainer, const std::vector<Head>& heads,
            BatchSource& batch_source, const FitOptions& options, const nn::Access* held = nullptr);
/// With first-order steps by an optimizer.
template <class T>
History fit(runtime::Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads,
            BatchSource& batch_source, const FitOptions& options, const nn::Access* held = nullptr);

}  // namespace deltaprop::train
