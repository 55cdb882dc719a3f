#pragma once

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/busy.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// What a layer asks for: a named array, row-major in the given shape. A `transposed` one is shown to users with its
/// two axes exchanged: weights are stored (in, out), so that z = a w + b reads them in order, and shown
/// (out, in), as PyTorch does.
struct ParameterShape {
  std::string name;
  std::vector<Index> shape;
  bool transposed = false;

  Index size() const { return element_count(shape); }
};

/// A parameter and its place in the flat buffers.
struct Parameter {
  ParameterShape shape;  // its name is qualified by the layer's: "0.weight"
  Index layer = 0;
  Range range;
  bool frozen = false;
};

/// All parameters of a network in one buffer without padding, their gradients in a second one of the same layout.
template <class T>
struct Parameters {
  std::vector<Parameter> list;
  Buffer<T> values;
  Buffer<T> gradients;
  /// What is saved with the parameters but not trained, as running statistics, in a buffer of its own.
  std::vector<Parameter> buffer_list;
  Buffer<T> buffer_values;
  /// Held while `fit` runs: from then on only its own thread may use them, so that callbacks can predict.
  Busy busy{"the network is in use: expected no other call while fit runs"};

  /// Whether that thread is within a step, which calls back into layers and losses written in Python. Its own.
  bool stepping = false;
  /// Whether an optimizer's averages stand in for the values.
  std::atomic<bool> averaged{false};

  Index size() const { return list.empty() ? 0 : list.back().range.end; }
  /// RuntimeError within a step of fit, for what would change what the step works on.
  void check_between_steps(const char* what) const {
    if (busy.mine() && stepping) throw std::runtime_error(std::string(what) + ": not while a step of fit runs");
  }
  /// The same where another thread fits.
  void check_idle(const char* what) const {
    busy.check();
    check_between_steps(what);
  }
  /// RuntimeError where a step would update averages.
  void check_own_values() const {
    if (averaged) {
      throw std::runtime_error("the averages stand in for the parameters: expected no step before averaged() ends");
    }
  }
};

}  // namespace deltaprop
