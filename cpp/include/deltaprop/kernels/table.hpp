#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "deltaprop/core/options.hpp"
#include "deltaprop/core/random.hpp"
#include "deltaprop/core/types.hpp"
#include "deltaprop/kernels/formulas.hpp"

/// Interface of the kernels: argument structs and a table of functions, compiled once per instruction set and selected
/// at load time. The functions do not throw, except that a product throws std::bad_alloc if it cannot allocate its
/// packing buffer.
namespace deltaprop::kernels {

/// Rows that are summed in one chain before the result is added to the total: part of the fixed order of summation, so
/// of the bits of every sum over rows.
inline constexpr Index kBlock = 256;

/// c = a b; a (m, k) and b (k, n) with any strides, c (m, n) with row stride c_row.
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
  const T* factors = nullptr;  // (rows, cols), multiplied elementwise with a; or null
  Index factor_stride = 0;     // row stride of factors; 0 for cols
};

/// Normalisation over each row: LayerNorm and RMSNorm. y may alias x.
template <class T>
struct RowNorm {
  Index rows, cols;
  const T* x;       // (rows, cols)
  const T* weight;  // (cols,), or null for ones
  const T* bias;    // (cols,), or null for zeros
  T epsilon;
  T* y;                  // (rows, cols)
  T* normal;             // (rows, cols), normalised x before weight and bias; or null if no backward pass follows
  T* inverse_deviation;  // (rows,), or null
};

/// Delta of RowNorm from the values that the forward pass saved. delta_x may alias delta_y. The gradient of the weight
/// is column_sums of delta_y with `normal` as factors, that of the bias column_sums of delta_y.
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

/// BatchNorm of a range of rows, with batch moments or running moments. y may alias x.
template <class T>
struct ColumnNorm {
  Index rows, cols;
  const T* x;                         // (rows, cols)
  const T *mean, *inverse_deviation;  // (cols,)
  const T *weight, *bias;             // (cols,), or null for ones and zeros
  T* y;                               // (rows, cols)
  T* normal;                          // (rows, cols), or null if no backward pass follows
};

/// Delta of ColumnNorm for a range of rows. delta_sums and product_sums are column_sums over the whole batch: the
/// gradient of the bias and, with `normal` as factors, that of the weight. delta_x may alias delta_y.
template <class T>
struct ColumnNormDelta {
  Index rows, cols;
  Index batch;                         // rows of the whole batch
  const T* delta_y;                    // (rows, cols)
  const T* normal;                     // (rows, cols)
  const T* inverse_deviation;          // (cols,)
  const T* weight;                     // (cols,), or null for ones
  const T *delta_sums, *product_sums;  // (cols,), or null if the forward pass used running moments
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

/// values <- keep values + take fresh: running statistics, moving averages and, with factors 1, sums.
template <class T>
struct Axpby {
  Index n;
  T* values;
  const T* fresh;
  T keep, take;
};

/// A contiguous range of a dropout mask. Element e = row * cols + col of the batch is retained, with probability 1 - p,
/// where word e mod 4 of Philox at counter {e / 4, stream} is at least p 2^32, so the mask does not depend on how the
/// batch is split.
template <class T>
struct DropoutMask {
  Random random;
  double p;
  Index first;  // element of the batch
  Index n;
  T scale;  // mask of a retained element; 0 for the others
  T* mask;  // (n,)
};

/// y = (x + offset) mask + shift. Both are 0 for Dropout and all deltas, not for AlphaDropout. y may alias x.
template <class T>
struct MaskedAffine {
  Index n;
  const T *x, *mask;
  T offset, shift;
  T* y;
};

/// The options of a loss, in the order of its description; those that are not one number are unused.
using LossOptions = std::array<double, OptionList::kMax>;

/// A loss over a range of rows. Row sums are in float64 and unscaled; deltas include weight * scale.
template <class T>
struct LossRows {
  Index rows, cols;
  const T* outputs;             // (rows, cols)
  const T* targets;             // (rows, cols / outputs per element), for regression losses
  const std::int64_t* classes;  // (rows,), for classification losses; rows with a negative class are ignored
  const T* weights;             // (rows,), or null for ones
  const T* columns;             // (cols,), or null for ones: weights of classes or of positive targets, quantiles
  LossOptions options;
  double scale;
  T* deltas;       // (rows, cols), or null
  double* values;  // (rows,), weighted sum over the row, or null
  T* elements;     // weighted unreduced loss, or null
};

/// Domain of the numbers that a formula accepts. NaN is rejected elsewhere.
struct Limits {
  double lowest = -std::numeric_limits<double>::infinity();
  double highest = std::numeric_limits<double>::infinity();
  bool ends_only = false;  // only the two bounds, nothing in between

