#pragma once

#include "deltaprop/graph/node.hpp"

namespace deltaprop::graph {

/// The step of a scalar node, with pointers to the cells of its inputs and its own.
inline kernels::ScalarStep scalar_step(Node& y) {
  kernels::ScalarStep step{static_cast<std::int16_t>(y.op()->formula()), {}, {}, &y.cell()};
  for (std::size_t i = 0; i < y.inputs().size(); ++i) {
    Node& x = *y.inputs()[i];
    step.x[i] = &x.cell();
    step.active[i] = y.sends_delta(i);
  }
  return step;
}

}  // namespace deltaprop::graph
