#pragma once

#include <string>
#include <vector>

#include "deltaprop/core/access_guard.hpp"
#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// What a layer asks for: a named array, row-major in the given shape. A `transposed` one is shown to users with its
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
  /// What is saved with the parameters but not trained, as running statistics, in a buffer of its own.
  std::vector<Parameter> buffer_list;
  Buffer<T> buffer_values;
  /// Who uses them, and whose averages stand in for the values; nn/access.hpp says which calls may.
  AccessGuard access;
  AccessGuard averages;

  Index size() const { return list.empty() ? 0 : list.back().range.end; }
};

}  // namespace deltaprop
