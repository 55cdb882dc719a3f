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

/// The border between the network and its arithmetic: plain structs, and functions that throw nothing, but for products
/// when there is no memory to pack into. What stands behind it is compiled once for each instruction set and chosen
/// when the library is loaded.
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
  Index factor_stride = 0;     // from a row of them to the next, where that is not cols
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
struct Axpby {
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
struct MaskedAffine {
  Index n;
  const T *x, *mask;
  T offset, shift;
  T* y;
};

/// The options of a loss, in the order of its description; those that are not one number are unused.
using LossOptions = std::array<double, OptionList::kMax>;

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
  OptionList options;
  bool classes;   // its targets are classes, an integer a row
  bool per_row;   // an element of the unreduced loss is a row, not an output
  Index outputs;  // of an element: the first of all elements stand in the first columns, and so on
  Limits (*targets)(const LossOptions&);
  Limits (*bounded_output)(const LossOptions&);  // of the last output of an element
  void (*run)(const LossRows<T>&);
};

inline constexpr int kMaxStates = 3;
inline constexpr int kMaxCoefficients = 8;

/// The place of an update formula in the table.
enum class Formula : int {};

/// How much of what all formulas have in common an update needs; what it does not need costs it nothing.
enum class Preprocessing : int { nothing, decay, everything };

/// The numbers of an update, the same for every run of a step.
template <class T>
struct UpdateTerms {
  T coefficients[kMaxCoefficients];  // as the formula takes them
  // What all formulas have in common:
  // g <- clamp(scale (sign g + l2 p + l1 sign(p)), -bound, bound) + decay p;  p <- max(formula(shrink p, g), floor)
  Preprocessing preprocessing;
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

/// The incoming weights of units: element i of unit j at j unit_stride + i input_stride.
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
  const T* x;  // (rows, cols), row-major, as all of these
  T* y;
  T options[OptionList::kMax];  // in the order of the description
};

/// dx = dy f'(x); both x and y = f(x) are at hand, a formula takes what serves it.
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
  /// Whether the delta is the same where y is given for x.
  bool (*from_output)(const double* options);
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

/// A formula of formulas.hpp over n elements; inputs that are `single` are one number for all of them.
template <class T>
struct FormulaForward {
  Index n;
  const T* x[formulas::kMostInputs];
  bool single[formulas::kMostInputs];
  T* y;
  bool streamed;  // past the caches: so much is being written that it would push out what is read
};

/// What one of its inputs gets of the delta. A single one gets the sum, always added to what is there.
template <class T>
struct FormulaBackward {
  Index n;
  const T* x[formulas::kMostInputs];
  bool single[formulas::kMostInputs];
  const T* y;
  const T* delta;
  int input;
  T* gradient;
  bool accumulate;
  bool streamed;
};

/// A single number and its delta, in the first bytes.
struct alignas(16) ScalarCell {
  std::byte value[8], delta[8];
};

/// A formula of single numbers. Each active input has the delta's share added to its own.
struct ScalarStep {
  std::int16_t formula;
  bool active[formulas::kMostInputs];
  ScalarCell* x[formulas::kMostInputs];
  ScalarCell* y;
};

template <class T>
struct Elementwise {
  void (*forward)(const FormulaForward<T>&);
  void (*backward)(const FormulaBackward<T>&);
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
  /// The sum of the squares of scale (sign g + l2 p + l1 sign(p)), in float64.
  double (*square_sum)(const Update<T>&);
  void (*average)(const Average<T>&);
  /// Scales down the weights of each unit whose norm is above the limit.
  void (*limit_norms)(const UnitNorms<T>&);
  const Elementwise<T>* formulas;  // by their places in formulas.hpp
  void (*scalars_forward)(const ScalarStep*, Index n);
  void (*scalars_backward)(const ScalarStep*, Index n);  // from the last to the first
  /// The sum of n numbers, in float64.
  double (*sum)(const T*, Index n);
  T (*largest)(const T*, Index n);
};

struct Table {
  Kernels<float> float32;
  Kernels<double> float64;
};

/// The table that load() has chosen.
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
