#include <pybind11/stl.h>

#include <algorithm>
#include <numeric>

#include "bindings.hpp"
#include "deltaprop/train/loss_evaluation.hpp"
#include "gil.hpp"
#include "losses.hpp"

namespace deltaprop::python {
namespace {

/// A loss written in Python. It gets a copy of the whole batch, with the GIL held, and y in the caller's shape. Its
/// value is stored as the first row's sum, as only the loss itself can reduce over rows. `mean`: its value is part of a
/// mean over several batches, weighted by the weights of its rows.
class PythonLoss final : public nn::Loss {
 public:
  PythonLoss(py::object loss, std::string description, const py::array& y, bool mean)
      : nn::Loss(mean ? nn::Reduction::mean : nn::Reduction::sum, 1.0),
        loss_(std::move(loss)),
        description_(std::move(description)),
        dtype_(y.dtype()),
        shape_(shape_of(y)) {}

  std::string describe() const override { return description_; }
  nn::TargetKind target_kind() const override { return nn::TargetKind::raw; }
  Index elements(Index) const override { return 1; }
  bool rowwise() const override { return false; }
  void run(const nn::LossCall<float>& c) const override { call(c); }
  void run(const nn::LossCall<double>& c) const override { call(c); }

 private:
  template <class T>
  void call(const nn::LossCall<T>& c) const {
    const WithGil gil;
    const Index rows = c.outputs.rows;
    const py::array outputs = copy(c.outputs.data, {rows, c.outputs.cols});
    std::vector<py::ssize_t> shape(shape_.begin(), shape_.end());
    shape.front() = rows;
    const py::array y(dtype_, shape);
    std::copy_n(c.targets.raw.data, c.targets.raw.size(), static_cast<std::uint8_t*>(py::array(y).mutable_data()));
    py::dict options;
    if (c.weights != nullptr) options["sample_weight"] = copy(c.weights, {rows});
    if (c.values != nullptr) {
      const py::object value = python::call(loss_, options, outputs, y);
      std::fill_n(c.values, rows, 0.0);
      if (!is_number(value)) {
        throw TypeError(description_ + ": expected a number back, got " + type_name(value));
      }
      c.values[0] = PyFloat_AsDouble(value.ptr());
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      c.values[0] *= share(c);
    }
    if (c.deltas.data == nullptr) return;
    const py::object result = python::call(loss_.attr("delta"), options, outputs, y);
    const py::array delta = returned(result);
    check_returned(delta, result, {rows, c.outputs.cols}, description_ + ".delta");
    gather<T>(table(delta, (description_ + ".delta").c_str()), nullptr, 0, c.deltas);
    const T scale = static_cast<T>(c.scale * share(c));
    if (scale != 1) std::for_each_n(c.deltas.data, c.deltas.size(), [scale](T& d) { d *= scale; });
  }

  /// Total weight of the rows, if the loss is part of a mean.
  template <class T>
  double share(const nn::LossCall<T>& c) const {
    if (reduction() == nn::Reduction::sum) return 1;
    if (c.weights == nullptr) return static_cast<double>(c.outputs.rows);
    return std::accumulate(c.weights, c.weights + c.outputs.rows, 0.0);
  }

  static bool is_number(const py::object& value) {
    const PyNumberMethods* methods = Py_TYPE(value.ptr())->tp_as_number;
    const bool converts = methods != nullptr && (methods->nb_float != nullptr || methods->nb_index != nullptr);
    return converts && !(py::isinstance<py::array>(value) && value.cast<py::array>().ndim() > 0);
  }

  template <class T>
  static py::array copy(const T* data, const std::vector<Index>& shape) {
    py::array_t<T> array = fresh<T>(shape);
    std::copy_n(data, array.size(), array.mutable_data());
    return array;
  }

