#pragma once

#include <chrono>

#include "arrays.hpp"
#include "deltaprop/train/fit.hpp"

namespace deltaprop::python {

/// A history as a dictionary of columns. `validation`: whether it has "val_loss"; `layers`: columns of the norms.
py::dict as_dict(const train::History& history, bool validation, Index layers);

/// Calls Python's event functions with the epochs since their last call.
class FitEvents {
 public:
  /// epoch_end(epochs, updates, columns) returns whether to stop; on_exception(epochs, updates). `interval`: seconds
  /// between calls of epoch_end.
  FitEvents(py::object epoch_end, py::object on_exception, double interval, std::size_t stop_checks, bool validation,
            Index layers)
      : epoch_end_(std::move(epoch_end)),
        on_exception_(std::move(on_exception)),
        interval_(interval),
        dispatched_{.stop_checks = stop_checks},
        complete_(dispatched_),
        validation_(validation),
        layers_(layers) {}

  /// Without the GIL; returns whether to stop.
  bool epoch_end(const train::History& history);
  void on_exception(const train::History& history);

 private:
  using Clock = std::chrono::steady_clock;

  /// The length of the history after an epoch: after an exception it may also have values of an incomplete epoch.
  struct Position {
    Index epochs = 0, updates = 0;
    std::size_t stop_checks = 0;
  };

  train::History latest(const train::History& history, const Position& from) const;
  bool dispatch(const train::History& history);

  py::object epoch_end_, on_exception_;
  std::chrono::duration<double> interval_;
  Position dispatched_, complete_;  // of the last call, of the last complete epoch
  bool validation_;
  Index layers_;
  Clock::time_point last_call_ = Clock::now();
};

}  // namespace deltaprop::python
