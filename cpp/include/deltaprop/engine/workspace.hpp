#pragma once

#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop::engine {

/// The activations and deltas of one pass: a[0] is the input, a[i + 1] the output of layer i, and delta[i] is
/// dJ/da[i]. Buffers only grow, so a repeated batch size allocates nothing.
template <class T>
class Workspace {
 public:
  void resize(Index rows, const std::vector<Index>& widths) {
    rows_ = rows;
    widths_ = widths;
    a_.resize(widths.size());
    delta_.resize(widths.size());
    for (std::size_t i = 0; i < widths.size(); ++i) {
      a_[i].reserve(checked_size(rows, widths[i]));
      delta_[i].reserve(checked_size(rows, widths[i]));
    }
  }
  /// A batch of another size, no larger than resize() was told.
  void set_rows(Index rows) { rows_ = rows; }

  Index rows() const { return rows_; }
  Range all() const { return {0, rows_}; }
  Index width(Index i) const { return widths_[static_cast<std::size_t>(i)]; }
  const std::vector<Index>& widths() const { return widths_; }
  Matrix<T> a(Index i) const { return {a_[static_cast<std::size_t>(i)].data(), rows_, width(i)}; }
  Matrix<T> delta(Index i) const { return {delta_[static_cast<std::size_t>(i)].data(), rows_, width(i)}; }
  const Buffer<T>& a_buffer(Index i) const { return a_[static_cast<std::size_t>(i)]; }
  const Buffer<T>& delta_buffer(Index i) const { return delta_[static_cast<std::size_t>(i)]; }

 private:
  Index rows_ = 0;
  std::vector<Index> widths_;
  std::vector<Buffer<T>> a_, delta_;
};

/// Rows that together fit the second-level cache with all that layers keep of them. Only a matter of speed.
template <class T>
Index rows_per_tile(const std::vector<Index>& widths) {
  Index features = 1;
  for (const Index w : widths) features += 2 * w;
  constexpr Index kCache = 256 * 1024;
  const Index rows = kCache / (features * static_cast<Index>(sizeof(T)));
  // A product packs its weights again for each tile: not for fewer than this many rows.
  return std::max<Index>(rows / 12 * 12, 256);
}

}  // namespace deltaprop::engine
