#pragma once

#include <vector>

#include "arrays.hpp"
#include "deltaprop/graph/node.hpp"

/// Conversions between Python objects and graph nodes, for bind_graph.cpp and bind_node.cpp.
namespace deltaprop::python {

/// The elements of an array-like as float64 or float32; TypeError for other than real numbers. `narrow`: types of at
/// most 16 bits, whose values float32 holds exactly, become float32, as in NumPy's promotion.
py::array elements(const py::handle& value, const char* name, bool narrow = false);

/// A leaf with a copy of the elements.
graph::NodePtr leaf(graph::Node::Kind kind, const py::array& array);

/// The node of a Python object: itself, or a constant made of a number or array-like; TypeError for others.
graph::NodePtr as_node(const py::handle& value);
/// TypeError unless all are nodes.
std::vector<graph::NodePtr> nodes_of(const py::sequence& list);

/// None if no backward pass has reached the node.
py::object delta_of(const graph::Node& node);

/// The class Node.
void bind_node(py::module_& m);

}  // namespace deltaprop::python
