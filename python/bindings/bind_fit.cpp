#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "access.hpp"
#include "bindings.hpp"
#include "deltaprop/core/threads.hpp"
#include "deltaprop/train/fit.hpp"
#include "fit_data.hpp"
#include "fit_events.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

/// Options of a fit as Python sets them.
struct FitOptions {
  using Stop = std::tuple<double, bool, std::optional<Losses>>;  // eps, every update, losses (none: of the training)
  using Column = std::tuple<Index, std::string, py::array_t<double, py::array::c_style>>;  // group, option, values

  Index epochs = 1;
  Index batch_size = 1;
  bool shuffle = true;
  Index accumulate = 1;
  std::optional<std::uint64_t> seed, first_epoch;
  Index num_threads = 0;
  bool record_activations = false, record_deltas = false, record_gradients = false;
  std::optional<std::pair<ArraysTuple, Losses>> validation;
  std::optional<Stop> stop;
  std::vector<double> stop_losses;
  std::vector<Column> schedule;
  bool schedule_every_update = false;
  py::object epoch_end = py::none(), batch_end = py::none(), on_exception = py::none();
  double epoch_end_interval = 0;  // seconds
};

template <class T>
train::Schedule schedule_of(const FitOptions& o, const optim::Optimizer<T>& optimizer) {
  train::Schedule schedule{.every_update = o.schedule_every_update, .columns = {}};
  const auto& options = optimizer.rule().options;
  for (const auto& [group, name, values] : o.schedule) {
    const auto option = std::find_if(options.begin(), options.end(), [&](const auto& k) { return k.name == name; });
    if (option == options.end()) throw ValueError("fit: the optimizer has no option " + name);
    schedule.columns.push_back({group, option - options.begin(), {values.data(), values.data() + values.size()}});
  }
  return schedule;
}

/// A data set and the arrays that it reads.
template <class T>
struct OwnedData {
  OwnedData(const runtime::Model<T>& model, const Losses& losses, ArraysTuple tuple, const std::string& prefix)
      : arrays(std::move(tuple)), set(model, losses, arrays, prefix) {}

  Arrays arrays;
  DataSet<T> set;
};

/// The options without those that depend on data and optimizer. `o` outlives the result.
train::FitOptions options_of(const FitOptions& o) {
  train::FitOptions options{.epochs = o.epochs, .accumulate = o.accumulate, .first_epoch = o.first_epoch};
  options.record_activations = o.record_activations;
  options.record_deltas = o.record_deltas;
  options.record_gradients = o.record_gradients;
  options.stop_losses = o.stop_losses;
  options.check_interrupt = SignalCheck();
  if (!o.batch_end.is_none()) {
    options.batch_end = [&o](const train::History& h, double loss) {
      const WithGil gil;
      return call(o.batch_end, py::dict(), h.updates, loss).cast<bool>();
    };
  }
  return options;
}

/// `data`: arrays, or an object whose begin() and next() yield batches.
template <class T>
py::dict fit(runtime::Model<T>& model, optim::Optimizer<T>& optimizer, const Losses& losses, const py::object& data,
             const FitOptions& o, const HeldAccess& access) {
  if (optimizer.parameters() != model.network().parameters()) {
    throw ValueError("fit: expected an optimizer of this network's parameters, got one of another network's");
  }
  std::vector<train::Head> heads;
  for (const auto& [loss, weight] : losses) heads.push_back({loss.get(), weight});
  train::FitOptions options = options_of(o);
  std::optional<OwnedData<T>> arrays, validation;
  std::optional<DataSet<T>> stop_data;
  std::unique_ptr<train::BatchSource> batch_source;
  if (py::isinstance<py::tuple>(data)) {
    arrays.emplace(model, losses, data.cast<ArraysTuple>(), "");
    options.learn_from = &arrays->set.data.x;
    batch_source = std::make_unique<train::ArrayBatches>(arrays->set.data, o.batch_size, o.shuffle,
                                                         o.seed.value_or(model.network().seed()));
  } else {
    batch_source = std::make_unique<IterableBatches<T>>(model, losses, data.attr("begin"), data.attr("next"));
  }
  if (o.validation) {
    validation.emplace(model, o.validation->second, o.validation->first, "validation_data ");
    options.validation = &validation->set.data;
    options.validation_heads = &validation->set.heads;
  }
  if (o.stop) {
    const auto& [eps, every_update, stop_losses] = *o.stop;
    options.stop = train::StopOnPlateau{eps, every_update, nullptr, &arrays->set.data};
    if (stop_losses) {
      stop_data.emplace(model, *stop_losses, arrays->arrays, "");
      options.stop->heads = &stop_data->heads;
      options.stop->data = &stop_data->data;
    }
  }
  options.schedule = schedule_of(o, optimizer);

  const Index layers = model.network().size();
  FitEvents events(o.epoch_end, o.on_exception, o.epoch_end_interval, o.stop_losses.size(), o.validation.has_value(),
                   layers);
  if (!o.epoch_end.is_none()) options.epoch_end = [&](const train::History& h) { return events.epoch_end(h); };
  options.on_exception = [&](const train::History& h) { events.on_exception(h); };

  train::History history;
  {
    const threads::Limit limit(o.num_threads);
    const WithoutGil released;
    if (arrays) arrays->set.check_values(model, true, options.check_interrupt);
    if (stop_data) stop_data->check_values(model, false, options.check_interrupt);
    if (validation) validation->set.check_values(model, true, options.check_interrupt);
    history = train::fit(model, optimizer, heads, *batch_source, options, access.get());
  }
  py::dict result = as_dict(history, o.validation.has_value(), layers);
  result["epochs"] = history.epochs;
  result["updates"] = history.updates;
  result["stop_reason"] = history.stop_reason;
  return result;
}

template <class T>
void bind_fit_as(py::module_& m) {
  m.def("fit", &fit<T>, py::arg("network"), py::arg("optimizer"), py::arg("losses"), py::arg("data"),
        py::arg("options"), py::arg("access"));
}

}  // namespace

void bind_fit(py::module_& m) {
  using O = FitOptions;
  py::class_<O>(m, "FitOptions")
      .def(py::init())
      .def_readwrite("epochs", &O::epochs)
      .def_readwrite("batch_size", &O::batch_size)
      .def_readwrite("shuffle", &O::shuffle)
      .def_readwrite("accumulate", &O::accumulate)
      .def_readwrite("seed", &O::seed)
      .def_readwrite("first_epoch", &O::first_epoch)
      .def_readwrite("num_threads", &O::num_threads)
      .def_readwrite("record_activations", &O::record_activations)
      .def_readwrite("record_deltas", &O::record_deltas)
      .def_readwrite("record_gradients", &O::record_gradients)
      .def_readwrite("validation", &O::validation)
      .def_readwrite("stop", &O::stop)
      .def_readwrite("stop_losses", &O::stop_losses)
      .def_readwrite("schedule", &O::schedule)
      .def_readwrite("schedule_every_update", &O::schedule_every_update)
      .def_readwrite("epoch_end", &O::epoch_end)
      .def_readwrite("batch_end", &O::batch_end)
      .def_readwrite("on_exception", &O::on_exception)
      .def_readwrite("epoch_end_interval", &O::epoch_end_interval);
  bind_fit_as<float>(m);
  bind_fit_as<double>(m);
}

}  // namespace deltaprop::python
