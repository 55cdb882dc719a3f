#include <pybind11/stl.h>

#include <utility>

#include "deltaprop/graph/ops.hpp"
#include "graph_nodes.hpp"

namespace deltaprop::python {
namespace {

using graph::Node;
using graph::NodePtr;
using graph::Precision;
using graph::Shape;

template <class F>
decltype(auto) with_elements(const py::array& array, F&& f) {
  return array.dtype().itemsize() == 4 ? f(static_cast<const float*>(array.data()), Precision::float32)
                                       : f(static_cast<const double*>(array.data()), Precision::float64);
}

PyTypeObject* node_type = nullptr;
const py::detail::type_info* node_info = nullptr;

/// The node of a Python object, without the type lookup of pybind11's casts, which would dominate the cost of scalar
/// arithmetic.
const NodePtr& node_of(PyObject* object) {
  return reinterpret_cast<py::detail::instance*>(object)->get_value_and_holder().holder<NodePtr>();
}

/// The Python object of a node, without a type lookup.
PyObject* object_of(const NodePtr& node) {
  return py::detail::type_caster_generic::cast(node.get(), py::return_value_policy::take_ownership, {}, node_info,
                                               nullptr, nullptr, &node)
      .ptr();
}

/// An operand of an operator as a node: a node, a number or an array-like; null for others.
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

/// Calls f and translates exceptions. The operators below are type slots: methods would cost twice as much per call.
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
PyObject* compare(PyObject* a, PyObject* b, int relation) {
  using namespace formulas;
  switch (relation) {
    case Py_LT: return binary<apply<Less>>(a, b);
    case Py_LE: return binary<apply<LessEqual>>(a, b);
    case Py_GT: return binary<reversed<Less>>(a, b);
    case Py_GE: return binary<reversed<LessEqual>>(a, b);
    case Py_EQ: return binary<apply<Equal>>(a, b);
    default: return binary<apply<NotEqual>>(a, b);
  }
}
int no_truth_value(PyObject*) {
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
  type->as_number.nb_bool = no_truth_value;
  type->ht_type.tp_richcompare = compare;
  type->ht_type.tp_hash = [](PyObject* a) { return static_cast<Py_hash_t>(std::hash<NodePtr>{}(node_of(a)) >> 4); };
}

/// A Python number or a read-only array. The array shares the node's memory; the node allocates new memory when it next
/// writes.
template <class T>
py::object to_python(const Node& node, const T* from, const graph::Memory& memory) {
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
                          [&]<class T>() { return to_python(node, node.value<T>(), node.value_memory()); });
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
  const bool is_scalar = array.ndim() == 0;
  if (!is_scalar && shape_of(array) != node.shape()) {
    throw ValueError("backward: expected a number or a delta " + shape_text(node.shape()) + ", got " +
                     shape_text(shape_of(array)));
  }
  graph::with_type(node.precision(), [&]<class T>() {
    const py::array_t<T, py::array::c_style | py::array::forcecast> same(array);
    node.backward<T>(same.data(), is_scalar);
  });
}

/// The number of axes that the keys index, and whether there is an Ellipsis. ValueError for a second one.
struct KeyCount {
  std::size_t axes = 0;
  bool ellipsis = false;

  explicit KeyCount(const py::tuple& keys) {
    for (const py::handle k : keys) {
      axes += !k.is_none() && !k.is(py::ellipsis());
      if (k.is(py::ellipsis()) && std::exchange(ellipsis, true))
        throw ValueError("graph: expected one ... between brackets, got two");
    }
  }
};

/// x[keys] as a view, axis by axis.
class ViewBuilder {
 public:
  explicit ViewBuilder(const Shape& shape) : shape_(shape), strides_(graph::contiguous_strides(shape)) {}

