#pragma once

#include <algorithm>
#include <numeric>
#include <string>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"
#include "deltaprop/nn/loss.hpp"
#include "deltaprop/train/data.hpp"

namespace deltaprop::train {

/// Room for the targets and weights of some rows, and for what the loss says of them.
template <class T>
struct LossRows {
  Buffer<T> values;
  Buffer<std::int64_t> classes;
  Buffer<T> weights;
  Buffer<double> sums;

  LossRows(const nn::Loss& loss, const Data& data, Index rows)
      : values(loss.target_kind() == nn::TargetKind::values ? checked_size(rows, data.y.cols) : 0),
        classes(loss.target_kind() == nn::TargetKind::classes ? rows : 0),
        weights(data.weights ? rows : 0),
        sums(rows),
        loss_(loss),
        data_(data) {}

  /// The weights of n rows; gives their sum.
  double gather_weights(const Index* order, Index first, Index n) {
    if (!data_.weights) return static_cast<double>(n);
    gather<T>(*data_.weights, order, first, {weights.data(), n, 1});
    return std::accumulate(weights.data(), weights.data() + n, 0.0);
  }

  /// Gathers the targets of a run of rows and runs the loss over them.
  void run(const Index* order, Index first, Range rows, Index n, Matrix<const T> outputs, double scale,
           Matrix<T> deltas, T* elements = nullptr) {
    const Index* from = order == nullptr ? nullptr : order + rows.begin;
    nn::Targets<T> targets;
    if (loss_.target_kind() == nn::TargetKind::values) {
      const Matrix<T> all{values.data(), n, data_.y.cols};
      gather<T>(data_.y, from, first + rows.begin, all.slice(rows));
      if (data_.check_rows && !kernels::get<T>().all_finite(all.row(rows.begin), rows.size() * all.cols)) {
        throw ValueError("y: expected finite numbers, got nan or infinity in a batch");
      }
      targets.values = all;
    } else {
      gather<std::int64_t>(data_.y, from, first + rows.begin, {classes.data() + rows.begin, rows.size(), 1});
      if (loss_.targets_fit_outputs()) {
        // Checked at the door; but the caller's array can change meanwhile, and a class is an index.
        const auto outside = [&](std::int64_t c) { return c < 0 || c >= outputs.cols; };
        if (std::any_of(classes.data() + rows.begin, classes.data() + rows.end, outside)) {
          throw ValueError("y: expected classes from 0 to " + std::to_string(outputs.cols - 1) +
                           ", got another one in a batch");
        }
      }
      targets.classes = classes.data();
    }
    loss_.run(nn::LossCall<T>{.outputs = outputs.slice(rows),
                              .targets = targets.slice(rows),
                              .weights = data_.weights ? weights.data() + rows.begin : nullptr,
                              .scale = scale,
                              .deltas = deltas.slice(rows),
                              .values = sums.data() + rows.begin,
                              .elements = elements});
  }

 private:
  const nn::Loss& loss_;
  const Data& data_;
};

}  // namespace deltaprop::train
