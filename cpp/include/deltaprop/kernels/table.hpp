#pragma once

#include <cstdint>
#include <limits>

#include "deltaprop/core/types.hpp"

/// The border between the network and its arithmetic: plain structs and functions that throw nothing. What stands
/// behind it is compiled once for each instruction set and chosen when the library is loaded.
namespace deltaprop::kernels {

/// Rows summed in one chain before the sum is added to a total: fixes the bits of every sum over rows.
inline constexpr Index kBlock = 256;

/// c = a b, a (m, k) and b (k, n) with any strides, c (m, n) row-major.
template <class T>
struct Product {
  Index m, n, k;
  const T* a;
  Index a_row, a_col;
  const T* b;
  Index b_row, b_col;
  T* c;
  Index c_row;
  const T* bias;    // `product`: (n,), added last; or null
  bool accumulate;  // `blocked_product`: add to c instead of writing it
};

template <class T>
struct ColumnSums {
  Index rows, cols;
  const T* a;  // (rows, cols), row-major
  T* sums;     // (cols,)
  bool accumulate;
};

/// Options of losses; each formula takes its own.
struct LossOptions {
  double threshold = 1;      // SmoothL1Loss's beta, HuberLoss's delta
  double smoothing = 0;      // of labels, from 0 to 1
  double eps = 0;            // PoissonNLLLoss's, GaussianNLLLoss's
  bool logarithmic = false;  // PoissonNLLLoss's log_input, KLDivLoss's log_target
  bool full = false;         // with the terms that no output changes
};

/// Some rows of a loss. Sums of a row are in float64 and unscaled; deltas carry weight * scale.
template <class T>
struct LossRows {
  Index rows, cols;
  const T* outputs;             // (rows, cols)
  const T* targets;             // (rows, cols / outputs an element), for losses of values
  const std::int64_t* classes;  // (rows,), for losses of classes; below 0: the row counts for nothing
  const T* weights;             // (rows,), or null for ones
  const T* columns;             // (cols,), or null for ones: weights of classes or of positive targets, quantiles
  LossOptions options;
  double scale;
  T* deltas;       // (rows, cols), or null
  double* values;  // (rows,), the weighted sum over the row, or null
  T* elements;     // the unreduced loss, weighted, or null
};

/// What numbers a formula takes; NaN is refused elsewhere.
struct Limits {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  bool ends_only = false;  // these two and none between

  bool any() const { return lowest > -std::numeric_limits<double>::infinity(); }
};

template <class T>
struct Loss {
  const char* name;
  bool classes;   // its targets are classes, an integer a row
  bool per_row;   // an element of the unreduced loss is a row, not an output
  Index outputs;  // of an element: the first of all elements stand in the first columns, and so on
  Limits (*targets)(const LossOptions&);
  Limits (*bounded_output)(const LossOptions&);  // of the last output of an element
  void (*run)(const LossRows<T>&);
};

template <class T>
struct Sgd {
  Index n;
  T* values;
  const T* gradients;
  T* momentum_buffer;  // null without momentum
  T lr, momentum, one_minus_dampening, weight_decay;
  bool nesterov;
  bool first_step;
};

template <class T>
struct Adam {
  Index n;
  T* values;
  const T* gradients;
  T* first_moment;
  T* second_moment;
  T beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, weight_decay;
  T step_size;                // lr / (1 - beta1^t)
  T inverse_root_correction;  // 1 / sqrt(1 - beta2^t)
};

template <class T>
struct Activation {
  const char* name;
  void (*forward)(const T* x, T* y, Index n);
  /// dx = dy f'(x); both x and y = f(x) are at hand, a formula takes what serves it.
  void (*backward)(const T* x, const T* y, const T* dy, T* dx, Index n);
};

template <class T>
struct Kernels {
  /// Each element is one chain of fused multiply-adds over k = 0, 1, 2, ... from 0, the bias added last.
  void (*product)(const Product<T>&);
  /// The same in chains of kBlock along k, the blocks added in order: sums over rows.
  void (*blocked_product)(const Product<T>&);
  void (*column_sums)(const ColumnSums<T>&);
  bool (*all_finite)(const T*, Index n);
  const Activation<T>* activations;
  Index activation_count;
  const Loss<T>* losses;
  Index loss_count;
  void (*sgd)(const Sgd<T>&);
  void (*adam)(const Adam<T>&);
};

struct Table {
  const char* instruction_set;
  Kernels<float> float32;
  Kernels<double> float64;
};

/// Loads the variant for this CPU from the folder `kernels` beside the calling binary. Throws std::runtime_error with
/// one clear line where the CPU or the file is not there. Called once, before any other function of the library.
void load();

/// The table that load() has chosen.
const Table& table();

template <class T>
const Kernels<T>& get();
template <>
inline const Kernels<float>& get<float>() {
  return table().float32;
}
template <>
inline const Kernels<double>& get<double>() {
  return table().float64;
}

}  // namespace deltaprop::kernels
