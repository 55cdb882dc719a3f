#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/train/fit.hpp"
#include "deltaprop/train/judge.hpp"
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

/// Sources for a set of data, its shapes checked.
template <class T>
Data data_of(const train::Model<T>& model, const nn::Loss& loss, const Arrays& arrays, const char* x_name,
             const char* y_name) {
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
  Data data{.x = table(x, x_name), .y = targets_source(loss, outputs, y, y_name)};
  if (weights) data.weights = weights_source(*weights, shape[0]);
  return data;
}

/// Looks through the targets that a loss is to take for what could do harm later; without the GIL.
template <class T>
void check_targets(const Data& data, const nn::Loss& loss, Index outputs, const std::string& name,
                   const train::Poll& poll) {
  const bool later = data.check_y_rows && loss.target_kind() == nn::TargetKind::values;
  if (!later) train::check_targets<T>(loss, data.y, outputs, name, poll);
}

/// The same for a whole set of data.
template <class T>
void check_values(const Data& data, const nn::Loss& loss, Index outputs, const std::string& x_name,
                  const std::string& y_name, const train::Poll& poll) {
  if (!data.check_x_rows) train::check_finite<T>(data.x, x_name, poll);
  check_targets<T>(data, loss, outputs, y_name, poll);
  if (data.weights) train::check_weights<T>(*data.weights, poll);
}

template <class T>
py::dict fit(train::Model<T>& model, optim::Optimizer<T>& optimizer, const nn::Loss& loss, const Arrays& arrays,
             std::pair<bool, bool> check_rows, Index epochs, Index batch_size, bool shuffle,
             std::optional<std::uint64_t> seed, const std::optional<Validation>& validation,
             const std::optional<Stop>& stop, const py::object& epoch_end) {
  if (epochs < 0) throw ValueError("fit: expected epochs >= 0, got " + std::to_string(epochs));
  if (batch_size < 1) throw ValueError("fit: expected batch_size >= 1, got " + std::to_string(batch_size));
  if (optimizer.parameters() != model.network().parameters()) {
    throw ValueError("fit: expected an optimizer of this network's parameters, got one of another network's");
  }
  Data data = data_of(model, loss, arrays, "X", "y");
  data.check_x_rows = check_rows.first;
  data.check_y_rows = check_rows.second;
  std::optional<Data> held_out, stop_data;
  if (validation) {
    const auto& [x, y, weights, judge] = *validation;
    held_out = data_of(model, *judge, {x, y, weights}, "validation_data X", "validation_data y");
  }

  const Index outputs = model.network().widths(data.x.cols).back();
  train::FitOptions options{.epochs = epochs, .batch_size = batch_size, .shuffle = shuffle, .seed = seed};
  if (held_out) {
    options.validation = &*held_out;
    options.validation_loss = std::get<3>(*validation).get();
  }
  if (stop) {
    const auto& [eps, every_update, stop_loss] = *stop;
    options.stop = train::StopOnPlateau{eps, every_update};
    if (stop_loss) {
      stop_data = data;
      stop_data->y = targets_source(*stop_loss, {data.x.rows, outputs}, std::get<1>(arrays), "y");
      options.stop->loss = stop_loss.get();
      options.stop->data = &*stop_data;
    }
  }
  if (!epoch_end.is_none()) {
    options.epoch_end = [&](const train::History& h) {
      const WithGil gil;
      const py::object val_loss = h.val_loss.empty() ? py::object(py::none()) : py::float_(h.val_loss.back());
      return call(epoch_end, py::dict(), h.epochs, h.updates, h.loss.back(), val_loss, h.lr.back()).cast<bool>();
    };
  }
  options.poll = SignalPoll();

  train::History history;
  {
    const WithoutGil released;
    check_values<T>(data, loss, outputs, "X", "y", options.poll);
    if (stop_data) check_targets<T>(*stop_data, *options.stop->loss, outputs, "y", options.poll);
    if (held_out) {
      const nn::Loss& judge = *options.validation_loss;
      check_values<T>(*held_out, judge, outputs, "validation_data X", "validation_data y", options.poll);
    }
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
