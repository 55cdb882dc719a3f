#include <pybind11/stl.h>

#include <array>
#include <utility>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/graph/ops.hpp"

namespace deltaprop::python {
namespace {

using graph::Node;
using graph::NodePtr;
using graph::Precision;
using graph::Shape;

/// The elements of a node as float64 or float32; TypeError for others than real numbers.
py::array elements(const py::handle& value, const char* name, bool narrow = false) {
  const py::array array = py::module_::import("deltaprop._arrays").attr("as_array")(value, name);
  const Dtype dtype = dtype_of(array, name);
  // As in NumPy, what float32 holds exactly makes no float64 of it.
  const bool fits = array.itemsize() <= 2 && narrow;
  return dtype == Dtype::float32 || fits
             ? py::array(py::array_t<float, py::array::c_style | py::array::forcecast>(array))
             : py::array(py::array_t<double, py::array::c_style | py::array::forcecast>(array));
}

template <class F>
decltype(auto) with_elements(const py::array& array, F&& f) {
  return array.dtype().itemsize() == 4 ? f(static_cast<const float*>(array.data()), Precision::float32)
                                       : f(static_cast<const double*>(array.data()), Precision::float64);
}

NodePtr leaf(Node::Kind kind, const py::array& array) {
  return with_elements(array, [&]<class T>(const T* from, Precision precision) {
    auto node = std::make_shared<Node>(kind, shape_of(array), precision);
    std::copy_n(from, node->size(), node->template fresh_value<T>());
    return node;
  });
}

PyTypeObject* node_type = nullptr;
const py::detail::type_info* node_info = nullptr;

/// The node of a Python object, not looked up as pybind11's casts do: arithmetic asks for it all the time.
const NodePtr& node_of(PyObject* object) {
  return reinterpret_cast<py::detail::instance*>(object)->get_value_and_holder().holder<NodePtr>();
}

/// A node's Python object, made without looking for its type either.
PyObject* object_of(const NodePtr& node) {
  return py::detail::type_caster_generic::cast(node.get(), py::return_value_policy::take_ownership, {}, node_info,
                                               nullptr, nullptr, &node)
      .ptr();
}

/// What an operator met: a node, a number, or an array; null for what is none of these.
NodePtr operand(PyObject* object) {
  if (Py_TYPE(object) == node_type) return node_of(object);
  if (PyFloat_CheckExact(object)) return graph::number(PyFloat_AS_DOUBLE(object));
  if (PyLong_Check(object)) {
    const double number = PyLong_AsDouble(object);
    if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    return graph::number(number);
  }
  const bool numbers = PyObject_HasAttrString(object, "__array__") != 0 || PyNumber_Check(object) != 0 ||
                       (PySequence_Check(object) != 0 && !PyUnicode_Check(object) && !PyBytes_Check(object));
  return numbers ? leaf(Node::Kind::constant, elements(object, "graph", true)) : nullptr;
}

/// Python's own slots: by way of methods an operator costs twice as much.
template <class F>
PyObject* guarded(F&& f) {
  try {
    return f();
  } catch (...) {
    py::detail::try_translate_exceptions();
    return nullptr;
  }
}
using Make = NodePtr (*)(NodePtr, NodePtr);
template <Make make>
PyObject* binary(PyObject* a, PyObject* b) {
  return guarded([&] {
    NodePtr x = operand(a), y = x ? operand(b) : nullptr;
    if (!y) Py_RETURN_NOTIMPLEMENTED;
    return object_of(make(std::move(x), std::move(y)));
  });
}
template <Make make>
PyObject* ternary(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary<make>(a, b);
}
template <class F>
PyObject* unary(PyObject* a) {
  return guarded([&] { return object_of(graph::apply<F>({node_of(a)})); });
}
template <class F>
NodePtr apply(NodePtr a, NodePtr b) {
  return graph::apply<F>({std::move(a), std::move(b)});
}
template <class F>
NodePtr reversed(NodePtr a, NodePtr b) {
  return apply<F>(std::move(b), std::move(a));
}
NodePtr power(NodePtr a, NodePtr b) { return graph::power(a, b); }
NodePtr matmul(NodePtr a, NodePtr b) { return graph::matmul(a, b); }
PyObject* compare(PyObject* a, PyObject* b, int how) {
  using namespace formulas;
  switch (how) {
    case Py_LT: return binary<apply<Less>>(a, b);
    case Py_LE: return binary<apply<LessEqual>>(a, b);
    case Py_GT: return binary<reversed<Less>>(a, b);
    case Py_GE: return binary<reversed<LessEqual>>(a, b);
    case Py_EQ: return binary<apply<Equal>>(a, b);
    default: return binary<apply<NotEqual>>(a, b);
  }
}
int no_truth(PyObject*) {
  PyErr_SetString(PyExc_TypeError, "graph: expected a number to decide by, got a node; where(condition, a, b) chooses");
  return -1;
}
void set_slots(PyHeapTypeObject* type) {
  using namespace formulas;
  type->ht_type.tp_name = "deltaprop.graph.Node";
  type->ht_type.tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
  type->as_number.nb_add = binary<apply<Add>>;
  type->as_number.nb_subtract = binary<apply<Subtract>>;
  type->as_number.nb_multiply = binary<apply<Multiply>>;
  type->as_number.nb_true_divide = binary<apply<Divide>>;
  type->as_number.nb_power = ternary<power>;
  type->as_number.nb_matrix_multiply = binary<matmul>;
  type->as_number.nb_negative = unary<Negative>;
  type->as_number.nb_absolute = unary<Absolute>;
  type->as_number.nb_positive = [](PyObject* a) { return Py_NewRef(a); };
  type->as_number.nb_bool = no_truth;
  type->ht_type.tp_richcompare = compare;
  type->ht_type.tp_hash = [](PyObject* a) { return static_cast<Py_hash_t>(std::hash<NodePtr>{}(node_of(a)) >> 4); };
}

NodePtr needed(const py::handle& value) {
  NodePtr node = operand(value.ptr());
  if (!node) {
    throw TypeError("graph: expected a node or numbers, got " + type_name(value));
  }
  return node;
}

std::vector<NodePtr> nodes_of(const py::sequence& list) {
  std::vector<NodePtr> nodes;
  for (const py::handle node : list) {
    if (Py_TYPE(node.ptr()) != node_type) throw TypeError("graph: expected nodes, got " + type_name(node));
    nodes.push_back(node_of(node.ptr()));
  }
  return nodes;
}

/// A number, or an array that nobody writes to: the memory is shared until the node needs it again.
template <class T>
py::object shown(const Node& node, const T* from, const graph::Memory& memory) {
  if (node.shape().empty()) {
    if constexpr (std::is_same_v<T, double>) return py::float_(*from);
    return py::module_::import("numpy").attr("float32")(*from);
  }
  if (memory) return view(const_cast<T*>(from), node.shape(), false, false, keep(memory));
  py::array_t<T> array = fresh<T>(node.shape());
  std::copy_n(from, node.size(), array.mutable_data());
  array.attr("flags").attr("writeable") = false;
  return array;
}
py::object value_of(const Node& node) {
  return graph::with_type(node.precision(),
                          [&]<class T>() { return shown(node, node.value<T>(), node.value_memory()); });
}
py::object delta_of(const Node& node) {
  if (!node.has_delta()) return py::none();
  return graph::with_type(node.precision(),
                          [&]<class T>() { return shown(node, node.delta<T>(), node.delta_memory()); });
}

void set_value(Node& node, const py::handle& value) {
  if (node.kind() != Node::Kind::variable)
    throw TypeError("value: expected a variable to be set, got a computed node or a constant");
  const py::array array = elements(value, "value");
  if (shape_of(array) != node.shape()) {
    throw ValueError("value: expected " + shape_text(node.shape()) + ", got " + shape_text(shape_of(array)));
  }
  graph::with_type(node.precision(), [&]<class T>() {
    with_elements(array, [&]<class S>(const S* from, Precision) {
      std::transform(from, from + node.size(), node.fresh_value<T>(), [](S v) { return static_cast<T>(v); });
    });
  });
}

void backward(Node& node, const py::handle& delta) {
  const py::array array = elements(delta, "delta");
  const bool single = array.ndim() == 0;
  if (!single && shape_of(array) != node.shape()) {
    throw ValueError("backward: expected a number or a delta " + shape_text(node.shape()) + ", got " +
                     shape_text(shape_of(array)));
  }
  graph::with_type(node.precision(), [&]<class T>() {
    const py::array_t<T, py::array::c_style | py::array::forcecast> same(array);
    node.backward<T>(same.data(), single);
  });
}

/// dy/d(each variable), each of y's shape followed by the variable's.
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

/// What each input of y gets of y's delta, None where that is nothing: y is made over again of leaves of its own, so
/// that no two paths add up.
std::vector<py::object> shares(const Node& y) {
  std::vector<py::object> list(y.inputs().size(), py::none());
  if (!y.has_delta() || y.op() == nullptr) return list;
  graph::Inputs leaves;
  for (const NodePtr& x : y.inputs()) leaves.push_back(graph::leaf_of(*x, Node::Kind::variable));
  Node again(y.shared_op(), leaves, y.shape(), y.precision());
  graph::with_type(y.precision(), [&]<class T>() { again.backward<T>(y.delta<T>(), false); });
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (y.sends_delta(i)) list[i] = delta_of(*leaves[i]);
  }
  return list;
}

/// x[key] for numbers, slices, None and Ellipsis.
NodePtr item(const NodePtr& x, const py::handle& key) {
  const auto refuse = [&](const py::handle& what) {
    return TypeError("graph: expected integers, slices, None or ... between brackets, got " + type_name(what));
  };
  const py::tuple keys = py::isinstance<py::tuple>(key) ? py::reinterpret_borrow<py::tuple>(key) : py::make_tuple(key);
  std::size_t used = 0;
  bool open = false;
  for (const py::handle k : keys) {
    used += !k.is_none() && !k.is(py::ellipsis());
    if (k.is(py::ellipsis()) && std::exchange(open, true))
      throw ValueError("graph: expected one ... between brackets, got two");
  }
  const Shape& shape = x->shape();
  if (used > shape.size()) {
    throw py::index_error("graph: expected " + std::to_string(shape.size()) + " indices or fewer for " +
                          shape_text(shape) + ", got " + std::to_string(used));
  }
  const Shape strides = graph::contiguous(shape);
  graph::View v;
  std::size_t axis = 0;
  const auto whole = [&](std::size_t count) {
    for (; count > 0; --count, ++axis) {
      v.shape.push_back(shape[axis]);
      v.strides.push_back(strides[axis]);
    }
  };
  for (const py::handle k : keys) {
    if (k.is(py::ellipsis())) {
      whole(shape.size() - used);
    } else if (k.is_none()) {
      v.shape.push_back(1);
      v.strides.push_back(0);
    } else if (py::isinstance<py::slice>(k)) {
      py::ssize_t start = 0, stop = 0, step = 0, length = 0;
      if (!py::reinterpret_borrow<py::slice>(k).compute(shape[axis], &start, &stop, &step, &length)) {
        throw py::error_already_set();
      }
      if (length > 0) v.offset += start * strides[axis];
      v.shape.push_back(length);
      v.strides.push_back(step * strides[axis]);
      ++axis;
    } else if (PyIndex_Check(k.ptr()) != 0 && !PyBool_Check(k.ptr()) && PySequence_Check(k.ptr()) == 0) {
      const py::ssize_t given = PyNumber_AsSsize_t(k.ptr(), PyExc_IndexError);
      if (given == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
      const Index i = given < 0 ? given + shape[axis] : given;
      if (i < 0 || i >= shape[axis]) {
        throw py::index_error("graph: expected an index below " + std::to_string(shape[axis]) + ", got " +
                              std::to_string(given));
      }
      v.offset += i * strides[axis];
      ++axis;
    } else {
      throw refuse(k);
    }
  }
  whole(shape.size() - axis);
  const auto text = [](const py::handle k) {
    if (k.is(py::ellipsis())) return std::string("...");
    if (!py::isinstance<py::slice>(k)) return py::str(k).cast<std::string>();
    const auto part = [&](const char* name) {
      const py::object value = k.attr(name);
      return value.is_none() ? std::string() : py::str(value).cast<std::string>();
    };
    const std::string step = part("step");
    return part("start") + ":" + part("stop") + (step.empty() ? "" : ":" + step);
  };
  std::string details;
  for (const py::handle k : keys) details += (details.empty() ? "" : ", ") + text(k);
  return graph::view(x, std::move(v), "getitem", std::move(details));
}

/// An integer or several; those that 64 bits do not hold become the nearest that they do.
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

void set_name(Node& node, const py::object& name) {
  if (!py::isinstance<py::str>(name)) throw TypeError("name: expected a string, got " + type_name(name));
  node.name = name.cast<std::string>();
}

const char* kind_name(const Node& node) {
  switch (node.kind()) {
    case Node::Kind::constant: return "constant";
    case Node::Kind::variable: return "variable";
    default: return node.op()->name();
  }
}

}  // namespace

void bind_graph(py::module_& m) {
  using namespace formulas;
  py::class_<Node, NodePtr> node(m, "Node", py::is_final(), py::custom_type_setup(set_slots));
  node_type = reinterpret_cast<PyTypeObject*>(node.ptr());
  node_info = py::detail::get_type_info(node_type);
  node.attr("__module__") = "deltaprop.graph";
  node.def("__getitem__", &item, py::arg("key"))
      .def_property_readonly("op", [](const Node& n) { return kind_name(n); })
      .def_property_readonly("details",
                             [](const Node& n) { return n.op() == nullptr ? std::string() : n.op()->details(); })
      .def_property_readonly("inputs",
                             [](const Node& n) {
                               for (const NodePtr& x : n.inputs()) x->materialize();
                               return py::tuple(py::cast(std::vector<NodePtr>(n.inputs().begin(), n.inputs().end())));
                             })
      .def_property_readonly("shape", [](const Node& n) { return py::tuple(py::cast(n.shape())); })
      .def_property_readonly("size", &Node::size)
      .def_property_readonly("dtype",
                             [](const Node& n) {
                               return n.precision() == Precision::float32 ? py::dtype::of<float>()
                                                                          : py::dtype::of<double>();
                             })
      .def_property_readonly("active", &Node::active)
      .def_property(
          "name", [](const Node& n) { return n.name; }, &set_name)
      .def_property("value", &value_of, &set_value)
      .def_property_readonly("grad", &delta_of)
      .def("forward", &Node::forward)
      .def("backward", &backward, py::arg("delta") = 1.0);
  m.def(
      "graph_leaf",
      [](const py::object& value, bool variable) {
        return leaf(variable ? Node::Kind::variable : Node::Kind::constant,
                    elements(value, variable ? "variable" : "constant"));
      },
      py::arg("value"), py::arg("variable"));
  m.def("graph_node", &needed, py::arg("value"));
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
        for (const py::handle x : inputs) nodes.push_back(needed(x));
        return graph::apply(formula, std::move(nodes));
      },
      py::arg("formula"));
  const auto reduction = [&](const char* name, NodePtr (*reduce)(const NodePtr&, const graph::Axes&, bool)) {
    m.def(
        name,
        [reduce](const py::object& x, const py::object& axis, bool keepdims) {
          return reduce(needed(x), axes_of(axis), keepdims);
        },
        py::arg("x"), py::arg("axis"), py::arg("keepdims"));
  };
  reduction("graph_sum", graph::sum);
  reduction("graph_mean", graph::mean);
  reduction("graph_max", graph::max);
  m.def(
      "graph_matmul", [](const py::object& a, const py::object& b) { return graph::matmul(needed(a), needed(b)); },
      py::arg("a"), py::arg("b"));
  m.def(
      "graph_reshape",
      [](const py::object& x, const py::object& shape) {
        return graph::reshape(needed(x), integers(shape, "reshape"));
      },
      py::arg("x"), py::arg("shape"));
  m.def("graph_transpose", [](const py::object& x) { return graph::transpose(needed(x)); }, py::arg("x"));
  m.def("graph_jacobian", &jacobian, py::arg("y"), py::arg("variables"));
  m.def("graph_shares", &shares, py::arg("y"));
  m.def(
      "graph_gradient",
      [](const NodePtr& y, const py::object& delta, const py::sequence& variables) {
        return graph::gradient(y, needed(delta), nodes_of(variables));
      },
      py::arg("y").none(false), py::arg("delta"), py::arg("variables"));
}

}  // namespace deltaprop::python