  py::object loss_;
  std::string description_;
  py::dtype dtype_;
  std::vector<Index> shape_;  // of the whole y
};

/// One manual evaluation: the loss, or its delta.
template <class T>
py::object evaluate_loss(const nn::Loss& loss, const py::array& a, const py::array& y,
                         const std::optional<py::array>& weights, bool delta) {
  const std::vector<Index> shape = shape_of(a);
  if (shape.size() != 1 && shape.size() != 2) {
    throw ValueError(loss.describe() + ": expected outputs (N, features), got " + shape_text(shape));
  }
  const StridedView outputs = one_or_more_rows(a, "outputs");
  train::Targets targets{.y = targets_source(loss, shape, y, "y"), .weights = std::nullopt};
  if (weights) targets.weights = weights_source(*weights, outputs.rows);
  Pins pins;
  pins.add(a);
  pins.add(y);
  if (weights) pins.add(*weights);
  {
    const WithoutGil released;
    const InterruptCheck check_interrupt = SignalCheck();
    if (weights) train::check_weights<T>(*targets.weights, check_interrupt);
  }
  if (delta) {
    py::array_t<T> result = fresh<T>(shape);
    train::loss_delta(loss, outputs, targets, result.mutable_data());
    return result;
  }
  if (loss.reduction() != nn::Reduction::none) return py::float_(train::loss_value<T>(loss, outputs, targets));
  std::vector<Index> elements(shape.begin(), shape.end() - 1);
  if (!loss.per_row(shape.back())) elements.push_back(loss.elements(shape.back()));
  py::array_t<T> result = fresh<T>(elements);
  train::loss_elements(loss, outputs, targets, result.mutable_data());
  return result;
}

/// float32 outputs are compared in float32, all others in float64.
py::object call_either(const nn::Loss& loss, const py::array& a, const py::array& y,
                       const std::optional<py::array>& weights, bool delta) {
  return dtype_of(a, "outputs") == Dtype::float32 ? evaluate_loss<float>(loss, a, y, weights, delta)
                                                  : evaluate_loss<double>(loss, a, y, weights, delta);
}

}  // namespace

StridedView targets_source(const nn::Loss& loss, const std::vector<Index>& outputs, const py::array& y,
                           const char* name) {
  const std::vector<Index> shape = shape_of(y);
  const Index cols = loss.target_cols(outputs.back());
  const auto refuse = [&](const std::vector<Index>& expected) {
    return ValueError(loss.describe() + ": expected " + name + " " + shape_text(expected) + " for outputs " +
                      shape_text(outputs) + ", got " + shape_text(shape));
  };
  if (loss.target_kind() == nn::TargetKind::raw) {
    if ((y.flags() & py::array::c_style) == 0) throw ValueError(std::string(name) + ": expected a contiguous array");
    const Index rows = std::max<Index>(y.shape(0), 1);
    return {static_cast<const std::byte*>(y.data()), Dtype::uint8, y.shape(0), y.nbytes() / rows, y.nbytes() / rows, 1};
  }
  if (loss.target_kind() == nn::TargetKind::values) {
    const bool column_of_one = outputs.size() == 2 && cols == 1 && shape.size() == 1 && shape[0] == outputs[0];
    if (column_of_one) return column(y, name);
    std::vector<Index> expected(outputs.begin(), outputs.end() - 1);
    expected.push_back(cols);
    if (shape != expected) throw refuse(expected);
    return one_or_more_rows(y, name);
  }
  const Dtype dtype = dtype_of(y, name);
  const std::vector<Index> expected(outputs.begin(), outputs.end() - 1);
  if (is_floating(dtype)) {
    throw TypeError(loss.describe() + ": expected " + name + " of integer classes " + shape_text(expected) +
                    ", got dtype " + py::str(y.dtype()).cast<std::string>());
  }
  if (shape != expected) throw refuse(expected);
  return shape.empty() ? cell(y, name) : column(y, name);
}

StridedView weights_source(const py::array& weights, Index rows) {
  if (shape_of(weights) != std::vector<Index>{rows}) {
    throw ValueError("sample_weight: expected " + shape_text({rows}) + ", got " + shape_text(shape_of(weights)));
  }
  return column(weights, "sample_weight");
}

void bind_losses(py::module_& m) {
  using nn::Loss;
  py::class_<Loss, std::shared_ptr<Loss>>(m, "Loss")
      .def(
          "value",
          [](const Loss& l, const py::array& a, const py::array& y, const std::optional<py::array>& w) {
            return call_either(l, a, y, w, false);
          },
          py::arg("outputs"), py::arg("y"), py::arg("sample_weight"))
      .def(
          "delta",
          [](const Loss& l, const py::array& a, const py::array& y, const std::optional<py::array>& w) {
            return call_either(l, a, y, w, true);
          },
          py::arg("outputs"), py::arg("y"), py::arg("sample_weight"));
  py::class_<nn::NamedLoss, Loss, std::shared_ptr<nn::NamedLoss>>(m, "NamedLoss")
      .def(py::init([](const std::string& name, const std::string& reduction, double factor,
                       std::vector<double> numbers, std::vector<double> column_weights, std::int64_t ignored_class) {
             return std::make_shared<nn::NamedLoss>(
                 name, nn::reduction(reduction), factor,
                 nn::LossOptions{std::move(numbers), std::move(column_weights), ignored_class});
           }),
           py::arg("name"), py::arg("reduction"), py::arg("factor"), py::arg("numbers") = std::vector<double>(),
           py::arg("column_weights") = std::vector<double>(), py::arg("ignored_class") = -1);
  py::class_<PythonLoss, Loss, std::shared_ptr<PythonLoss>>(m, "PythonLoss")
      .def(py::init<py::object, std::string, const py::array&, bool>(), py::arg("loss"), py::arg("description"),
           py::arg("y"), py::arg("mean"));
}

}  // namespace deltaprop::python
