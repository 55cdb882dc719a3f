#include "deltaprop/train/loss_evaluation.hpp"

#include <algorithm>

#include "deltaprop/kernels/check_finite.hpp"
#include "deltaprop/train/loss_rows.hpp"

namespace deltaprop::train {
namespace {

/// Runs the loss over all rows; returns the factor of their sums.
template <class T>
double run_all(LossRows<T>& rows, const StridedView& outputs, const Targets& targets, T* delta, T* elements) {
  const Index n = outputs.rows, cols = outputs.cols;
  const Buffer<T> copy(checked_size(n, cols));
  const Matrix<T> a{copy.data(), n, cols};
  gather<T>(outputs, nullptr, 0, a);
  const double scale = rows.loss().scale(rows.gather_batch(targets, nullptr, 0, n, cols), cols);
  rows.run({0, n}, a, scale, {delta, n, cols}, elements);
  return scale;
}

}  // namespace

template <class T>
void check_targets(const nn::Loss& loss, const StridedView& y, Index cols, const std::string& name,
                   const InterruptCheck& check_interrupt) {
  if (loss.target_kind() == nn::TargetKind::classes)
    check_classes(y, cols, name, loss.ignored_class(), check_interrupt);
  if (loss.target_kind() != nn::TargetKind::values) return;
  kernels::check_finite<T>(y, name, check_interrupt);
  if (!loss.target_limits().any()) return;
  for_each_chunk<T>(y, check_interrupt, [&](Matrix<T> part, Index first) {
    check_limits<T>(loss.target_limits(), part, 0, loss, name, [first](Index i) { return first + i; });
  });
}

template <class T>
double loss_value(const nn::Loss& loss, const StridedView& outputs, const Targets& targets) {
  LossRows<T> rows(loss);
  const double scale = run_all<T>(rows, outputs, targets, nullptr, nullptr);
  return loss.value(rows.sums(), outputs.rows, scale);
}

template <class T>
void loss_delta(const nn::Loss& loss, const StridedView& outputs, const Targets& targets, T* delta) {
  LossRows<T> rows(loss);
  run_all<T>(rows, outputs, targets, delta, nullptr);
}

template <class T>
void loss_elements(const nn::Loss& loss, const StridedView& outputs, const Targets& targets, T* elements) {
  LossRows<T> rows(loss);
  run_all<T>(rows, outputs, targets, nullptr, elements);
  const auto factor = static_cast<T>(loss.factor());
  std::for_each_n(elements, outputs.rows * loss.elements(outputs.cols), [factor](T& e) { e *= factor; });
}

template void check_targets<float>(const nn::Loss&, const StridedView&, Index, const std::string&,
                                   const InterruptCheck&);
template void check_targets<double>(const nn::Loss&, const StridedView&, Index, const std::string&,
                                    const InterruptCheck&);
template double loss_value<float>(const nn::Loss&, const StridedView&, const Targets&);
template double loss_value<double>(const nn::Loss&, const StridedView&, const Targets&);
template void loss_delta(const nn::Loss&, const StridedView&, const Targets&, float*);
template void loss_delta(const nn::Loss&, const StridedView&, const Targets&, double*);
template void loss_elements(const nn::Loss&, const StridedView&, const Targets&, float*);
template void loss_elements(const nn::Loss&, const StridedView&, const Targets&, double*);

}  // namespace deltaprop::train
