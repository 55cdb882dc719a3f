#pragma once

#include <cstdint>

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

/// One row-wise loss. Sums of a row are in float64 and unscaled; deltas carry weight * scale.
template <class T>
struct LossRows {
  Index rows, cols;
  const T* outputs;             // (rows, cols)
  const T* targets;             // (rows, cols), for losses of values
  const std::int64_t* classes;  // (rows,), for losses of classes
  const T* weights;             // (rows,), or null for ones
  double scale;
  T* deltas;       // (rows, cols), or null
  double* values;  // (rows,), the weighted sum over the row, or null
  T* elements;     // the unreduced loss, weighted, or null
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

enum class Loss : int { squared_error, cross_entropy, count };

/// The most options that an activation has.
inline constexpr Index kActivationOptions = 2;

/// y = f(x)
template <class T>
struct ActivationForward {
  Index rows, cols;
  const T* x;  // (rows, cols), row-major, as all of these
  T* y;
  T options[kActivationOptions];
};

/// dx = dy f'(x); both x and y = f(x) are at hand, a formula takes what serves it.
template <class T>
struct ActivationBackward {
  Index rows, cols;
  const T* x;
  const T* y;
  const T* dy;
  T* dx;
  T options[kActivationOptions];
};

template <class T>
struct Activation {
  const char* name;
  Index options;  // how many numbers it takes
  void (*forward)(const ActivationForward<T>&);
  void (*backward)(const ActivationBackward<T>&);
};

/// LeakyReLU with a slope that is learned: each call reads and writes what it needs.
template <class T>
struct Prelu {
  Index rows, cols;
  const T* weight;  // (cols,), or one number for all
  bool shared;
  const T* x;  // (rows, cols), as y, dy and dx
  T* y;
  const T* dy;
  T* dx;
  T* gradient;  // as weight
  bool accumulate;
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
  void (*prelu_forward)(const Prelu<T>&);
  void (*prelu_backward)(const Prelu<T>&);
  void (*prelu_gradient)(const Prelu<T>&);
  void (*losses[static_cast<int>(Loss::count)])(const LossRows<T>&);
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
