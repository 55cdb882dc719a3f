#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "deltaprop/core/parameters.hpp"
#include "deltaprop/core/random.hpp"
#include "deltaprop/core/strided_view.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop::nn {

/// The width of a layer that accepts any number of features.
inline constexpr Index kAnyWidth = -1;

/// The key of a layer's random numbers in one pass.
struct Draws {
  std::uint64_t seed = 0;
  std::uint32_t pass = 0;
  std::uint32_t layer = 0;
  Index first_row = 0;  // position of these rows in the batch, or in the input
};

/// y = f(x) for a range of rows.
template <class T>
struct Forward {
  const T* parameters;  // of this layer
  Matrix<const T> x;    // (rows, in)
  Matrix<T> y;          // (rows, out)
  bool training;
  const T* buffers = nullptr;     // of this layer
  Matrix<T> saved{};              // output (rows, saved_per_row()); null if no backward pass follows
  T* batch_statistics = nullptr;  // output in training: saved_per_batch() numbers for the whole batch
  Draws draws{};
  StridedRows origin{};  // the user's data of which x is a conversion; empty unless x is an input of the network
};

/// dJ/dx from dJ/dy for a range of rows.
template <class T>
struct Backward {
  const T* parameters;
  Matrix<const T> x;        // (rows, in), input of forward
  Matrix<const T> y;        // (rows, out), output of forward
  Matrix<const T> delta_y;  // (rows, out), dJ/dy
  Matrix<T> delta_x;        // output (rows, in), dJ/dx; null if not needed
  T* gradients;             // for layers that compute their gradients in backward, such as those written in Python
  bool accumulate;          // add to the gradients instead of writing them
  bool training = true;     // as in forward
  const T* buffers = nullptr;
  Matrix<const T> saved{};
  T* batch_statistics = nullptr;  // backward may store sums here that gradient() reuses
};

/// dJ/dparameters from all rows of a batch.
template <class T>
struct Gradient {
  Matrix<const T> x;        // (rows, in)
  Matrix<const T> delta_y;  // (rows, out)
  T* gradients;
  bool accumulate;
  Matrix<const T> saved{};
  const T* batch_statistics = nullptr;
};

/// Update of running statistics, after a batch whose loss and gradients were finite.
template <class T>
struct Statistics {
  Index rows;
  const T* batch_statistics;
  T* buffers;
};

/// A layer: shapes, formula and derivative. It is stateless: parameters are in the network's flat buffer, activations
/// and deltas in the caller's workspace, so one layer serves both precisions, and inference is const.
class Layer {
 public:
  virtual ~Layer() = default;

  /// "Linear(4, 5)", for messages and tables.
  virtual std::string describe() const = 0;
  virtual Index in_features() const { return kAnyWidth; }
  /// Output features for `in` input features.
  virtual Index out_features(Index in) const { return in; }
  /// Whether the layer accepts any width and preserves it.
  virtual bool keeps_width() const { return out_features(kAnyWidth) == kAnyWidth && out_features(1) == 1; }
  virtual std::vector<ParameterShape> parameters() const { return {}; }
  /// Arrays that are saved with the parameters but not trained, such as running statistics.
  virtual std::vector<ParameterShape> buffers() const { return {}; }
  /// Numbers per row and per batch that a training pass saves for the backward pass.
  virtual Index saved_per_row(Index /*in*/) const { return 0; }
  virtual Index saved_per_batch(Index /*in*/) const { return 0; }
  /// Minimum number of rows of a training pass.
  virtual Index min_batch_size() const { return 0; }
  /// Whether each row of the output depends on the same row of the input only, so that tiles of rows may run
  /// independently.
  virtual bool rowwise(bool /*training*/) const { return true; }
  /// Whether backward() reads y.
  virtual bool reads_output() const { return true; }
  /// Whether y may alias x, and delta_x alias delta_y.
  virtual bool supports_inplace() const { return false; }
  /// Whether backward() must run even if neither its delta nor its gradients are needed.
  virtual bool always_backward() const { return false; }
  /// Writes the initial parameters in float64; `random` is keyed by the network's seed and the position of the layer.
  virtual void initialise(const Random&, double*) const {}
  /// Writes the initial buffers in float64.
  virtual void initialise_buffers(double*) const {}
  /// Scans a whole input; ValueError, which calls it `name`, for values that the layer does not accept.
  virtual void check_input(const StridedView&, const std::string& /*name*/,
                           const InterruptCheck& /*check_interrupt*/) const {}
  /// Whether the buffers are computed from the whole input before training, by learn().
  virtual bool learns_from_data() const { return false; }
  virtual void learn(const StridedView&, const InterruptCheck& check_interrupt, float* buffers) const = 0;
  virtual void learn(const StridedView&, const InterruptCheck& check_interrupt, double* buffers) const = 0;
  virtual bool has_learned(const float*) const { return true; }
  virtual bool has_learned(const double*) const { return true; }

  virtual void forward(const Forward<float>&) const = 0;
  virtual void forward(const Forward<double>&) const = 0;
  virtual void backward(const Backward<float>&) const = 0;
  virtual void backward(const Backward<double>&) const = 0;
  virtual void update_buffers(const Statistics<float>&) const = 0;
  virtual void update_buffers(const Statistics<double>&) const = 0;

  /// Ranges of the layer's parameters, each within one parameter, whose gradients can be computed, and which can then
  /// be updated, independently of each other.
  virtual std::vector<Range> gradient_tiles() const { return {}; }
  virtual void gradient(const Gradient<float>&, Range) const {}
  virtual void gradient(const Gradient<double>&, Range) const {}
};

/// CRTP base: implements the virtual functions for both precisions by the templates of Derived.
template <class Derived>
class BothPrecisions : public Layer {
 public:
  void forward(const Forward<float>& f) const final { self().run_forward(f); }
  void forward(const Forward<double>& f) const final { self().run_forward(f); }
  void backward(const Backward<float>& b) const final { self().run_backward(b); }
  void backward(const Backward<double>& b) const final { self().run_backward(b); }
  void learn(const StridedView& x, const InterruptCheck& check_interrupt, float* buffers) const final {
    self().run_learn(x, check_interrupt, buffers);
  }
  void learn(const StridedView& x, const InterruptCheck& check_interrupt, double* buffers) const final {
    self().run_learn(x, check_interrupt, buffers);
  }
  void update_buffers(const Statistics<float>& s) const final { self().run_update_buffers(s); }
  void update_buffers(const Statistics<double>& s) const final { self().run_update_buffers(s); }
  void gradient(const Gradient<float>& g, Range r) const final { self().run_gradient(g, r); }
  void gradient(const Gradient<double>& g, Range r) const final { self().run_gradient(g, r); }

  template <class T>
  void run_learn(const StridedView&, const InterruptCheck& /*check_interrupt*/, T* /*buffers*/) const {}
  template <class T>
  void run_gradient(const Gradient<T>&, Range) const {}
  template <class T>
  void run_update_buffers(const Statistics<T>&) const {}

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

}  // namespace deltaprop::nn
