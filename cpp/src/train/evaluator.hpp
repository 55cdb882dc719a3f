#pragma once

#include <algorithm>
#include <functional>

#include "deltaprop/train/model.hpp"
#include "loss_rows.hpp"

namespace deltaprop::train {

/// The loss over all rows of a set, in inference, as often as asked: what it needs is allocated once. A loss that
/// couples rows is given all of them at once.
template <class T>
class Evaluator {
 public:
  Evaluator(const Model<T>& model, const nn::Loss& loss, const Data& data)
      : model_(model),
        loss_(loss),
        data_(data),
        chunk_(loss.rowwise() && model.network().rowwise() ? std::min(data.x.rows, chunk_rows(data.x.cols))
                                                           : data.x.rows),
        cols_(model.network().widths(data.x.cols).back()),
        targets_(loss, data, chunk_, cols_),
        outputs_(checked_size(chunk_, cols_)) {}

  /// `between` is called between tiles of rows, and may throw.
  double operator()(const std::function<void()>& between) {
    double sum = 0, weight = 0;
    for (Index first = 0; first < data_.x.rows; first += chunk_) {
      const Index n = std::min(chunk_, data_.x.rows - first);
      Source x = data_.x;
      x.data += first * x.row_stride;
      x.rows = n;
      const Matrix<T> a{outputs_.data(), n, cols_};
      model_.infer(x, a, scratch_, &between);
      weight += targets_.gather_batch(nullptr, first, n, cols_);
      targets_.run(nullptr, first, {0, n}, n, a, 1.0, {});
      for (Index i = 0; i < n; ++i) sum += targets_.sums.data()[i];
    }
    return sum * loss_.scale(weight, cols_);
  }

 private:
  const Model<T>& model_;
  const nn::Loss& loss_;
  const Data& data_;
  Index chunk_, cols_;
  LossRows<T> targets_;
  Buffer<T> outputs_;
  engine::Scratch<T> scratch_;
};

}  // namespace deltaprop::train
