#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/nn/activation.hpp"
#include "deltaprop/nn/block.hpp"
#include "deltaprop/nn/dropout.hpp"
#include "deltaprop/nn/embedding.hpp"
#include "deltaprop/nn/initialise.hpp"
#include "deltaprop/nn/linear.hpp"
#include "deltaprop/nn/normalise.hpp"
#include "deltaprop/nn/prelu.hpp"
#include "deltaprop/nn/standardize.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

/// A layer written in Python. It gets copies of its arrays, so references that it keeps remain valid, and the whole
/// batch at once, with the GIL held.
class PythonLayer final : public nn::BothPrecisions<PythonLayer> {
 public:
  /// Holds a weak reference: the Python network owns both the layer and this object.
  PythonLayer(const py::object& layer, std::string name, Index in_features, Index out_features,
              std::vector<std::pair<std::string, std::vector<Index>>> parameters)
      : layer_(layer), name_(std::move(name)), in_(in_features), out_(out_features) {
    for (auto& [key, shape] : parameters) parameters_.push_back({std::move(key), std::move(shape), false});
  }

  /// Its repr, evaluated only for messages: it may show parameters, which are created after this object.
  std::string describe() const override {
    const WithGil gil;
    try {
      return py::repr(target()).cast<std::string>();
    } catch (py::error_already_set&) {
      return name_;
    }
  }
  Index in_features() const override { return in_; }
  Index out_features(Index in) const override { return out_ == nn::kAnyWidth ? in : out_; }
  std::vector<ParameterShape> parameters() const override { return parameters_; }
  bool rowwise(bool) const override { return false; }
  bool always_backward() const override { return true; }

  std::vector<Range> gradient_tiles() const override {
    std::vector<Range> tiles;
    Index end = 0;
    for (const ParameterShape& p : parameters_) {
      tiles.push_back({end, end + p.size()});
      end += p.size();
    }
    return tiles;
  }

  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    const WithGil gil;
    take<T>(call(target().attr("forward"), py::dict(), copy<T>(f.x), f.training), f.y, "forward");
  }

  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    const WithGil gil;
    if (!b.accumulate) std::fill_n(b.gradients, gradient_size(), T(0));
    Matrix<T> delta = b.delta_x;
    std::vector<T> unwanted;
    if (delta.data == nullptr) {
      unwanted.resize(static_cast<std::size_t>(b.x.size()));
      delta = {unwanted.data(), b.x.rows, b.x.cols};
    }
    take<T>(call(target().attr("backward"), py::dict(), copy<T>(b.delta_y)), delta, "backward");
  }

 private:
  Index gradient_size() const {
    Index size = 0;
    for (const ParameterShape& p : parameters_) size += p.size();
    return size;
  }

  py::object target() const {
    py::object layer = layer_();
    if (layer.is_none()) throw std::runtime_error(name_ + ": expected its network to be alive still");
    return layer;
  }

  template <class T>
  static py::array_t<T> copy(Matrix<const T> m) {
    py::array_t<T> array = fresh<T>({m.rows, m.cols});
    std::copy_n(m.data, m.size(), array.mutable_data());
    return array;
  }

  template <class T>
  void take(const py::object& result, Matrix<T> into, const char* method) const {
    const std::string name = describe() + "." + method;
    const py::array array = returned(result);
    check_returned(array, result, {into.rows, into.cols}, name);
    gather<T>(table(array, name.c_str()), nullptr, 0, into);
  }

  py::weakref layer_;
  std::string name_;
  Index in_, out_;
  std::vector<ParameterShape> parameters_;
};

}  // namespace

void bind_layers(py::module_& m) {
  using nn::Layer;
  py::class_<Layer, std::shared_ptr<Layer>>(m, "Layer").def("describe", &Layer::describe);
  py::class_<nn::Block>(m, "Block")
      .def(py::init<std::shared_ptr<Layer>>(), py::arg("layer"))
      .def(py::init([](const std::string& kind, std::vector<nn::Block> children) {
             return nn::Block(nn::block_kind(kind), std::move(children));
           }),
           py::arg("kind"), py::arg("children"));
  py::class_<nn::Linear, Layer, std::shared_ptr<nn::Linear>>(m, "Linear")
      .def(py::init([](Index in_features, Index out_features, bool bias, const std::string& init) {
             return std::make_shared<nn::Linear>(in_features, out_features, bias, nn::Initialiser(init));
           }),
           py::arg("in_features"), py::arg("out_features"), py::arg("bias"), py::arg("init"));
  py::class_<nn::Activation, Layer, std::shared_ptr<nn::Activation>>(m, "Activation")
      .def(py::init<const std::string&, const std::vector<double>&, std::string>(), py::arg("name"), py::arg("options"),
           py::arg("description"));
  py::class_<nn::PReLU, Layer, std::shared_ptr<nn::PReLU>>(m, "PReLU")
      .def(py::init<Index, double>(), py::arg("num_parameters"), py::arg("init"));
  py::class_<nn::BatchNorm, Layer, std::shared_ptr<nn::BatchNorm>>(m, "BatchNorm")
      .def(py::init<Index, double, std::optional<double>, bool, std::string>(), py::arg("features"), py::arg("eps"),
           py::arg("momentum"), py::arg("affine"), py::arg("description"));
  py::class_<nn::RowNorm, Layer, std::shared_ptr<nn::RowNorm>>(m, "RowNorm")
      .def(py::init<bool, Index, std::optional<double>, bool, bool, std::string>(), py::arg("centred"),
           py::arg("features"), py::arg("eps"), py::arg("weight"), py::arg("bias"), py::arg("description"));
  py::class_<nn::Dropout, Layer, std::shared_ptr<nn::Dropout>>(m, "Dropout")
      .def(py::init<const std::string&, double>(), py::arg("name"), py::arg("p"));
  py::class_<nn::Embedding, Layer, std::shared_ptr<nn::Embedding>>(m, "Embedding")
      .def(py::init<Index, Index, std::optional<Index>, std::string>(), py::arg("embeddings"), py::arg("dim"),
           py::arg("padding"), py::arg("description"));
  py::class_<nn::Standardize, Layer, std::shared_ptr<nn::Standardize>>(m, "Standardize")
      .def(py::init<Index, std::string>(), py::arg("features"), py::arg("description"));
  py::class_<PythonLayer, Layer, std::shared_ptr<PythonLayer>>(m, "PythonLayer")
      .def(py::init<py::object, std::string, Index, Index, std::vector<std::pair<std::string, std::vector<Index>>>>(),
           py::arg("layer"), py::arg("name"), py::arg("in_features"), py::arg("out_features"), py::arg("parameters"));
}

}  // namespace deltaprop::python
