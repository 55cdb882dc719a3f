#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deltaprop/core/types.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {

enum class Reduction { mean, batchmean, sum, none };

/// By PyTorch's name; ValueError for others.
Reduction reduction(const std::string& name);

/// What a loss compares the outputs with.
enum class TargetKind {
  values,   // numbers
  classes,  // an integer a row
  raw,      // bytes, for losses written in Python, which know what they mean
};

template <class T>
struct Targets {
  Matrix<const T> values;
  const std::int64_t* classes = nullptr;
  Matrix<const std::uint8_t> raw;

  Targets slice(Range r) const {
    return {values.slice(r), classes == nullptr ? nullptr : classes + r.begin, raw.slice(r)};
  }
};

/// One evaluation of a loss over a range of rows; a null pointer marks a result that is not required.
template <class T>
struct LossCall {
  Matrix<const T> outputs;
  Targets<T> targets;
  const T* weights = nullptr;  // a row
  const T* columns = nullptr;  // `column_weights` for each column of the outputs
  double scale = 1;            // of the deltas
  Matrix<T> deltas;
  double* values = nullptr;  // a row: the weighted, unscaled sum
  T* elements = nullptr;     // the weighted, unreduced loss
};

/// A loss and its derivative with respect to the outputs.
///
/// "mean" divides by the number of elements of the unreduced loss, or by the sum of the weights over them, "batchmean"
/// by that over the rows. The sum over rows, and that division, are the same for every loss and stand here.
class Loss {
 public:
  Loss(Reduction reduction, double factor) : reduction_(reduction), factor_(factor) {}
  virtual ~Loss() = default;

  virtual std::string describe() const = 0;
  virtual TargetKind target_kind() const = 0;
  /// Elements of the unreduced loss in a row of `cols` outputs.
  virtual Index elements(Index cols) const = 0;
  /// Whether the unreduced loss of this number of outputs has no axis of columns.
  virtual bool per_row(Index /*cols*/) const { return false; }
  /// Columns of targets of values for `cols` outputs; ValueError where the loss takes no such outputs.
  virtual Index target_cols(Index cols) const { return cols; }
  /// Number of adjacent output columns compared with each target column.
  virtual Index repeats() const { return 1; }
  /// A weight for each column, repeated over the columns; empty for ones.
  virtual const std::vector<double>& column_weights() const;
  /// The class whose rows have loss 0.
  virtual std::int64_t ignored_class() const { return -1; }
  virtual kernels::Limits target_limits() const { return {}; }
  /// For the last of an element's outputs.
  virtual kernels::Limits output_limits() const { return {}; }
  virtual bool rowwise() const { return true; }
  virtual void run(const LossCall<float>&) const = 0;
  virtual void run(const LossCall<double>&) const = 0;

  Reduction reduction() const { return reduction_; }
  double factor() const { return factor_; }
  /// What a sum over rows is multiplied by; `total_weight` is the sum of the rows' weights (their number, where they
  /// have none).
  double scale(double total_weight, Index cols) const;
  /// The loss from its rows' sums, added in their order.
  double value(const double* rows, Index n, double scale) const;

 private:
  Reduction reduction_;
  double factor_;
};

/// All that NamedLoss takes.
std::vector<std::string> loss_names();

/// The options of one of them, by its name; ValueError for others.
const OptionList& loss_options(const std::string& name);

/// The options of a loss of the kernels' table that are given.
struct LossOptions {
  std::vector<double> numbers;  // in the order of the description; none: its defaults
  std::vector<double> column_weights;
  std::int64_t ignored_class = -1;
};

/// A loss that the kernels' table has: each of the library's.
class NamedLoss final : public Loss {
 public:
  /// By its name in the table; ValueError for others.
  NamedLoss(const std::string& name, Reduction reduction, double factor = 1, LossOptions options = {});

  std::string describe() const override { return kernel<double>().name; }
  TargetKind target_kind() const override {
    return kernel<double>().classes ? TargetKind::classes : TargetKind::values;
  }
  Index elements(Index cols) const override { return kernel<double>().per_row ? 1 : cols / kernel<double>().outputs; }
  bool per_row(Index) const override { return kernel<double>().per_row; }
  Index target_cols(Index cols) const override;
  Index repeats() const override { return repeats_; }
  const std::vector<double>& column_weights() const override { return options_.column_weights; }
  std::int64_t ignored_class() const override { return options_.ignored_class; }
  kernels::Limits target_limits() const override { return kernel<double>().targets(numbers_); }
  kernels::Limits output_limits() const override { return kernel<double>().bounded_output(numbers_); }
  void run(const LossCall<float>&) const override;
  void run(const LossCall<double>&) const override;

 private:
  template <class T>
  const kernels::Loss<T>& kernel() const {
    return kernels::get<T>().losses[index_];
  }
  template <class T>
  void call(const LossCall<T>& c) const;

  Index index_;
  kernels::LossOptions numbers_{};
  Index repeats_ = 1;
  LossOptions options_;
};

}  // namespace deltaprop::nn
