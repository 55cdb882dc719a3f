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

/// The row of the data at row i of a batch.
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

/// ValueError, naming value and row, if columns from `first` on have a value outside the domain of the loss's formula;
/// does not check for NaN. `source(i)` is the number of row i in the data.
template <class T, class F>
void check_limits(const kernels::Limits& limits, Matrix<const T> rows, Index first, const nn::Loss& loss,
                  const std::string& name, F&& source) {
  if (!limits.any()) return;
  const auto lowest = static_cast<T>(limits.lowest), highest = static_cast<T>(limits.highest);
  for (Index i = 0; i < rows.rows; ++i) {
    for (Index j = first; j < rows.cols; ++j) {
      const T v = rows.row(i)[j];
      const bool check_interrupt = lowest < v && v < highest;
      if (!(v < lowest) && !(v > highest) && !(limits.ends_only && check_interrupt)) continue;
      const std::string low = number_text(limits.lowest), high = number_text(limits.highest);
      const std::string expected = limits.ends_only                ? low + " or " + high
                                   : std::isfinite(limits.highest) ? "from " + low + " to " + high
                                                                   : "of " + low + " or more";
      throw ValueError(loss.describe() + ": expected " + name + " " + expected + ", got " +
                       number_text(static_cast<double>(v)) + " in row " + std::to_string(source(i)));
    }
  }
}

/// A loss with the targets and weights of the rows of a batch, and the results for each row.
template <class T>
class LossRows {
 public:
  explicit LossRows(const nn::Loss& loss)
      : loss_(loss),
        kind_(loss.target_kind()),
        repeats_(loss.repeats()),
        ignored_(loss.ignored_class()),
        given_columns_(loss.column_weights()),
        target_limits_(loss.target_limits()),
        output_limits_(loss.output_limits()) {}

  const nn::Loss& loss() const { return loss_; }
  /// The rows' sums of the last run().
  const double* sums() const { return sums_.data(); }

  /// Gathers the targets and weights of n rows, for outputs of `cols` columns; returns the sum of the weights, those of
  /// the classes included.
  double gather_batch(const Targets& targets, const Index* order, Index first, Index n, Index cols) {
    order_ = order;
    first_ = first;
    rows_ = n;
    sums_.reserve(n);
    find_columns(cols);
    gather_targets(targets, cols);
    weighted_ = targets.weights.has_value();
    if (weighted_) {
      weights_.reserve(n);
      gather<T>(*targets.weights, order, first, {weights_.data(), n, 1});
    }
    const std::int64_t* classes = targets_.classes;
    if (!weighted_ && classes == nullptr) return static_cast<double>(n);
    if (!weighted_ && columns_.size() == 0) {
      return static_cast<double>(std::count_if(classes, classes + n, [](std::int64_t c) { return c >= 0; }));
    }
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += weight(i);
    return sum;
  }

  /// The loss of a range of these rows.
  void run(Range rows, Matrix<const T> outputs, double scale, Matrix<T> deltas, T* elements = nullptr) const {
    const Matrix<const T> tile = outputs.slice(rows);
    check_limits<T>(output_limits_, tile, tile.cols - loss_.elements(tile.cols), loss_, "outputs",
                    [&](Index i) { return source_row(order_, first_, rows.begin + i); });
    loss_.run(nn::LossCall<T>{.outputs = tile,
                              .targets = targets_.slice(rows),
                              .weights = weighted_ ? weights_.data() + rows.begin : nullptr,
                              .columns = columns_.size() == 0 ? nullptr : columns_.data(),
                              .scale = scale,
                              .deltas = deltas.slice(rows),
                              .values = sums_.data() + rows.begin,
                              .elements = elements});
  }

 private:
  /// The column weights, repeated to the width of the outputs.
  void find_columns(Index cols) {
    const std::size_t given = given_columns_.size();
    if (given == 0 || columns_.size() == cols) return;
    columns_ = Buffer<T>(cols);
    for (Index j = 0; j < cols; ++j) {
      columns_.data()[j] = static_cast<T>(given_columns_[static_cast<std::size_t>(j) % given]);
    }
  }

  void gather_targets(const Targets& targets, Index cols) {
    const StridedView& y = targets.y;
    switch (kind_) {
      case nn::TargetKind::values: {
        values_.reserve(checked_size(rows_, y.cols * repeats_));
        const Matrix<T> given{values_.data(), rows_, y.cols};
        gather<T>(y, order_, first_, given);
        if (targets.check_rows) check_gathered<T>(given, targets.name, order_, first_, 0);
        check_limits<T>(target_limits_, given, 0, loss_, targets.name,
                        [this](Index i) { return source_row(order_, first_, i); });
        const Matrix<T> all{values_.data(), rows_, y.cols * repeats_};
        for (Index k = repeats_ == 1 ? 0 : all.size(); k-- > 0;) all.data[k] = all.data[k / repeats_];
        targets_.values = all;
        break;
      }
      case nn::TargetKind::classes:
        classes_.reserve(rows_);
        gather<std::int64_t>(y, order_, first_, {classes_.data(), rows_, 1});
        for (Index i = 0; i < rows_; ++i) {
          std::int64_t& c = classes_.data()[i];
          if (c >= 0 && c < cols && c != ignored_) continue;
          // Checked on entry, but the caller's array may change during training, and a class is an index.
          check_class(c, cols, ignored_, targets.name, source_row(order_, first_, i));
          c = -1;
        }
        targets_.classes = classes_.data();
        break;
      case nn::TargetKind::raw:
        if (targets.numbers) {
          const Buffer<double> numbers(checked_size(rows_, targets.numbers->cols));
          const Matrix<double> given{numbers.data(), rows_, targets.numbers->cols};
          gather<double>(*targets.numbers, order_, first_, given);
          check_gathered<double>(given, targets.name, order_, first_, 0);
        }
        raw_.reserve(checked_size(rows_, y.cols));
        gather<std::uint8_t>(y, order_, first_, {raw_.data(), rows_, y.cols});
        targets_.raw = {raw_.data(), rows_, y.cols};
    }
  }

  double weight(Index i) const {
    const double row = weighted_ ? static_cast<double>(weights_.data()[i]) : 1;
    if (targets_.classes == nullptr) return row;
    const std::int64_t c = targets_.classes[i];
    if (c < 0) return 0;
    return columns_.size() == 0 ? row : row * static_cast<double>(columns_.data()[c]);
  }

  const nn::Loss& loss_;
  nn::TargetKind kind_;
  Index repeats_;
  std::int64_t ignored_;
  const std::vector<double>& given_columns_;
  kernels::Limits target_limits_, output_limits_;
  const Index* order_ = nullptr;  // of the rows gathered last
  Index first_ = 0;
  Index rows_ = 0;
  bool weighted_ = false;
  Buffer<T> values_, weights_, columns_;
  Buffer<std::int64_t> classes_;
  Buffer<std::uint8_t> raw_;
  Buffer<double> sums_;
  nn::Targets<T> targets_;
};

}  // namespace deltaprop::train
