#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deltaprop/core/types.hpp"

namespace deltaprop::nn {

enum class Reduction { mean, sum, none };

/// By PyTorch's name; ValueError for others.
Reduction reduction(const std::string& name);

/// What a loss compares the outputs with.
enum class TargetKind {
  values,   // numbers, as many as outputs
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

/// One evaluation of a loss over a range of rows; what is null is not wanted.
template <class T>
struct LossCall {
  Matrix<const T> outputs;
  Targets<T> targets;
  const T* weights = nullptr;  // a row
  double scale = 1;            // of the deltas
  Matrix<T> deltas;
  double* values = nullptr;  // a row: the weighted, unscaled sum
  T* elements = nullptr;     // the weighted, unreduced loss
};

/// A loss and its derivative with respect to the outputs.
///
/// "mean" divides by the number of elements of the unreduced loss, or by the sum of the weights over them. The sum
/// over rows, and that division, are the same for every loss and stand here.
class Loss {
 public:
  Loss(Reduction reduction, double factor) : reduction_(reduction), factor_(factor) {}
  virtual ~Loss() = default;

  virtual std::string describe() const = 0;
  virtual TargetKind target_kind() const = 0;
  /// Elements of the unreduced loss in a row of `cols` outputs.
  virtual Index elements(Index cols) const = 0;
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

/// (a - y)^2
class MSELoss final : public Loss {
 public:
  using Loss::Loss;
  std::string describe() const override { return "MSELoss"; }
  TargetKind target_kind() const override { return TargetKind::values; }
  Index elements(Index cols) const override { return cols; }
  void run(const LossCall<float>&) const override;
  void run(const LossCall<double>&) const override;
};

/// -log softmax(a)[t], t the row's class
class CrossEntropyLoss final : public Loss {
 public:
  explicit CrossEntropyLoss(Reduction reduction) : Loss(reduction, 1.0) {}
  std::string describe() const override { return "CrossEntropyLoss"; }
  TargetKind target_kind() const override { return TargetKind::classes; }
  Index elements(Index) const override { return 1; }
  void run(const LossCall<float>&) const override;
  void run(const LossCall<double>&) const override;
};

}  // namespace deltaprop::nn
