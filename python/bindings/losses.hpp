#pragma once

#include "arrays.hpp"
#include "deltaprop/nn/loss.hpp"

namespace deltaprop::python {

/// Targets or weights as the core reads them. ValueError or TypeError where they do not go with outputs of this
/// shape; `name` says whose they are. For a loss written in Python it is the bytes of y's rows. A batch of
/// outputs is (rows, cols), one row alone (cols,).
StridedView targets_source(const nn::Loss& loss, const std::vector<Index>& outputs, const py::array& y,
                           const char* name);
StridedView weights_source(const py::array& weights, Index rows);

}  // namespace deltaprop::python
