#pragma once

#include <span>

#include "deltaprop/train/objective.hpp"

namespace deltaprop::train {

/// What makes an update of an objective. The epoch loop, history, callbacks, checkpoints and stop rules know this
/// interface only.
template <class T>
class Stepper {
 public:
  virtual ~Stepper() = default;
  /// Called once before the first step; the objective outlives the training.
  virtual void begin(Objective<T>& objective) = 0;
  /// One update from batches that count as one; `rows` of them in all. Throws NotFinite before it changes anything if
  /// a loss or delta is not finite. An exception of `check_interrupt` leaves no update half made.
  /// Returns the learning rate of the update, for the history.
  virtual double step(std::span<const Batch> batches, double rows, const InterruptCheck& check_interrupt) = 0;
  /// Sets an option, by its place, as a schedule asks.
  virtual void set_option(Index group, Index option, double value) = 0;
};

}  // namespace deltaprop::train
