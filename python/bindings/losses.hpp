#pragma once

#include "arrays.hpp"
#include "deltaprop/nn/loss.hpp"

namespace deltaprop::python {

/// Targets or weights as the core reads them. ValueError or TypeError if they do not match outputs of this
/// shape, (rows, cols), or (cols,) for a single row; `name` names them in messages. For a loss written in Python the
/// view covers the bytes of y's rows.
StridedView targets_source(const nn::Loss& loss, const std::vector<Index>& outputs, const py::array& y,
                           const char* name);
StridedView weights_source(const py::array& weights, Index rows);

}  // namespace deltaprop::python
