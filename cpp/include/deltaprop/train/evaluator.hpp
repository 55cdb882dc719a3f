#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "deltaprop/kernels/check_finite.hpp"
#include "deltaprop/runtime/model.hpp"
#include "deltaprop/train/data.hpp"
#include "deltaprop/train/head.hpp"
#include "deltaprop/train/loss_rows.hpp"

namespace deltaprop::train {

/// The losses over all rows of a set, in inference; repeated evaluations allocate once. A loss that couples rows gets
/// all of them at once.
template <class T>
class Evaluator {
 public:
  Evaluator(const runtime::Model<T>& model, const std::vector<Head>& heads, const Data& data)
      : model_(model),
        data_(data),
        inference_(model.inference(model.resolve_inputs(data.x), data.x)),
        chunk_(data.rows()),
        x_(data.x),
        outputs_(heads.size()) {
    bool rowwise = true;
    for (Index i = 0; i < model.network().size(); ++i) rowwise = rowwise && model.network().rowwise(i, false);
    for (const Head& head : heads) rowwise = rowwise && head.loss->rowwise();
    if (rowwise) chunk_ = std::min(chunk_, chunk_rows(data.x[0].cols));
    const std::vector<Index> cols = inference_.out_features();
    for (std::size_t k = 0; k < heads.size(); ++k) {
      heads_.push_back(
          {LossRows<T>(*heads[k].loss), heads[k].weight, cols[k], Buffer<T>(checked_size(chunk_, cols[k]))});
    }
  }

  /// The weighted sum of the heads' losses. `check_interrupt` is called between tiles of rows, and may throw.
  double operator()(const InterruptCheck& check_interrupt) {
    for (HeadEvaluation& head : heads_) head.sum = head.total_weight = 0;
    for (Index first = 0; first < data_.rows(); first += chunk_) {
      const Index n = std::min(chunk_, data_.rows() - first);
      for (std::size_t k = 0; k < x_.size(); ++k) {
        x_[k].data = data_.x[k].data + first * x_[k].row_stride;
        x_[k].rows = n;
        if (data_.check_x_rows) kernels::check_finite<T>(x_[k], data_.x_name, check_interrupt, first);
      }
      for (std::size_t k = 0; k < heads_.size(); ++k) outputs_[k] = {heads_[k].outputs.data(), n, heads_[k].cols};
      model_.infer(inference_, x_, outputs_, &check_interrupt);
      for (std::size_t k = 0; k < heads_.size(); ++k) {
        HeadEvaluation& head = heads_[k];
        head.total_weight += head.rows.gather_batch(data_.targets[k], nullptr, first, n, head.cols);
        head.rows.run({0, n}, outputs_[k], 1.0, {});
        for (Index i = 0; i < n; ++i) head.sum += head.rows.sums()[i];
      }
    }
    double total = 0;
    for (std::size_t k = 0; k < heads_.size(); ++k) total += heads_[k].weight * value(k);
    return total;
  }

  /// One head's loss at the last evaluation.
  double value(std::size_t head) const {
    const HeadEvaluation& h = heads_[head];
    return h.sum * h.rows.loss().scale(h.total_weight, h.cols);
  }

 private:
  struct HeadEvaluation {
    LossRows<T> rows;
    double weight;
    Index cols;
    Buffer<T> outputs;
    double sum = 0, total_weight = 0;
  };

  const runtime::Model<T>& model_;
  const Data& data_;
  runtime::Inference<T> inference_;
  Index chunk_;
  Inputs x_;  // of the present chunk
  std::vector<Matrix<T>> outputs_;
  std::vector<HeadEvaluation> heads_;
};

}  // namespace deltaprop::train
