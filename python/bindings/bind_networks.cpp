#include <pybind11/stl.h>

#include "access.hpp"
#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/runtime/model.hpp"
#include "deltaprop/runtime/network_op.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

using runtime::Model;

/// Shape of the output for that of an input: (out,) for (in,), (N, out) for (N, in).
std::vector<Index> with_width(std::vector<Index> shape, Index width) {
  shape.back() = width;
  return shape;
}

/// Inputs of a network: an array, or a tuple of them for several inputs.
struct Given {
  std::vector<py::array> arrays;
  std::vector<StridedView> sources;
  nn::Subgraph subgraph;
  Pins pins;

  template <class T>
  Given(const Model<T>& model, Index section_number, const py::object& x) : arrays(array_or_tuple(x)) {
    if (section_number < 0 || section_number >= static_cast<Index>(model.network().plan().subgraphs().size())) {
      throw py::index_error("no such block");
    }
    std::vector<std::vector<Index>> shapes;
    for (const py::array& array : arrays) shapes.push_back(shape_of(array));
    subgraph = model.network().resolve_inputs(section_number, shapes);
    for (const py::array& array : arrays) sources.push_back(one_or_more_rows(array, "x"));
    pins.add(arrays);
  }

  std::vector<Index> shape(Index width) const { return with_width(shape_of(arrays[0]), width); }
};

template <class T>
py::object copied(Matrix<const T> m, const std::vector<Index>& shape) {
  py::array_t<T> out = fresh<T>(shape);
  std::copy_n(m.data, m.size(), out.mutable_data());
  return out;
}

/// Result arrays of a call: those passed as `out`, or new ones.
template <class T>
std::vector<py::object> outputs(const Given& given, const std::vector<Index>& widths, const py::object& out) {
  std::vector<py::object> list;
  if (out.is_none()) {
    for (const Index width : widths) list.push_back(fresh<T>(given.shape(width)));
    return list;
  }
  const bool several = py::isinstance<py::tuple>(out);
  const py::tuple arrays = several ? py::reinterpret_borrow<py::tuple>(out) : py::make_tuple(out);
  if (arrays.size() != widths.size()) {
    throw ValueError("out: expected " + std::to_string(widths.size()) + " arrays, got " +
                     std::to_string(arrays.size()));
  }
  const py::object share_memory = py::module_::import("numpy").attr("may_share_memory");
  for (std::size_t k = 0; k < widths.size(); ++k) {
    const std::vector<Index> shape = given.shape(widths[k]);
    const std::string name = sizeof(T) == 4 ? "float32" : "float64";
    const auto expected = "out: expected a writable C-contiguous array of " + name + " " + shape_text(shape) + ", got ";
    if (!py::isinstance<py::array>(arrays[k])) throw TypeError(expected + type_name(arrays[k]));
    const auto array = py::reinterpret_borrow<py::array>(arrays[k]);
    const bool laid_out = (array.flags() & py::array::c_style) != 0;
    if (!array.dtype().is(py::dtype::of<T>()) || shape_of(array) != shape || !laid_out || !array.writeable()) {
      throw ValueError(expected + (array.writeable() ? "" : "a read-only ") + (laid_out ? "" : "a strided ") +
                       py::str(array.dtype()).cast<std::string>() + " " + shape_text(shape_of(array)));
    }
    for (const py::array& x : given.arrays) {
      if (share_memory(x, array).cast<bool>()) throw ValueError("out: expected memory apart from x's");
    }
    list.push_back(array);
  }
  return list;
}

template <class T>
py::object infer(const Model<T>& model, Index subgraph, const py::object& x, const py::object& given_out) {
  const Given given(model, subgraph, x);
  auto inference = model.acquire(subgraph, given.subgraph, given.sources);
  const std::vector<Index> widths = inference->out_features();
  const std::vector<py::object> out = outputs<T>(given, widths, given_out);
  Pins pins;
  std::vector<Matrix<T>> into;
  for (std::size_t k = 0; k < out.size(); ++k) {
    auto array = py::reinterpret_borrow<py::array_t<T>>(out[k]);
    if (!given_out.is_none()) pins.add(array);
    into.push_back({array.mutable_data(), given.sources[0].rows, widths[k]});
  }
  {
    const WithoutGil released;
    const InterruptCheck check_interrupt = SignalCheck();
    model.infer(*inference, given.sources, into, &check_interrupt);
  }
  model.release(subgraph, std::move(inference));
  return one_or_tuple(out);
}

