#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/runtime/model.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

using runtime::Model;

/// Inference with minimal call overhead, for a network that is not trained meanwhile.
class Predictor {
 public:
  virtual ~Predictor() = default;
  virtual PyObject* call(PyObject* x, PyObject* out) = 0;
};

template <class T>
class PredictorOf final : public Predictor {
 public:
  /// `owner`: the network's Python object, which handles all inputs that the fast path does not.
  PredictorOf(std::shared_ptr<Model<T>> model, py::object owner) : model_(std::move(model)), owner_(std::move(owner)) {
    const nn::Network<T>& network = model_->network();
    const std::vector<Index> in = network.block(0).inputs();
    if (in.size() != 1 || in[0] < 0) return;
    in_ = in[0];
    auto inference = std::make_unique<runtime::Inference<T>>(network, network.resolve_inputs(0, {{in_}}), in);
    if (!inference->rowwise() || inference->out_features().size() != 1) return;
    out_ = inference->out_features()[0];
    operations_ = static_cast<double>(network.parameters()->size());
    inference_ = std::move(inference);
  }

  PyObject* call(PyObject* x, PyObject* out) override {
    if (inference_) {
      if (PyObject* result = fast_call(x, out)) return result;
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    }
    return owner_(py::handle(x), py::handle(out)).release().ptr();
  }

 private:
  static constexpr Index kNumbers = 1 << 15;  // size of the thread-local workspace
  static constexpr int kWritable = py::detail::npy_api::NPY_ARRAY_WRITEABLE_;

  static const py::detail::npy_api& numpy() {
    static const auto& api = py::detail::npy_api::get();
    return api;
  }
  static PyObject* descriptor() {
    static PyObject* const own = py::dtype::of<T>().release().ptr();
    return own;
  }

  /// The array if it has the network's dtype, is C-contiguous and has the flags; else null.
  static const py::detail::PyArray_Proxy* plain(PyObject* object, int flags) {
    if (Py_TYPE(object) != numpy().PyArray_Type_) return nullptr;
    const auto* array = py::detail::array_proxy(object);
    flags |= py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    const bool fits = array->descr == descriptor() && (array->flags & flags) == flags && array->nd > 0 && array->nd < 3;
    return fits ? array : nullptr;
  }

  /// A new array: (out,) if x is (in,), else (rows, out).
  PyObject* empty(const py::detail::PyArray_Proxy& x) const {
    Py_intptr_t shape[] = {x.dimensions[0], x.dimensions[0]};
    shape[x.nd - 1] = out_;
    return numpy().PyArray_NewFromDescr_(numpy().PyArray_Type_, Py_NewRef(descriptor()), x.nd, shape, nullptr, nullptr,
                                         0, nullptr);
  }

  /// Null, without an exception, if x or out is not a plain array or has too many rows: then the owner handles it.
  PyObject* fast_call(PyObject* x_object, PyObject* out_object) const {
    const auto* x = plain(x_object, 0);
    if (x == nullptr || x->dimensions[x->nd - 1] != in_) return nullptr;
    const Index rows = x->nd == 1 ? 1 : x->dimensions[0];
    if (rows == 0 || rows * inference_->numbers_a_row() > kNumbers) return nullptr;
    py::object result;
    if (out_object == Py_None) {
      result = py::reinterpret_steal<py::object>(empty(*x));
      if (!result) return nullptr;
    } else {
      const auto* out = plain(out_object, kWritable);
      if (out == nullptr || out->nd != x->nd || out->dimensions[out->nd - 1] != out_) return nullptr;
      if (x->nd == 2 && out->dimensions[0] != rows) return nullptr;
      const T *from = reinterpret_cast<const T*>(x->data), *to = reinterpret_cast<const T*>(out->data);
      if (from < to + rows * out_ && to < from + rows * in_) return nullptr;
      result = py::reinterpret_borrow<py::object>(out_object);
    }
    static thread_local const Buffer<T> memory(kNumbers);
    const StridedView source{reinterpret_cast<const std::byte*>(x->data),
                             sizeof(T) == 4 ? Dtype::float32 : Dtype::float64,
                             rows,
                             in_,
                             in_ * Index{sizeof(T)},
                             sizeof(T)};
    const Matrix<T> into{reinterpret_cast<T*>(py::detail::array_proxy(result.ptr())->data), rows, out_};
    const auto run = [&] { inference_->run(std::span(&source, 1), std::span(&into, 1), memory.data()); };
    if (static_cast<double>(rows) * operations_ < 1e5) {
      run();
    } else {
      Pins pins;
      pins.add(py::reinterpret_borrow<py::array>(x_object));
      pins.add(py::reinterpret_borrow<py::array>(result));
      const WithoutGil released;
      run();
    }
    return result.release().ptr();
  }

  std::shared_ptr<Model<T>> model_;
  py::object owner_;
  Index in_ = 0, out_ = 0;
  double operations_ = 0;  // per row
  std::unique_ptr<runtime::Inference<T>> inference_;
};

/// tp_call of predictor(x, out=None): pybind11's dispatch takes longer than a small network.
PyObject* call_predictor(PyObject* self, PyObject* args, PyObject* options) {
  try {
    PyObject* out = Py_None;
    Py_ssize_t known = 0;
    if (options != nullptr) {
      if (PyObject* given = PyDict_GetItemString(options, "out")) out = given, known = 1;
    }
    if (PyTuple_GET_SIZE(args) != 1 || (options != nullptr && PyDict_GET_SIZE(options) != known)) {
      throw TypeError("predictor: expected arguments (x, out=None)");
    }
    auto* predictor = reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder().value_ptr<Predictor>();
    return predictor->call(PyTuple_GET_ITEM(args, 0), out);
  } catch (...) {
    py::detail::try_translate_exceptions();
    return nullptr;
  }
}

template <class T>
std::unique_ptr<Predictor> predictor(std::shared_ptr<Model<T>> model, py::object owner) {
  return std::make_unique<PredictorOf<T>>(std::move(model), std::move(owner));
}

}  // namespace

void bind_predictor(py::module_& m) {
  py::class_<Predictor> type(m, "Predictor", py::is_final(), py::custom_type_setup([](PyHeapTypeObject* made) {
                               made->ht_type.tp_call = call_predictor;
                               made->ht_type.tp_flags |= Py_TPFLAGS_DISALLOW_INSTANTIATION;
                             }));
  type.attr("__module__") = "deltaprop.nn";
  m.def("predictor", &predictor<float>, py::arg("network"), py::arg("owner"));
  m.def("predictor", &predictor<double>, py::arg("network"), py::arg("owner"));
}

}  // namespace deltaprop::python
