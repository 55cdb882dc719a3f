#pragma once

#include <array>
#include <utility>
#include <vector>

#include "deltaprop/graph/ops.hpp"

namespace deltaprop::graph {

/// The strides of an array broadcast to `shape`: 0 along broadcast axes.
inline Shape broadcast_strides(const Shape& from, const Shape& shape) {
  const Shape own = contiguous_strides(from);
  Shape strides(shape.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1) strides[shape.size() - from.size() + i] = own[i];
  }
  return strides;
}

/// Broadcasts `shape` against `own`, in place; false if they do not broadcast.
inline bool broadcast_into(Shape& shape, const Shape& own) {
  if (own.size() > shape.size()) shape.insert(shape.begin(), own.size() - shape.size(), 1);
  for (std::size_t i = 0; i < own.size(); ++i) {
    Index& length = shape[shape.size() - own.size() + i];
    if (own[i] == 1 || own[i] == length) continue;
    if (length != 1) return false;
    length = own[i];
  }
  return true;
}

/// Iterates over several strided arrays of one shape together, in runs along the last axis. Adjacent axes that are
/// contiguous in all arrays are merged.
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

  /// Length of a run, and stride of each array along it.
  Index length() const { return axes_.back().length; }
  const Offsets& strides() const { return axes_.back().strides; }
  /// Number of runs and their strides if there is exactly one outer axis; 0 otherwise.
  Index rows() const { return axes_.size() == 2 ? axes_[0].length : 0; }
  const Offsets& row_strides() const { return axes_[0].strides; }

  /// Calls f(offset of each array) for each run.
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
        const bool wrapped = ++i == a.length;
        for (std::size_t k = 0; k < count; ++k) at[k] += a.strides[k] * (wrapped ? 1 - a.length : 1);
        if (!wrapped) break;
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
