#pragma once

#include <memory>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/runtime/model.hpp"

namespace deltaprop::runtime {

/// A network's inference pass as a node of x, (N, in) or (in,), the parameters constant. ValueError for networks of
/// several inputs or outputs.
template <class T>
graph::NodePtr network_node(const std::shared_ptr<Model<T>>& model, const graph::NodePtr& x);

}  // namespace deltaprop::runtime