template <class T>
py::object forward(Model<T>& model, const py::object& x) {
  const Given given(model, 0, x);
  const nn::Access access(nn::Call::forward, model.guards());
  {
    const WithoutGil released;
    const InterruptCheck check_interrupt = SignalCheck();
    model.forward(given.sources, &check_interrupt);
  }
  std::vector<py::object> out;
  for (std::size_t k = 0; k < given.subgraph.outputs.size(); ++k) {
    const Matrix<const T> a = model.output(static_cast<Index>(k));
    out.push_back(copied<T>(a, given.shape(a.cols)));
  }
  return one_or_tuple(out);
}

/// The delta of each output, of the output's shape.
template <class T>
std::vector<StridedView> delta_sources(const std::vector<py::array>& deltas,
                                       const std::vector<Matrix<const T>>& outputs) {
  if (deltas.size() != outputs.size()) {
    throw ValueError("backward: expected " + std::to_string(outputs.size()) + " deltas, one for each output, got " +
                     std::to_string(deltas.size()));
  }
  std::vector<StridedView> sources;
  for (std::size_t k = 0; k < deltas.size(); ++k) {
    const Matrix<const T> a = outputs[k];
    const std::vector<Index> shape = shape_of(deltas[k]);
    const bool one_row = a.rows == 1 && shape == std::vector<Index>{a.cols};
    if (!one_row && shape != std::vector<Index>{a.rows, a.cols}) {
      throw ValueError("backward: expected delta " + shape_text({a.rows, a.cols}) + ", the shape of the output, got " +
                       shape_text(shape));
    }
    sources.push_back(one_or_more_rows(deltas[k], "delta"));
  }
  return sources;
}

template <class T>
py::object backward(Model<T>& model, const py::object& delta) {
  const nn::Access access(nn::Call::backward, model.guards());
  model.output();
  std::vector<Matrix<const T>> outputs;
  for (std::size_t k = 0; k < model.passed().outputs.size(); ++k) {
    outputs.push_back(model.output(static_cast<Index>(k)));
  }
  const std::vector<py::array> arrays = array_or_tuple(delta);
  const std::vector<StridedView> sources = delta_sources<T>(arrays, outputs);
  Pins pins;
  pins.add(arrays);
  {
    const WithoutGil released;
    model.backward(sources);
  }
  std::vector<py::object> out;
  for (const Index value : model.passed().inputs) {
    const Matrix<const T> d = model.deltas().delta(value);
    out.push_back(copied<T>(d, with_width(shape_of(arrays[0]), d.cols)));
  }
  return one_or_tuple(out);
}

/// Activations or deltas of each block's outputs in the last manual pass: read-only arrays over its buffers, which
/// remain valid after a larger batch has allocated new buffers.
template <class T>
py::list kept(const Model<T>& model, bool deltas) {
  const nn::Access access(nn::Call::activations, model.guards());
  const engine::Workspace<T>& w = deltas ? model.deltas() : model.activations();
  py::list blocks;
  for (const nn::Subgraph& subgraph : model.network().plan().subgraphs()) {
    std::vector<py::object> arrays;
    for (const Index v : subgraph.outputs) {
      const Buffer<T>& buffer = deltas ? w.delta_buffer(v) : w.a_buffer(v);
      arrays.push_back(view(buffer.data(), {w.rows(), w.width(v)}, false, false, keep(buffer.owner())));
    }
    blocks.append(one_or_tuple(arrays));
  }
  return blocks;
}

