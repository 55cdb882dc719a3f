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

/// The width of a layer that takes whatever comes.
inline constexpr Index kAnyWidth = -1;

/// What a layer's random numbers in one pass are keyed by.
struct Draws {
  std::uint64_t seed = 0;
  std::uint32_t pass = 0;
  std::uint32_t layer = 0;
  Index first_row = 0;  // the batch's row, or the input's, that these rows begin with
};

/// y = f(x) for a range of rows.
template <class T>
struct Forward {
  const T* parameters;  // this layer's own
  Matrix<const T> x;    // (rows, in)
  Matrix<T> y;          // (rows, out)
  bool training;
  const T* buffers = nullptr;     // this layer's own
  Matrix<T> saved{};              // (rows, saved_per_row()), to be written; null where nobody goes back
  T* batch_statistics = nullptr;  // saved_per_batch() numbers of the whole batch, to be written in training
  Draws draws{};
  StridedRows origin{};  // what x was converted from, where it is an input of the network; else of no data
};

/// dJ/dx from dJ/dy for a range of rows.
template <class T>
struct Backward {
  const T* parameters;
  Matrix<const T> x;        // (rows, in), as forward took it
  Matrix<const T> y;        // (rows, out), as forward gave it
  Matrix<const T> delta_y;  // (rows, out), dJ/dy
  Matrix<T> delta_x;        // (rows, in), dJ/dx; null where nobody wants it
  T* gradients;             // for layers that find their gradients on the way, as those written in Python do
  bool accumulate;          // add to these gradients instead of writing them
  bool training = true;     // as forward was told
  const T* buffers = nullptr;
  Matrix<const T> saved{};
  T* batch_statistics = nullptr;  // sums that the gradients need too may be written there
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

/// New running statistics from a batch that went well.
template <class T>
struct Statistics {
  Index rows;
  const T* batch_statistics;
  T* buffers;
};

/// A layer: shapes, formula and derivative. It holds no numbers: parameters lie in the network's flat buffer,
/// activations and deltas in the workspace of whoever runs it, so one layer serves both precisions, and inference
/// is const.
class Layer {
 public:
  virtual ~Layer() = default;

  /// "Linear(4, 5)", as it stands in messages and tables.
  virtual std::string describe() const = 0;
  virtual Index in_features() const { return kAnyWidth; }
  /// The width of the output for an input of `in` features.
  virtual Index out_features(Index in) const { return in; }
  /// Whether an input of any width comes out as wide.
  virtual bool keeps_width() const { return out_features(kAnyWidth) == kAnyWidth && out_features(1) == 1; }
  virtual std::vector<ParameterShape> parameters() const { return {}; }
  /// Arrays that are saved with the parameters but have no gradient, as running statistics.
  virtual std::vector<ParameterShape> buffers() const { return {}; }
  /// Numbers a row, and numbers a batch, that a training pass keeps for the way back.
  virtual Index saved_per_row(Index /*in*/) const { return 0; }
  virtual Index saved_per_batch(Index /*in*/) const { return 0; }
  /// The fewest rows that a training pass can take.
  virtual Index min_batch_size() const { return 0; }
  /// Whether a row of the output depends on that row of the input alone, so that tiles of rows may be run on
  /// their own.
  virtual bool rowwise(bool /*training*/) const { return true; }
  /// Whether backward() reads y.
  virtual bool reads_output() const { return true; }
  /// Whether y may stand in the place of x, and delta_x in that of delta_y.
  virtual bool supports_inplace() const { return false; }
  /// Whether backward() must run even if neither its delta nor a gradient is wanted.
  virtual bool always_backward() const { return false; }
  /// Writes the initial parameters, in float64; `random` is keyed by the network's seed and the layer's place.
  virtual void initialise(const Random&, double*) const {}
  /// The same for the buffers, which nothing random decides.
  virtual void initialise_buffers(double*) const {}
  /// Looks through a whole input, which is called `name`, for what the layer does not take; ValueError.
  virtual void check_input(const StridedView&, const std::string& /*name*/,
                           const InterruptCheck& /*check_interrupt*/) const {}
  /// Whether its buffers are to be learned from the whole input before training; writes those learned.
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

  /// The gradients come in tiles: runs of the layer's parameters, each inside one parameter, that can be computed,
  /// and the parameters then updated, on their own.
  virtual std::vector<Range> gradient_tiles() const { return {}; }
  virtual void gradient(const Gradient<float>&, Range) const {}
  virtual void gradient(const Gradient<double>&, Range) const {}
};

/// Gives Derived, which writes each formula once as a template, both precisions.
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
