#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/train/model.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

using train::Model;

/// The output's shape for an input's: (in,) gives (out,), (N, in) gives (N, out).
std::vector<Index> with_width(std::vector<Index> shape, Index width) {
  shape.back() = width;
  return shape;
}

template <class T>
py::array infer(const Model<T>& model, Range layers, const py::array& x) {
  model.network().check_input(layers, shape_of(x));
  const Source source = one_or_more_rows(x, "x");
  const Index width = model.network().widths(layers, source.cols).back();
  py::array_t<T> out = fresh<T>(with_width(shape_of(x), width));
  const Matrix<T> into{out.mutable_data(), source.rows, width};
  {
    const WithoutGil released;
    const std::function<void()> poll = SignalPoll();
    model.infer_through(layers, source, into, &poll);
  }
  return out;
}

template <class T>
py::array forward(Model<T>& model, const py::array& x) {
  model.network().check_input(model.network().all(), shape_of(x));
  const Source source = one_or_more_rows(x, "x");
  const Busy::Claim claim(model.passing);
  {
    const WithoutGil released;
    const std::function<void()> poll = SignalPoll();
    model.forward(source, &poll);
  }
  const Matrix<const T> a = model.output();
  py::array_t<T> out = fresh<T>(with_width(shape_of(x), a.cols));
  std::copy_n(a.data, a.size(), out.mutable_data());
  return out;
}

template <class T>
py::array backward(Model<T>& model, const py::array& delta) {
  model.network().parameters()->busy.check();
  const Busy::Claim claim(model.passing);
  const Matrix<const T> a = model.output();
  const std::vector<Index> shape = shape_of(delta);
  const bool one_row = a.rows == 1 && shape == std::vector<Index>{a.cols};
  if (!one_row && shape != std::vector<Index>{a.rows, a.cols}) {
    throw ValueError("backward: expected delta " + shape_text({a.rows, a.cols}) + ", the shape of the output, got " +
                     shape_text(shape));
  }
  const Source source = one_or_more_rows(delta, "delta");
  {
    const WithoutGil released;
    model.backward(source);
  }
  const Matrix<const T> d = model.deltas().delta(0);
  py::array_t<T> out = fresh<T>(with_width(shape, d.cols));
  std::copy_n(d.data, d.size(), out.mutable_data());
  return out;
}

/// Read-only arrays over the pass's buffers, which stay valid, though not in use, after a larger batch took new ones.
template <class T>
py::list kept(const Model<T>& model, bool deltas) {
  model.network().parameters()->busy.check();
  const Busy::Claim claim(model.passing);
  const engine::Workspace<T>& w = deltas ? model.deltas() : model.activations();
  py::list arrays;
  for (Index i = 1; i <= model.network().size(); ++i) {
    const Buffer<T>& buffer = deltas ? w.delta_buffer(i) : w.a_buffer(i);
    arrays.append(view(buffer.data(), {w.rows(), w.width(i)}, false, false, keep(buffer.owner())));
  }
  return arrays;
}

template <class T>
void bind_network(py::module_& m, const char* name) {
  using M = Model<T>;
  const auto parameter_view = [](py::object self, Index i, const Buffer<T>& (*buffer)(const Parameters<T>&)) {
    const auto& parameters = *self.cast<M&>().network().parameters();
    const Parameter& p = parameters.list.at(static_cast<std::size_t>(i));
    return view(buffer(parameters).data() + p.range.begin, p.shape.shape, p.shape.transposed, true, self);
  };
  static constexpr auto values = [](const Parameters<T>& p) -> const Buffer<T>& { return p.values; };
  static constexpr auto gradients = [](const Parameters<T>& p) -> const Buffer<T>& { return p.gradients; };

  py::class_<M, std::shared_ptr<M>>(m, name)
      .def(py::init<std::vector<std::shared_ptr<nn::Layer>>, std::uint64_t>(), py::arg("layers"), py::arg("seed"))
      .def_property_readonly("in_features", [](const M& s) { return s.network().in_features(); })
      .def_property_readonly("seed", [](const M& s) { return s.network().seed(); })
      .def_readwrite("epochs", &M::epochs)
      .def_property_readonly("parameters",
                             [](const M& s) {
                               py::list list;
                               for (const Parameter& p : s.network().parameters()->list) {
                                 list.append(py::make_tuple(p.layer, p.shape.name));
                               }
                               return list;
                             })
      .def("check_idle", [](const M& s) { s.network().parameters()->busy.check(); })
      .def(
          "widths", [](const M& s, Index in) { return s.network().widths(in); }, py::arg("in_features"))
      .def(
          "infer", [](const M& s, const py::array& x) { return infer<T>(s, s.network().all(), x); }, py::arg("x"))
      .def(
          "infer_layer",
          [](const M& s, Index layer, const py::array& x) {
            if (layer < 0 || layer >= s.network().size()) throw py::index_error("no such layer");
            return infer<T>(s, {layer, layer + 1}, x);
          },
          py::arg("layer"), py::arg("x"))
      .def("forward", &forward<T>, py::arg("x"))
      .def("backward", &backward<T>, py::arg("delta"))
      .def("activations", [](const M& s) { return kept(s, false); })
      .def("deltas", [](const M& s) { return kept(s, true); })
      .def(
          "value", [parameter_view](py::object s, Index i) { return parameter_view(s, i, values); }, py::arg("i"))
      .def(
          "grad", [parameter_view](py::object s, Index i) { return parameter_view(s, i, gradients); }, py::arg("i"))
      .def("flat_parameters",
           [](py::object s) {
             const auto& p = *s.cast<M&>().network().parameters();
             return view(p.values.data(), {p.size()}, false, true, s);
           })
      .def("flat_gradients", [](py::object s) {
        const auto& p = *s.cast<M&>().network().parameters();
        return view(p.gradients.data(), {p.size()}, false, true, s);
      });
}

}  // namespace

void bind_networks(py::module_& m) {
  bind_network<float>(m, "Network32");
  bind_network<double>(m, "Network64");
}

}  // namespace deltaprop::python
