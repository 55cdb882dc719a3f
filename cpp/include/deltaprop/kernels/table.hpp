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

inline constexpr int kMaxStates = 3;
inline constexpr int kMaxCoefficients = 8;

/// The formulas of the update rules, in the order of the list in updates.hpp.
enum class Formula : int {
  sgd,
  momentum,
  nesterov,
  adam,
  amsgrad,
  unrectified,
  nadam,
  adamax,
  adagrad,
  adadelta,
  rmsprop,
  rmsprop_momentum,
  rmsprop_centered,
  rmsprop_centered_momentum,
  rprop,
  asgd,
  lion,
  count
};

/// The numbers of an update, the same for every run of a step.
template <class T>
struct UpdateTerms {
  T coefficients[kMaxCoefficients];  // as the formula takes them
  // What all formulas have in common:
  // g <- clamp(scale (sign g + l2 p + l1 sign(p)), -bound, bound) + decay p;  p <- max(formula(shrink p, g), floor)
  bool plain;  // nothing of it
  T sign, l2, l1, scale, bound, decay, shrink, floor;
};

template <class T>
struct Update {
  Index n;
  T* values;
  const T* gradients;
  T* states[kMaxStates];  // those that the formula takes, in its order
  const UpdateTerms<T>* terms;
};

/// average <- decay average + (1 - decay) values
template <class T>
struct Average {
  Index n;
  const T* values;
  T* average;
  double decay;
};

/// The incoming weights of units: element i of unit j at j unit_stride + i input_stride.
template <class T>
struct UnitNorms {
  Index units, inputs, unit_stride, input_stride;
  T* values;
  double limit;
};

enum class Loss : int { squared_error, cross_entropy, count };

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
  void (*losses[static_cast<int>(Loss::count)])(const LossRows<T>&);
  void (*const* updates)(const Update<T>&);  // by `Formula`
  /// The sum of the squares of scale (sign g + l2 p + l1 sign(p)), in float64.
  double (*square_sum)(const Update<T>&);
  void (*average)(const Average<T>&);
  /// Scales down the weights of each unit whose norm is above the limit.
  void (*limit_norms)(const UnitNorms<T>&);
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