/// d(output)/d(input), (rows, outputs, inputs), an array for each pair of output and input.
template <class T>
py::object jacobian(Model<T>& model, const py::object& x) {
  const Given given(model, 0, x);
  const auto widths = model.network().widths(given.subgraph, [&] {
    std::vector<Index> features;
    for (const StridedView& s : given.sources) features.push_back(s.cols);
    return features;
  }());
  const Index rows = given.sources[0].rows;
  std::vector<std::vector<py::object>> arrays;
  std::vector<std::vector<T*>> data;
  for (const Index out : nn::select(widths, given.subgraph.outputs)) {
    arrays.emplace_back();
    data.emplace_back();
    for (const StridedView& s : given.sources) {
      py::array_t<T> array = fresh<T>(given.arrays[0].ndim() == 1 ? std::vector<Index>{out, s.cols}
                                                                  : std::vector<Index>{rows, out, s.cols});
      data.back().push_back(array.mutable_data());
      arrays.back().push_back(std::move(array));
    }
  }
  {
    const WithoutGil released;
    const std::vector<Index> outs = nn::select(widths, given.subgraph.outputs);
    model.jacobian(
        given.sources,
        [&](Index output, Index feature, const std::vector<Matrix<const T>>& inputs) {
          const auto k = static_cast<std::size_t>(output);
          for (std::size_t j = 0; j < inputs.size(); ++j) {
            const Index cols = inputs[j].cols;
            for (Index i = 0; i < rows; ++i) {
              std::copy_n(inputs[j].row(i), cols, data[k][j] + (i * outs[k] + feature) * cols);
            }
          }
        },
        SignalCheck());
  }
  std::vector<py::object> by_output;
  for (const auto& row : arrays) by_output.push_back(one_or_tuple(row));
  return one_or_tuple(by_output);
}

/// dJ/d(inputs); `delta` is called with the outputs and returns dJ/d(outputs).
template <class T>
py::object input_gradient(Model<T>& model, const py::object& x, const py::object& delta) {
  const Given given(model, 0, x);
  std::vector<py::object> out;
  model.input_gradient(
      given.sources,
      [&](const std::vector<Matrix<const T>>& outputs, const std::vector<Matrix<T>>& into) {
        std::vector<py::object> copies;
        for (const Matrix<const T>& a : outputs) copies.push_back(copied<T>(a, given.shape(a.cols)));
        const std::vector<py::array> arrays = array_or_tuple(call(delta, py::dict(), one_or_tuple(copies)));
        const std::vector<StridedView> sources = delta_sources<T>(arrays, outputs);
        for (std::size_t k = 0; k < sources.size(); ++k) gather<T>(sources[k], nullptr, 0, into[k]);
      },
      [&](const std::vector<Matrix<const T>>& inputs) {
        for (const Matrix<const T>& d : inputs) out.push_back(copied<T>(d, given.shape(d.cols)));
      });
  return one_or_tuple(out);
}

template <class T>
void learn(Model<T>& model, Index block, const py::object& x) {
  const Given given(model, block, x);
  const WithoutGil released;
  const nn::Access access(nn::Call::learn, model.guards());
  model.learn(block, given.sources, true, SignalCheck());
}

/// A node of a network. Keeps `owner`, the Python object that owns the layers written in Python, alive.
template <class T>
graph::NodePtr node(const std::shared_ptr<Model<T>>& model, const graph::NodePtr& x, py::object owner) {
  const auto release = [](PyObject* o) {
    const WithGil gil;  // the last reference may be released by a thread without the GIL
    Py_DECREF(o);
  };
  const std::shared_ptr<PyObject> kept(owner.release().ptr(), release);
  return runtime::network_node(std::shared_ptr<Model<T>>(kept, model.get()), x);
}

/// The output features of each block.
template <class T>
std::vector<std::vector<Index>> out_features(const Model<T>& s) {
  const auto& plan = s.network().plan();
  const std::vector<Index> in = s.network().block(0).inputs();
  const nn::Subgraph entered =
      plan.resolve_inputs(plan.subgraph(0), static_cast<Index>(in.size()), s.network().block(0));
  const std::vector<Index> widths = s.network().widths(entered, in);
  std::vector<std::vector<Index>> blocks;
  for (const nn::Subgraph& subgraph : plan.subgraphs()) blocks.push_back(nn::select(widths, subgraph.outputs));
  return blocks;
}

/// Layer and name of each parameter.
py::list names_of(const std::vector<Parameter>& parameters) {
  py::list list;
  for (const Parameter& p : parameters) list.append(py::make_tuple(p.layer, p.shape.name));
  return list;
}

