#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

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

/// ValueError, naming value and row, where columns from `first` on hold what the loss's formula does not take; NaN
/// is not looked for here. `source(i)` is the number of row i in the data.
template <class T, class F>
void check_limits(const kernels::Limits& limits, Matrix<const T> rows, Index first, const nn::Loss& loss,
                  const std::string& name, F&& source) {
  if (!limits.any()) return;
  const auto lowest = static_cast<T>(limits.lowest), highest = static_cast<T>(limits.highest);
  for (Index i = 0; i < rows.rows; ++i) {
    for (Index j = first; j < rows.cols; ++j) {
      const T v = rows.row(i)[j];
      const bool between = lowest < v && v < highest;
      if (!(v < lowest) && !(v > highest) && !(limits.ends_only && between)) continue;
      const std::string low = number_text(limits.lowest), high = number_text(limits.highest);
      const std::string expected = limits.ends_only                ? low + " or " + high
                                   : std::isfinite(limits.highest) ? "from " + low + " to " + high
                                                                   : "of " + low + " or more";
      throw ValueError(loss.describe() + ": expected " + name + " " + expected + ", got " +
                       number_text(static_cast<double>(v)) + " in row " + std::to_string(source(i)));
    }
  }
}

/// Room for the targets and weights of some rows, and for what the loss says of them.
template <class T>
struct LossRows {
  Buffer<T> values;
  Buffer<std::int64_t> classes;
  Buffer<std::uint8_t> raw;
  Buffer<T> weights;
  Buffer<T> columns;
  Buffer<double> sums;

  /// For `rows` rows of `cols` outputs at most.
  LossRows(const nn::Loss& loss, const Data& data, Index rows, Index cols)
      : values(loss.target_kind() == nn::TargetKind::values ? checked_size(rows, data.y.cols * loss.repeats()) : 0),
        classes(loss.target_kind() == nn::TargetKind::classes ? rows : 0),
        raw(loss.target_kind() == nn::TargetKind::raw ? checked_size(rows, data.y.cols) : 0),
        weights(data.weights ? rows : 0),
        columns(loss.column_weights().empty() ? 0 : cols),
        sums(rows),
        loss_(loss),
        data_(data) {
    const std::vector<double>& given = loss.column_weights();
    for (Index j = 0; j < columns.size(); ++j) {
      columns.data()[j] = static_cast<T>(given[static_cast<std::size_t>(j) % given.size()]);
    }
  }

  /// The weights and classes of a batch of n rows of `cols` outputs; gives the sum of the weights, those of the
  /// classes included.
  double gather_batch(const Index* order, Index first, Index n, Index cols) {
    if (data_.weights) gather<T>(*data_.weights, order, first, {weights.data(), n, 1});
    if (loss_.target_kind() == nn::TargetKind::classes) gather_classes(order, first, n, cols);
    if (!data_.weights && loss_.target_kind() != nn::TargetKind::classes) return static_cast<double>(n);
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += weight(i);
    return sum;
  }

  /// Gathers the targets of a run of rows and runs the loss over them.
  void run(const Index* order, Index first, Range rows, Index n, Matrix<const T> outputs, double scale,
           Matrix<T> deltas, T* elements = nullptr) {
    const Index* from = order == nullptr ? nullptr : order + rows.begin;
    const auto source = [&](Index i) { return source_row(order, first, rows.begin + i); };
    nn::Targets<T> targets{.classes = loss_.target_kind() == nn::TargetKind::classes ? classes.data() : nullptr};
    if (loss_.target_kind() == nn::TargetKind::values) {
      const Index repeats = loss_.repeats();
      const Matrix<T> all{values.data(), n, data_.y.cols * repeats};
      const Matrix<T> tile = all.slice(rows), given{tile.data, rows.size(), data_.y.cols};
      gather<T>(data_.y, from, first + rows.begin, given);
      if (data_.check_y_rows) check_gathered<T>(given, "y", order, first, rows.begin);
      check_limits<T>(loss_.target_limits(), given, 0, loss_, "y", source);
      for (Index k = repeats == 1 ? 0 : tile.size(); k-- > 0;) tile.data[k] = tile.data[k / repeats];
      targets.values = all;
    }
    if (loss_.target_kind() == nn::TargetKind::raw) {
      gather<std::uint8_t>(data_.y, from, first + rows.begin,
                           {raw.data() + rows.begin * data_.y.cols, rows.size(), data_.y.cols});
      targets.raw = {raw.data(), n, data_.y.cols};
    }
    const Matrix<const T> tile = outputs.slice(rows);
    check_limits<T>(loss_.output_limits(), tile, tile.cols - loss_.elements(tile.cols), loss_, "outputs", source);
    loss_.run(nn::LossCall<T>{.outputs = tile,
                              .targets = targets.slice(rows),
                              .weights = data_.weights ? weights.data() + rows.begin : nullptr,
                              .columns = columns.size() == 0 ? nullptr : columns.data(),
                              .scale = scale,
                              .deltas = deltas.slice(rows),
                              .values = sums.data() + rows.begin,
                              .elements = elements});
  }

 private:
  void gather_classes(const Index* order, Index first, Index n, Index cols) {
    gather<std::int64_t>(data_.y, order, first, {classes.data(), n, 1});
    for (Index i = 0; i < n; ++i) {
      std::int64_t& c = classes.data()[i];
      // Checked at the door; but the caller's array can change meanwhile, and a class is an index.
      check_class(c, cols, loss_.ignored_class(), "y", source_row(order, first, i));
      if (c == loss_.ignored_class()) c = -1;
    }
  }

  double weight(Index i) const {
    const double row = data_.weights ? static_cast<double>(weights.data()[i]) : 1;
    if (loss_.target_kind() != nn::TargetKind::classes) return row;
    const std::int64_t c = classes.data()[i];
    if (c < 0) return 0;
    return columns.size() == 0 ? row : row * static_cast<double>(columns.data()[c]);
  }

  const nn::Loss& loss_;
  const Data& data_;
};

}  // namespace deltaprop::train
