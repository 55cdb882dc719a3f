#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"
#include "deltaprop/nn/loss.hpp"
#include "deltaprop/train/data.hpp"

namespace deltaprop::train {

/// The row of the data that became row i of a batch.
inline Index source_row(const Index* order, Index first, Index i) { return order == nullptr ? first + i : order[i]; }

/// ValueError, naming the row, where rows just gathered (from `begin` of the batch on) are not finite.
template <class T>
void check_gathered(Matrix<const T> rows, const std::string& name, const Index* order, Index first, Index begin) {
  if (kernels::get<T>().all_finite(rows.data, rows.size())) return;
  const T* bad = std::find_if(rows.data, rows.data + rows.size(), [](T v) { return !std::isfinite(v); });
  const Index row = begin + (bad - rows.data) / rows.cols;
  throw ValueError(name + ": expected finite numbers, got " + number_text(static_cast<double>(*bad)) + " in row " +
                   std::to_string(source_row(order, first, row)));
}

/// Room for the targets and weights of some rows, and for what the loss says of them.
template <class T>
struct LossRows {
  Buffer<T> values;
  Buffer<std::int64_t> classes;
  Buffer<std::uint8_t> raw;
  Buffer<T> weights;
  Buffer<double> sums;

  LossRows(const nn::Loss& loss, const Data& data, Index rows)
      : values(loss.target_kind() == nn::TargetKind::values ? checked_size(rows, data.y.cols) : 0),
        classes(loss.target_kind() == nn::TargetKind::classes ? rows : 0),
        raw(loss.target_kind() == nn::TargetKind::raw ? checked_size(rows, data.y.cols) : 0),
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
    switch (loss_.target_kind()) {
      case nn::TargetKind::values: {
        const Matrix<T> all{values.data(), n, data_.y.cols};
        gather<T>(data_.y, from, first + rows.begin, all.slice(rows));
        if (data_.check_y_rows) check_gathered<T>(all.slice(rows), "y", order, first, rows.begin);
        targets.values = all;
        break;
      }
      case nn::TargetKind::classes: {
        gather<std::int64_t>(data_.y, from, first + rows.begin, {classes.data() + rows.begin, rows.size(), 1});
        // Checked at the door; but the caller's array can change meanwhile, and a class is an index.
        const auto outside = [&](std::int64_t c) { return c < 0 || c >= outputs.cols; };
        const auto* bad = std::find_if(classes.data() + rows.begin, classes.data() + rows.end, outside);
        if (bad != classes.data() + rows.end) {
          throw ValueError("y: expected classes from 0 to " + std::to_string(outputs.cols - 1) + ", got " +
                           std::to_string(*bad) + " in row " +
                           std::to_string(source_row(order, first, bad - classes.data())));
        }
        targets.classes = classes.data();
        break;
      }
      case nn::TargetKind::raw:
        gather<std::uint8_t>(data_.y, from, first + rows.begin,
                             {raw.data() + rows.begin * data_.y.cols, rows.size(), data_.y.cols});
        targets.raw = {raw.data(), n, data_.y.cols};
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
