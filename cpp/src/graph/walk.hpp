#pragma once

#include <array>
#include <utility>
#include <vector>

#include "deltaprop/graph/ops.hpp"

namespace deltaprop::graph {

/// The strides of an array that is repeated to fill `shape`: 0 where it is.
inline Shape repeated(const Shape& from, const Shape& shape) {
  const Shape own = contiguous(from);
  Shape strides(shape.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1) strides[shape.size() - from.size() + i] = own[i];
  }
  return strides;
}

/// Lengthens the axes of `shape` so that `own` can be repeated to it too; false where it cannot.
inline bool widen(Shape& shape, const Shape& own) {
  if (own.size() > shape.size()) shape.insert(shape.begin(), own.size() - shape.size(), 1);
  for (std::size_t i = 0; i < own.size(); ++i) {
    Index& length = shape[shape.size() - own.size() + i];
    if (own[i] == 1 || own[i] == length) continue;
    if (length != 1) return false;
    length = own[i];
  }
  return true;
}

/// Several arrays of one shape, each by strides of its own, walked together in runs along the last axis. Axes that can
/// be walked as one are.
template <std::size_t count>
class Walk {
 public:
  using Offsets = std::array<Index, count>;

  Walk(const Shape& shape, const std::array<Shape, count>& strides) {
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (shape[axis] == 1) continue;
      Axis next{shape[axis], {}};
      for (std::size_t k = 0; k < count; ++k) next.strides[k] = strides[k][axis];
      if (!axes_.empty() && merges(axes_.back(), next)) {
        next.length *= axes_.back().length;
        axes_.back() = next;
      } else {
        axes_.push_back(next);
      }
    }
    if (axes_.empty()) axes_.push_back({1, {}});
  }

  /// Elements of a run, and how far they are from each other.
  Index length() const { return axes_.back().length; }
  const Offsets& strides() const { return axes_.back().strides; }
  /// The axis above the runs, where it is the only one; a length of 0 otherwise.
  Index rows() const { return axes_.size() == 2 ? axes_[0].length : 0; }
  const Offsets& row_strides() const { return axes_[0].strides; }

  /// f(offsets of a run) for each.
  template <class F>
  void each(F&& f) const {
    for (const Axis& axis : axes_) {
      if (axis.length == 0) return;
    }
    Offsets at{};
    Shape index(axes_.size() - 1, 0);
    while (true) {
      f(at);
      std::size_t axis = index.size();
      for (; axis > 0; --axis) {
        const Axis& a = axes_[axis - 1];
        Index& i = index[axis - 1];
        const bool over = ++i == a.length;
        for (std::size_t k = 0; k < count; ++k) at[k] += a.strides[k] * (over ? 1 - a.length : 1);
        if (!over) break;
        i = 0;
      }
      if (axis == 0) return;
    }
  }

 private:
  struct Axis {
    Index length;
    Offsets strides;
  };

  static bool merges(const Axis& outer, const Axis& inner) {
    for (std::size_t k = 0; k < count; ++k) {
      if (outer.strides[k] != inner.strides[k] * inner.length) return false;
    }
    return true;
  }

  std::vector<Axis> axes_;
};

}  // namespace deltaprop::graph
