#pragma once

#include <cstdint>

#include "deltaprop/core/random.hpp"
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
  const T* factors = nullptr;  // (rows, cols), what each element is multiplied by first; or null
};

/// Each row on its own: LayerNorm and RMSNorm. y may be x.
template <class T>
struct RowNorm {
  Index rows, cols;
  const T* x;       // (rows, cols)
  const T* weight;  // (cols,), or null for ones
  const T* bias;    // (cols,), or null for zeros
  T epsilon;
  T* y;                  // (rows, cols)
  T* normal;             // (rows, cols), x normalised, before weight and bias; or null where no delta follows
  T* inverse_deviation;  // (rows,), likewise
};

/// Its delta, from what the forward pass has kept. delta_x may be delta_y. The weight's gradient is
/// column_sums of delta_y with `normal` as factors, the bias's is column_sums of delta_y.
template <class T>
struct RowNormDelta {
  Index rows, cols;
  const T* delta_y;            // (rows, cols)
  const T* normal;             // (rows, cols)
  const T* inverse_deviation;  // (rows,)
  const T* weight;             // (cols,), or null for ones
  T* delta_x;                  // (rows, cols)
};

/// Mean and biased variance of each column over all rows.
template <class T>
struct ColumnMoments {
  Index rows, cols;
  const T* x;          // (rows, cols)
  T *mean, *variance;  // (cols,)
};

/// BatchNorm for any run of rows, by the moments of the batch or by running ones. y may be x.
template <class T>
struct ColumnNorm {
  Index rows, cols;
  const T* x;                         // (rows, cols)
  const T *mean, *inverse_deviation;  // (cols,)
  const T *weight, *bias;             // (cols,), or null for ones and zeros
  T* y;                               // (rows, cols)
  T* normal;                          // (rows, cols), or null where no delta follows
};

/// Its delta for any run of rows. The sums are those of the whole batch, by column_sums: the bias's gradient and,
/// with `normal` as factors, the weight's. delta_x may be delta_y.
template <class T>
struct ColumnNormDelta {
  Index rows, cols;
  Index batch;                         // rows of the whole batch
  const T* delta_y;                    // (rows, cols)
  const T* normal;                     // (rows, cols)
  const T* inverse_deviation;          // (cols,)
  const T* weight;                     // (cols,), or null for ones
  const T *delta_sums, *product_sums;  // (cols,), or null where the moments were given, not the batch's
  T* delta_x;                          // (rows, cols)
};

/// 1 / sqrt(variance + epsilon)
template <class T>
struct InverseDeviation {
  Index n;
  const T* variance;
  T epsilon;
  T* inverse_deviation;
};

/// values <- keep values + take fresh: running statistics, averages, and with ones a sum.
template <class T>
struct Blend {
  Index n;
  T* values;
  const T* fresh;
  T keep, take;
};

/// A run of a dropout mask. Element e of the batch, row * cols + col, stays with probability 1 - p: word e mod 4 of
/// Philox at the counter {e / 4, stream} is then not below p 2^32. So a mask is the same in whatever runs it is drawn.
template <class T>
struct DropoutMask {
  Random random;
  double p;
  Index first;  // of the run, its place in the batch
  Index n;
  T kept;   // written for an element that stays; 0 for the others
  T* mask;  // (n,)
};

/// y = (x + offset) mask + shift. Zeros: Dropout and every delta; others: AlphaDropout. y may be x.
template <class T>
struct Masked {
  Index n;
  const T *x, *mask;
  T offset, shift;
  T* y;
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
  void (*layer_norm)(const RowNorm<T>&);
  void (*layer_norm_delta)(const RowNormDelta<T>&);
  void (*rms_norm)(const RowNorm<T>&);
  void (*rms_norm_delta)(const RowNormDelta<T>&);
  void (*column_moments)(const ColumnMoments<T>&);
  void (*column_norm)(const ColumnNorm<T>&);
  void (*column_norm_delta)(const ColumnNormDelta<T>&);
  void (*inverse_deviation)(const InverseDeviation<T>&);
  void (*blend)(const Blend<T>&);
  void (*dropout_mask)(const DropoutMask<T>&);
  void (*masked)(const Masked<T>&);
  const Activation<T>* activations;
  Index activation_count;
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
