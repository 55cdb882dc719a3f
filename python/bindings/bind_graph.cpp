#include <pybind11/stl.h>

#include <utility>
#include <vector>

#include "bindings.hpp"
#include "deltaprop/graph/ops.hpp"
#include "graph_nodes.hpp"

namespace deltaprop::python {
namespace {

using graph::Node;
using graph::NodePtr;
using graph::Shape;

/// dy/dv for each variable v, of the shape of y followed by that of v: one backward pass per element of y.
std::vector<py::object> jacobian(Node& y, const py::sequence& of) {
  const std::vector<NodePtr> variables = nodes_of(of);
  std::vector<py::object> list;
  std::vector<std::byte*> rows;
  for (const NodePtr& v : variables) {
    Shape shape = y.shape();
    shape.insert(shape.end(), v->shape().begin(), v->shape().end());
    graph::with_type(v->precision(), [&]<class T>() {
      py::array_t<T> array = fresh<T>(shape);
      std::fill_n(array.mutable_data(), array.size(), T(0));
      rows.push_back(reinterpret_cast<std::byte*>(array.mutable_data()));
      list.push_back(std::move(array));
    });
  }
  graph::with_type(y.precision(), [&]<class Y>() {
    const Buffer<Y> delta(y.size());
    for (Index i = 0; y.active() && i < y.size(); ++i) {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      for (const NodePtr& v : variables) v->forget_delta();
      delta.data()[i] = Y(1);
      y.backward<Y>(delta.data(), false);
      delta.data()[i] = Y(0);
      for (std::size_t k = 0; k < variables.size(); ++k) {
        const Node& v = *variables[k];
        if (!v.has_delta()) continue;
        graph::with_type(v.precision(), [&]<class T>() {
          std::copy_n(v.delta<T>(), v.size(), reinterpret_cast<T*>(rows[k]) + i * v.size());
        });
      }
    }
  });
  return list;
}

/// The share of y's delta that each input gets, or None. Computed on a copy of y whose inputs are separate leaves, so
/// that shares along different paths do not add up.
std::vector<py::object> shares(const Node& y) {
  std::vector<py::object> list(y.inputs().size(), py::none());
  if (!y.has_delta() || y.op() == nullptr) return list;
  graph::Inputs leaves;
  for (const NodePtr& x : y.inputs()) leaves.push_back(graph::make_leaf(*x, Node::Kind::variable));
  Node copy(y.shared_op(), leaves, y.shape(), y.precision());
  graph::with_type(y.precision(), [&]<class T>() { copy.backward<T>(y.delta<T>(), false); });
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (y.sends_delta(i)) list[i] = delta_of(*leaves[i]);
  }
  return list;
}

/// One integer or a sequence of them, clamped to 64 bits.
std::vector<Index> integers(const py::object& value, const char* name) {
  std::vector<Index> list;
  const auto add = [&](const py::handle& item) {
    list.push_back(PyNumber_AsSsize_t(item.ptr(), nullptr));
    if (PyErr_Occurred() == nullptr) return;
    PyErr_Clear();
    throw TypeError(std::string(name) + ": expected an integer or a sequence of them, got " +
                    py::repr(value).cast<std::string>());
  };
  if (PySequence_Check(value.ptr()) == 0) {
    add(value);
  } else {
    for (const py::handle item : value) add(item);
  }
  return list;
}
graph::Axes axes_of(const py::object& axis) {
  return axis.is_none() ? std::nullopt : graph::Axes(integers(axis, "axis"));
}

void bind_leaves_and_formulas(py::module_& m) {
  using namespace formulas;
  m.def(
      "graph_leaf",
      [](const py::object& value, bool variable) {
        return leaf(variable ? Node::Kind::variable : Node::Kind::constant,
                    elements(value, variable ? "variable" : "constant"));
      },
      py::arg("value"), py::arg("variable"));
  m.def("graph_node", &as_node, py::arg("value"));
  m.def("graph_formulas", [] {
    return each_formula<std::pair<const char*, int>>([]<class F>() { return std::pair(F::name, F::inputs); });
  });
  m.def(
      "graph_apply",
      [](int formula, const py::args& inputs) {
        constexpr auto counts = each_formula<int>([]<class F>() { return F::inputs; });
        const auto place = static_cast<std::size_t>(formula);
        if (place >= counts.size() || inputs.size() != static_cast<std::size_t>(counts[place])) {
          throw TypeError("graph: expected a formula and its inputs");
        }
        graph::Inputs nodes;
        for (const py::handle x : inputs) nodes.push_back(as_node(x));
        return graph::apply(formula, std::move(nodes));
      },
      py::arg("formula"));
}

void bind_array_functions(py::module_& m) {
  const auto reduction = [&](const char* name, NodePtr (*reduce)(const NodePtr&, const graph::Axes&, bool)) {
    m.def(
        name,
        [reduce](const py::object& x, const py::object& axis, bool keepdims) {
          return reduce(as_node(x), axes_of(axis), keepdims);
        },
        py::arg("x"), py::arg("axis"), py::arg("keepdims"));
  };
  reduction("graph_sum", graph::sum);
  reduction("graph_mean", graph::mean);
  reduction("graph_max", graph::max);
  m.def(
      "graph_matmul", [](const py::object& a, const py::object& b) { return graph::matmul(as_node(a), as_node(b)); },
      py::arg("a"), py::arg("b"));
  m.def(
      "graph_reshape",
      [](const py::object& x, const py::object& shape) {
        return graph::reshape(as_node(x), integers(shape, "reshape"));
      },
      py::arg("x"), py::arg("shape"));
  m.def("graph_transpose", [](const py::object& x) { return graph::transpose(as_node(x)); }, py::arg("x"));
}

void bind_derivatives(py::module_& m) {
  m.def("graph_jacobian", &jacobian, py::arg("y"), py::arg("variables"));
  m.def("graph_shares", &shares, py::arg("y"));
  m.def(
      "graph_gradient",
      [](const NodePtr& y, const py::object& delta, const py::sequence& variables) {
        return graph::gradient(y, as_node(delta), nodes_of(variables));
      },
      py::arg("y").none(false), py::arg("delta"), py::arg("variables"));
}

}  // namespace

void bind_graph(py::module_& m) {
  bind_node(m);
  bind_leaves_and_formulas(m);
  bind_array_functions(m);
  bind_derivatives(m);
}

}  // namespace deltaprop::python