  /// Takes `count` axes as they are.
  void take_axes(std::size_t count) {
    for (; count > 0; --count, ++axis_) {
      view_.shape.push_back(shape_[axis_]);
      view_.strides.push_back(strides_[axis_]);
    }
  }
  void insert_axis() {
    view_.shape.push_back(1);
    view_.strides.push_back(0);
  }
  void slice(const py::slice& s) {
    py::ssize_t start = 0, stop = 0, step = 0, length = 0;
    if (!s.compute(shape_[axis_], &start, &stop, &step, &length)) throw py::error_already_set();
    if (length > 0) view_.offset += start * strides_[axis_];
    view_.shape.push_back(length);
    view_.strides.push_back(step * strides_[axis_]);
    ++axis_;
  }
  void select(py::ssize_t given) {
    const Index i = given < 0 ? given + shape_[axis_] : given;
    if (i < 0 || i >= shape_[axis_]) {
      throw py::index_error("graph: expected an index below " + std::to_string(shape_[axis_]) + ", got " +
                            std::to_string(given));
    }
    view_.offset += i * strides_[axis_];
    ++axis_;
  }
  /// The view, with all remaining axes.
  graph::View finish() {
    take_axes(shape_.size() - axis_);
    return std::move(view_);
  }

 private:
  const Shape& shape_;
  const Shape strides_;
  graph::View view_;
  std::size_t axis_ = 0;
};

graph::View view_of(const Shape& shape, const py::tuple& keys) {
  const KeyCount count(keys);
  if (count.axes > shape.size()) {
    throw py::index_error("graph: expected " + std::to_string(shape.size()) + " indices or fewer for " +
                          shape_text(shape) + ", got " + std::to_string(count.axes));
  }
  ViewBuilder builder(shape);
  for (const py::handle k : keys) {
    if (k.is(py::ellipsis())) {
      builder.take_axes(shape.size() - count.axes);
    } else if (k.is_none()) {
      builder.insert_axis();
    } else if (py::isinstance<py::slice>(k)) {
      builder.slice(py::reinterpret_borrow<py::slice>(k));
    } else if (PyIndex_Check(k.ptr()) != 0 && !PyBool_Check(k.ptr()) && PySequence_Check(k.ptr()) == 0) {
      const py::ssize_t given = PyNumber_AsSsize_t(k.ptr(), PyExc_IndexError);
      if (given == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
      builder.select(given);
    } else {
      throw TypeError("graph: expected integers, slices, None or ... between brackets, got " + type_name(k));
    }
  }
  return builder.finish();
}

/// A key in Python syntax.
std::string key_text(const py::handle& key) {
  if (key.is(py::ellipsis())) return "...";
  if (!py::isinstance<py::slice>(key)) return py::str(key).cast<std::string>();
  const auto part = [&](const char* name) {
    const py::object value = key.attr(name);
    return value.is_none() ? std::string() : py::str(value).cast<std::string>();
  };
  const std::string step = part("step");
  return part("start") + ":" + part("stop") + (step.empty() ? "" : ":" + step);
}

/// x[key] for integers, slices, None and Ellipsis.
NodePtr item(const NodePtr& x, const py::handle& key) {
  const py::tuple keys = py::isinstance<py::tuple>(key) ? py::reinterpret_borrow<py::tuple>(key) : py::make_tuple(key);
  graph::View v = view_of(x->shape(), keys);
  std::string details;
  for (const py::handle k : keys) details += (details.empty() ? "" : ", ") + key_text(k);
  return graph::view(x, std::move(v), "getitem", std::move(details));
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

py::array elements(const py::handle& value, const char* name, bool narrow) {
  const py::array array = py::module_::import("deltaprop._arrays").attr("as_array")(value, name);
  const Dtype dtype = dtype_of(array, name);
  const bool fits = array.itemsize() <= 2 && narrow;
  return dtype == Dtype::float32 || fits
             ? py::array(py::array_t<float, py::array::c_style | py::array::forcecast>(array))
             : py::array(py::array_t<double, py::array::c_style | py::array::forcecast>(array));
}

NodePtr leaf(Node::Kind kind, const py::array& array) {
  return with_elements(array, [&]<class T>(const T* from, Precision precision) {
    auto node = std::make_shared<Node>(kind, shape_of(array), precision);
    std::copy_n(from, node->size(), node->template fresh_value<T>());
    return node;
  });
}

NodePtr as_node(const py::handle& value) {
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

py::object delta_of(const Node& node) {
  if (!node.has_delta()) return py::none();
  return graph::with_type(node.precision(),
                          [&]<class T>() { return to_python(node, node.delta<T>(), node.delta_memory()); });
}

void bind_node(py::module_& m) {
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
}

}  // namespace deltaprop::python
