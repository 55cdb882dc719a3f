#pragma once

#include <string>
#include <vector>

#include "deltaprop/core/access_guard.hpp"
#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// An array required by a layer: named, row-major in the given shape. A `transposed` one is shown to users with its
/// two axes exchanged: weights are stored (in, out), so that z = a w + b reads them in order, and shown
/// (out, in), as PyTorch does.
struct ParameterShape {
  std::string name;
  std::vector<Index> shape;
  bool transposed = false;

  Index size() const { return element_count(shape); }
};

/// A parameter and its place in the flat buffers.
struct Parameter {
  ParameterShape shape;  // its name is qualified by the layer's: "0.weight"
  Index layer = 0;
  Range range;
  bool frozen = false;
};

/// All parameters of a network in one buffer without padding, their gradients in a second one of the same layout.
template <class T>
struct Parameters {
  std::vector<Parameter> list;
  Buffer<T> values;
  Buffer<T> gradients;
  /// Arrays saved with the parameters but not trained, such as running statistics, in a separate buffer.
  std::vector<Parameter> buffer_list;
  Buffer<T> buffer_values;
  /// Guards of the values, and of moving averages that replace them; nn/access.hpp defines the rules.
  AccessGuard access;
  AccessGuard averages;

  Index size() const { return list.empty() ? 0 : list.back().range.end; }
};

}  // namespace deltaprop
