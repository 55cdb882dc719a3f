#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/train/fit.hpp"
#include "gil.hpp"
#include "losses.hpp"

namespace deltaprop::python {
namespace {

using train::Data;

/// x, y and weights as the caller keeps them.
using Arrays = std::tuple<py::array, py::array, std::optional<py::array>>;
/// The same, held out, with the loss to judge them by: a loss written in Python is told how its y was shaped.
using Validation = std::tuple<py::array, py::array, std::optional<py::array>, std::shared_ptr<nn::Loss>>;
using Stop = std::tuple<double, bool, std::shared_ptr<nn::Loss>>;

void check_targets(const nn::Loss& loss, const std::vector<Index>& outputs, const py::array& y, const char* name) {
  const Source source = targets_source(loss, outputs, y, name);
  if (loss.target_kind() == nn::TargetKind::classes && loss.targets_fit_outputs()) {
    train::check_classes(source, outputs.back(), name);
  }
}

/// Checks everything about a set of data that can be checked before the first step.
template <class T>
Data data_of(const train::Model<T>& model, const nn::Loss& loss, const Arrays& arrays, const char* x_name,
             const char* y_name, bool check_rows) {
  const auto& [x, y, weights] = arrays;
  const std::vector<Index> shape = shape_of(x);
  if (shape.size() == 1) {
    throw ValueError(std::string(x_name) + ": expected (N, features), got " + shape_text(shape) +
                     "; for one feature use X.reshape(-1, 1)");
  }
  model.network().check_input(model.network().all(), shape);
  if (shape[0] == 0) throw ValueError(std::string(x_name) + ": expected one row or more, got " + shape_text(shape));
  if (y.ndim() == 0 || y.shape(0) != shape[0]) {
    throw ValueError(std::string(y_name) + ": expected " + std::to_string(shape[0]) + " rows, as " + x_name +
                     " has, got shape " + shape_text(shape_of(y)));
  }
  const std::vector<Index> outputs{shape[0], model.network().widths(shape[1]).back()};
  Data data{.x = table(x, x_name), .y = targets_source(loss, outputs, y, y_name), .check_rows = check_rows};
  check_targets(loss, outputs, y, y_name);
  if (weights) {
    data.weights = weights_source(*weights, shape[0]);
    train::check_weights(*data.weights);
  }
  if (!check_rows) {
    train::check_finite<T>(data.x, x_name);
    if (loss.target_kind() == nn::TargetKind::values) train::check_finite<T>(data.y, y_name);
  }
  return data;
}

template <class T>
py::dict fit(train::Model<T>& model, optim::Optimizer<T>& optimizer, const nn::Loss& loss, const Arrays& arrays,
             bool check_rows, Index epochs, Index batch_size, bool shuffle, std::optional<std::uint64_t> seed,
             const std::optional<Validation>& validation, const std::optional<Stop>& stop,
             const py::object& epoch_end) {
  if (epochs < 0) throw ValueError("fit: expected epochs >= 0, got " + std::to_string(epochs));
  if (batch_size < 1) throw ValueError("fit: expected batch_size >= 1, got " + std::to_string(batch_size));
  if (optimizer.parameters() != model.network().parameters()) {
    throw ValueError("fit: expected an optimizer of this network's parameters, got one of another network's");
  }
  const Data data = data_of(model, loss, arrays, "X", "y", check_rows);
  std::optional<Data> held_out;
  if (validation) {
    const auto& [x, y, weights, judge] = *validation;
    held_out = data_of(model, *judge, {x, y, weights}, "validation_data X", "validation_data y", false);
  }

  train::FitOptions options{.epochs = epochs, .batch_size = batch_size, .shuffle = shuffle, .seed = seed};
  if (held_out) {
    options.validation = &*held_out;
    options.validation_loss = std::get<3>(*validation).get();
  }
  if (stop) {
    const auto& [eps, every_update, stop_loss] = *stop;
    if (stop_loss) {
      check_targets(*stop_loss, {data.x.rows, model.network().widths(data.x.cols).back()}, std::get<1>(arrays), "y");
    }
    options.stop = train::StopOnPlateau{eps, every_update, stop_loss.get()};
  }
  if (!epoch_end.is_none()) {
    options.epoch_end = [&](const train::History& h) {
      const WithGil gil;
      const py::object val_loss = h.val_loss.empty() ? py::object(py::none()) : py::float_(h.val_loss.back());
      return call(epoch_end, py::dict(), h.epochs, h.updates, h.loss.back(), val_loss, h.lr.back()).cast<bool>();
    };
  }
  options.poll = [] {
    const WithGil gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };

  train::History history;
  {
    const WithoutGil released;
    history = train::fit(model, optimizer, loss, data, options);
  }
  py::dict result;
  result["loss"] = history.loss;
  if (held_out) result["val_loss"] = history.val_loss;
  result["lr"] = history.lr;
  result["stop_losses"] = history.stop_losses;
  result["epochs"] = history.epochs;
  result["updates"] = history.updates;
  result["stop_reason"] = history.stop_reason;
  return result;
}

template <class T>
void bind_fit_as(py::module_& m) {
  m.def("fit", &fit<T>, py::arg("network"), py::arg("optimizer"), py::arg("loss"), py::arg("data"),
        py::arg("check_rows"), py::arg("epochs"), py::arg("batch_size"), py::arg("shuffle"), py::arg("seed"),
        py::arg("validation"), py::arg("stop"), py::arg("epoch_end"));
}

}  // namespace

void bind_fit(py::module_& m) {
  bind_fit_as<float>(m);
  bind_fit_as<double>(m);
}

}  // namespace deltaprop::python