  bool any() const { return lowest > -std::numeric_limits<double>::infinity(); }
};

template <class T>
struct Loss {
  const char* name;
  OptionList options;
  bool classes;   // targets are class indices, one integer per row
  bool per_row;   // the unreduced loss has one element per row, not one per output
  Index outputs;  // outputs per element; the first outputs of all elements are in the first columns, and so on
  Limits (*targets)(const LossOptions&);
  Limits (*bounded_output)(const LossOptions&);  // domain of the last output of an element
  void (*run)(const LossRows<T>&);
};

inline constexpr int kMaxStates = 3;
inline constexpr int kMaxCoefficients = 8;

/// The place of an update formula in the table.
enum class Formula : int {};

/// Which of the terms common to all formulas an update applies, as a compile-time case: unused terms cost nothing.
enum class Preprocessing : int { nothing, decay, everything };

/// Coefficients of an update, the same for every range of a step.
template <class T>
struct UpdateTerms {
  T coefficients[kMaxCoefficients];  // in the order of the formula
  // Common to all formulas:
  // g <- clamp(scale (sign g + l2 p + l1 sign(p)), -bound, bound) + decay p;  p <- max(formula(shrink p, g), floor)
  Preprocessing preprocessing;
  T sign, l2, l1, scale, bound, decay, shrink, floor;
};

template <class T>
struct Update {
  Index n;
  T* values;
  const T* gradients;
  T* states[kMaxStates];  // in the order of the formula
  const UpdateTerms<T>* terms;
};

template <class T>
struct UpdateFormula {
  const char* name;
  void (*run)(const Update<T>&);
};

/// average <- decay average + (1 - decay) values
template <class T>
struct Average {
  Index n;
  const T* values;
  T* average;
  double decay;
};

/// The incoming weights of each unit: element i of unit j is at j unit_stride + i input_stride.
template <class T>
struct UnitNorms {
  Index units, inputs, unit_stride, input_stride;
  T* values;
  double limit;
};

/// y = f(x)
template <class T>
struct ActivationForward {
  Index rows, cols;
  const T* x;  // (rows, cols), row-major, like y
  T* y;
  T options[OptionList::kMax];  // in the order of the description
};

/// dx = dy f'(x), from x or y = f(x), whichever the formula uses.
template <class T>
struct ActivationBackward {
  Index rows, cols;
  const T* x;
  const T* y;
  const T* dy;
  T* dx;
  T options[OptionList::kMax];  // in the order of the description
};

template <class T>
struct Activation {
  const char* name;
  OptionList options;
  /// Whether backward gives the same delta if y is passed for x, as it is after an in-place forward pass.
  bool (*from_output)(const double* options);
  void (*forward)(const ActivationForward<T>&);
  void (*backward)(const ActivationBackward<T>&);
};

/// LeakyReLU with a learned slope. The three kernels share this struct; each uses some of its fields.
template <class T>
struct Prelu {
  Index rows, cols;
  const T* weight;  // (cols,), or (1,) if shared
  bool shared;
  const T* x;  // (rows, cols), like y, dy and dx
  T* y;
  const T* dy;
  T* dx;
  T* gradient;  // like weight
  bool accumulate;
};

/// An elementwise formula over n elements. A scalar input is broadcast.
template <class T>
struct FormulaForward {
  Index n;
  const T* x[formulas::kMaxInputs];
  bool is_scalar[formulas::kMaxInputs];
  T* y;
  bool streamed;  // non-temporal stores: the output is so large that it would evict the inputs from the caches
};

/// Adds or writes the delta of one input. A scalar input always accumulates the sum over the elements.
template <class T>
struct FormulaBackward {
  Index n;
  const T* x[formulas::kMaxInputs];
  bool is_scalar[formulas::kMaxInputs];
  const T* y;
  const T* delta;
  int input;
  T* gradient;
  bool accumulate;
  bool streamed;
};

/// A scalar and its delta, each float32 or float64 in the first bytes.
struct alignas(16) ScalarCell {
  std::byte value[8], delta[8];
};

/// A formula over scalars. The backward step adds to the delta of each active input.
struct ScalarStep {
  std::int16_t formula;
  bool active[formulas::kMaxInputs];
  ScalarCell* x[formulas::kMaxInputs];
  ScalarCell* y;
};

template <class T>
struct Elementwise {
  void (*forward)(const FormulaForward<T>&);
  void (*backward)(const FormulaBackward<T>&);
};

template <class T>
struct Kernels {
  /// Each element is one chain of fused multiply-adds over k = 0, 1, 2, ... that starts at 0; the bias is added last.
  void (*product)(const Product<T>&);
  /// Products that sum over rows: chains of kBlock along k, whose results are added in order.
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
  void (*blend)(const Axpby<T>&);
  void (*dropout_mask)(const DropoutMask<T>&);
  void (*masked)(const MaskedAffine<T>&);
  const Activation<T>* activations;
  Index activation_count;
  void (*prelu_forward)(const Prelu<T>&);
  void (*prelu_backward)(const Prelu<T>&);
  void (*prelu_gradient)(const Prelu<T>&);
  const Loss<T>* losses;
  Index loss_count;
  const UpdateFormula<T>* updates;  // by `Formula`
  Index update_count;
  /// Sum of the squares of scale (sign g + l2 p + l1 sign(p)), in float64.
  double (*square_sum)(const Update<T>&);
  void (*average)(const Average<T>&);
  /// Rescales the weights of each unit whose norm exceeds the limit.
  void (*limit_norms)(const UnitNorms<T>&);
  const Elementwise<T>* formulas;  // in the order of formulas.hpp
  void (*scalars_forward)(const ScalarStep*, Index n);
  void (*scalars_backward)(const ScalarStep*, Index n);  // in reverse order
  /// c = a + b, n elements; c may alias a or b.
  void (*add)(const T* a, const T* b, T* c, Index n);
  /// Euclidean norm of n numbers, the squares accumulated in order in float64.
  double (*norm)(const T*, Index n);
  /// Sum of n numbers, accumulated in float64.
  double (*sum)(const T*, Index n);
  T (*largest)(const T*, Index n);
};

struct Table {
  Kernels<float> float32;
  Kernels<double> float64;
};

/// The table selected by load().
const Table& table();

/// By its name in the list of updates.hpp; std::out_of_range for others.
Formula formula(std::string_view name);

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