template <class T>
const Parameters<T>& stored(const py::object& self) {
  return *self.cast<Model<T>&>().network().parameters();
}

/// Parameter i's range of a flat buffer, as a writable array in the parameter's shape.
template <class T>
py::array array_of(const py::object& self, const std::vector<Parameter>& list, const Buffer<T>& buffer, Index i) {
  if (i < 0 || i >= static_cast<Index>(list.size())) throw py::index_error("no such parameter");
  const Parameter& p = list[static_cast<std::size_t>(i)];
  return view(buffer.data() + p.range.begin, p.shape.shape, p.shape.transposed, true, self);
}

template <class T>
using NetworkClass = py::class_<Model<T>, std::shared_ptr<Model<T>>>;

/// Parameters, gradients and buffers as arrays.
template <class T>
void bind_arrays(NetworkClass<T>& network) {
  network
      .def(
          "value",
          [](const py::object& s, Index i) { return array_of<T>(s, stored<T>(s).list, stored<T>(s).values, i); },
          py::arg("i"))
      .def(
          "grad",
          [](const py::object& s, Index i) { return array_of<T>(s, stored<T>(s).list, stored<T>(s).gradients, i); },
          py::arg("i"))
      .def(
          "buffer",
          [](const py::object& s, Index i) {
            return array_of<T>(s, stored<T>(s).buffer_list, stored<T>(s).buffer_values, i);
          },
          py::arg("i"))
      .def("flat_parameters",
           [](const py::object& s) { return view(stored<T>(s).values.data(), {stored<T>(s).size()}, false, true, s); })
      .def("flat_gradients", [](const py::object& s) {
        return view(stored<T>(s).gradients.data(), {stored<T>(s).size()}, false, true, s);
      });
}

template <class T>
void bind_network(py::module_& m, const char* name) {
  using M = Model<T>;
  NetworkClass<T> network(m, name);
  network.def(py::init<nn::Block, std::uint64_t>(), py::arg("block"), py::arg("seed"))
      .def_property_readonly("in_features", [](const M& s) { return s.network().block(0).in_features(); })
      .def_property(
          "seed", [](const M& s) { return s.network().seed(); }, &M::set_seed)
      .def_readwrite("epochs", &M::epochs)
      .def_readwrite("passes", &M::passes)
      .def_property_readonly("parameters", [](const M& s) { return names_of(s.network().parameters()->list); })
      .def_property_readonly("buffers", [](const M& s) { return names_of(s.network().parameters()->buffer_list); })
      .def(
          "access",
          [](const std::shared_ptr<M>& s, const char* call) {
            return std::make_unique<HeldAccess>(nn::find_call(call, false), s->guards(), s);
          },
          py::arg("call"))
      .def_property_readonly("fits", [](const M& s) { return nn::fits(s.network().parameters()->access); })
      .def_property_readonly("accesses", [](const M& s) { return s.network().parameters()->access.count(); })
      .def(
          "check_accesses",
          [](const M& s, std::uint64_t count) {
            if (s.network().parameters()->access.count() != count) throw std::runtime_error(nn::kNetworkInUse);
          },
          py::arg("count"))
      .def("set_frozen", &M::set_frozen, py::arg("layer"), py::arg("frozen"))
      .def("out_features", &out_features<T>)
      .def("infer", &infer<T>, py::arg("block"), py::arg("x"), py::arg("out") = py::none())
      .def("forward", &forward<T>, py::arg("x"))
      .def("backward", &backward<T>, py::arg("delta"))
      .def("jacobian", &jacobian<T>, py::arg("x"))
      .def("input_gradient", &input_gradient<T>, py::arg("x"), py::arg("delta"))
      .def("node", &node<T>, py::arg("x"), py::arg("owner"))
      .def("learn", &learn<T>, py::arg("block"), py::arg("x"))
      .def("activations", [](const M& s) { return kept(s, false); })
      .def("deltas", [](const M& s) { return kept(s, true); });
  bind_arrays<T>(network);
}

}  // namespace

void bind_networks(py::module_& m) {
  bind_network<float>(m, "Network32");
  bind_network<double>(m, "Network64");
}

}  // namespace deltaprop::python
