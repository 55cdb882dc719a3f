#pragma once

#include <span>

#include "deltaprop/train/objective.hpp"

namespace deltaprop::train {

/// An update of an objective: the only interface used by the epoch loop, history, callbacks, checkpoints and stop
/// rules.
template <class T>
class Stepper {
 public:
  virtual ~Stepper() = default;
  /// Called once before the first step; the objective outlives the training.
  virtual void begin(Objective<T>& objective) = 0;
  /// One update from batches that count as one, with `rows` rows in total. Throws NotFinite before it changes anything
  /// if a loss or delta is not finite. An exception of `check_interrupt` leaves no partial update. Returns the learning
  /// rate of the update, for the history.
  virtual double step(std::span<const Batch> batches, double rows, const InterruptCheck& check_interrupt) = 0;
  /// Sets a scheduled option, by its index in the rule's options.
  virtual void set_option(Index group, Index option, double value) = 0;
};

}  // namespace deltaprop::train
