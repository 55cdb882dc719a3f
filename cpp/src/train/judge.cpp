#include "deltaprop/train/judge.hpp"

#include <algorithm>

#include "loss_rows.hpp"

namespace deltaprop::train {
namespace {

/// Runs the loss over all rows; gives what their sums are multiplied by.
template <class T>
double run_all(LossRows<T>& rows, const Source& outputs, const Answers& answers, T* delta, T* elements) {
  const Index n = outputs.rows, cols = outputs.cols;
  const Buffer<T> copy(checked_size(n, cols));
  const Matrix<T> a{copy.data(), n, cols};
  gather<T>(outputs, nullptr, 0, a);
  const double scale = rows.loss().scale(rows.gather_answers(answers, nullptr, 0, n, cols), cols);
  rows.run({0, n}, a, scale, {delta, n, cols}, elements);
  return scale;
}

}  // namespace

template <class T>
void check_targets(const nn::Loss& loss, const Source& y, Index cols, const std::string& name, const Poll& poll) {
  if (loss.target_kind() == nn::TargetKind::classes) check_classes(y, cols, name, loss.ignored_class(), poll);
  if (loss.target_kind() != nn::TargetKind::values) return;
  check_finite<T>(y, name, poll);
  if (!loss.target_limits().any()) return;
  for_each_chunk<T>(y, poll, [&](Matrix<T> part, Index first) {
    check_limits<T>(loss.target_limits(), part, 0, loss, name, [first](Index i) { return first + i; });
  });
}

template <class T>
double loss_value(const nn::Loss& loss, const Source& outputs, const Answers& answers) {
  LossRows<T> rows(loss);
  const double scale = run_all<T>(rows, outputs, answers, nullptr, nullptr);
  return loss.value(rows.sums(), outputs.rows, scale);
}

template <class T>
void loss_delta(const nn::Loss& loss, const Source& outputs, const Answers& answers, T* delta) {
  LossRows<T> rows(loss);
  run_all<T>(rows, outputs, answers, delta, nullptr);
}

template <class T>
void loss_elements(const nn::Loss& loss, const Source& outputs, const Answers& answers, T* elements) {
  LossRows<T> rows(loss);
  run_all<T>(rows, outputs, answers, nullptr, elements);
  const auto factor = static_cast<T>(loss.factor());
  std::for_each_n(elements, outputs.rows * loss.elements(outputs.cols), [factor](T& e) { e *= factor; });
}

template void check_targets<float>(const nn::Loss&, const Source&, Index, const std::string&, const Poll&);
template void check_targets<double>(const nn::Loss&, const Source&, Index, const std::string&, const Poll&);
template double loss_value<float>(const nn::Loss&, const Source&, const Answers&);
template double loss_value<double>(const nn::Loss&, const Source&, const Answers&);
template void loss_delta(const nn::Loss&, const Source&, const Answers&, float*);
template void loss_delta(const nn::Loss&, const Source&, const Answers&, double*);
template void loss_elements(const nn::Loss&, const Source&, const Answers&, float*);
template void loss_elements(const nn::Loss&, const Source&, const Answers&, double*);

}  // namespace deltaprop::train
