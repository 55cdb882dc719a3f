#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "access.hpp"
#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/core/threads.hpp"
#include "deltaprop/kernels/check_finite.hpp"
#include "deltaprop/train/fit.hpp"
#include "deltaprop/train/loss_evaluation.hpp"
#include "gil.hpp"
#include "losses.hpp"

namespace deltaprop::python {
namespace {

using train::Data;
using train::Head;

/// Inputs, answers and weights as the caller keeps them, an array for each input and each output; and which of the
/// inputs and answers are looked at only as they are gathered.
struct Arrays {
  std::vector<py::array> x, y;
  std::optional<py::array> weights;
  bool check_x_rows = false;
  std::vector<bool> check_y_rows;
  Pins pins;
};
using ArraysTuple =
    std::tuple<std::vector<py::array>, std::vector<py::array>, std::optional<py::array>, bool, std::vector<bool>>;

Arrays arrays_of(ArraysTuple t) {
  auto& [x, y, weights, check_x, check_y] = t;
  Pins pins;
  pins.add(x);
  pins.add(y);
  if (weights) pins.add(*weights);
  return {std::move(x), std::move(y), std::move(weights), check_x, std::move(check_y), std::move(pins)};
}

/// The losses of the outputs, with their weights; kept alive by the tuple they come in.
using Losses = std::vector<std::pair<std::shared_ptr<nn::Loss>, double>>;

std::vector<Head> heads_of(const Losses& losses) {
  std::vector<Head> heads;
  for (const auto& [loss, weight] : losses) heads.push_back({loss.get(), weight});
  return heads;
}

/// What a loss written in Python is given in bytes, as numbers.
StridedView as_numbers(const py::array& y) {
  const Index rows = std::max<Index>(y.shape(0), 1);
  return {static_cast<const std::byte*>(y.data()),
          dtype_of(y, "y"),
          y.shape(0),
          y.size() / rows,
          y.nbytes() / rows,
          y.itemsize()};
}

/// Sources for a set of data, its shapes checked; `whose` stands before the names in messages.
template <class T>
Data data_of(const runtime::Model<T>& model, const std::vector<Head>& heads, const Arrays& arrays,
             const std::string& whose) {
  const std::string x_name = whose + "X", y_name = whose + "y";
  std::vector<std::vector<Index>> shapes;
  for (const py::array& x : arrays.x) shapes.push_back(shape_of(x));
  if (shapes[0].size() == 1) {
    throw ValueError(x_name + ": expected (N, features), got " + shape_text(shapes[0]) +
                     "; for one feature use X.reshape(-1, 1)");
  }
  const nn::Subgraph subgraph = model.network().resolve_inputs(0, shapes);
  const Index rows = shapes[0][0];
  if (rows == 0) throw ValueError(x_name + ": expected one row or more, got " + shape_text(shapes[0]));
  std::vector<Index> features;
  for (const auto& shape : shapes) features.push_back(shape[1]);
  const std::vector<Index> cols = nn::select(model.network().widths(subgraph, features), subgraph.outputs);
  if (heads.size() != cols.size()) {
    throw ValueError("fit: expected " + std::to_string(cols.size()) + " losses, one for each output, got " +
                     std::to_string(heads.size()));
  }
  if (arrays.y.size() != cols.size()) {
    throw ValueError(y_name + ": expected " + std::to_string(cols.size()) + " arrays, one for each output, got " +
                     std::to_string(arrays.y.size()));
  }
  Data data{.x = {}, .targets = {}, .check_x_rows = arrays.check_x_rows, .x_name = x_name};
  for (const py::array& x : arrays.x) data.x.push_back(table(x, x_name.c_str()));
  for (std::size_t k = 0; k < heads.size(); ++k) {
    const py::array& y = arrays.y[k];
    if (y.ndim() == 0 || y.shape(0) != rows) {
      throw ValueError(y_name + ": expected " + std::to_string(rows) + " rows, as " + x_name + " has, got shape " +
                       shape_text(shape_of(y)));
    }
    train::Targets targets{.y = targets_source(*heads[k].loss, {rows, cols[k]}, y, y_name.c_str()),
                           .weights = std::nullopt,
                           .check_rows = arrays.check_y_rows[k],
                           .name = y_name,
                           .numbers = std::nullopt};
    if (targets.check_rows && heads[k].loss->target_kind() == nn::TargetKind::raw) targets.numbers = as_numbers(y);
    if (arrays.weights) targets.weights = weights_source(*arrays.weights, rows);
    data.targets.push_back(std::move(targets));
  }
  return data;
}

/// Looks through a set of data for what could do harm later; without the GIL.
template <class T>
void check_values(const runtime::Model<T>& model, const Data& data, const std::vector<Head>& heads, bool inputs,
                  const InterruptCheck& check_interrupt) {
  if (inputs && !data.check_x_rows) {
    for (const StridedView& x : data.x) kernels::check_finite<T>(x, data.x_name, check_interrupt);
    model.check_inputs(data.x, data.x_name, check_interrupt);
  }
  std::vector<Index> features;
  for (const StridedView& x : data.x) features.push_back(x.cols);
  const nn::Subgraph subgraph = model.resolve_inputs(data.x);
  const std::vector<Index> cols = nn::select(model.network().widths(subgraph, features), subgraph.outputs);
  for (std::size_t k = 0; k < heads.size(); ++k) {
    const train::Targets& targets = data.targets[k];
    if (!targets.check_rows) train::check_targets<T>(*heads[k].loss, targets.y, cols[k], targets.name, check_interrupt);
  }
  if (inputs && data.targets[0].weights) train::check_weights<T>(*data.targets[0].weights, check_interrupt);
}

/// Batches that an iterable written in Python gives, which is asked for the next one as it is wanted.
template <class T>
class IterableBatches final : public train::BatchSource {
 public:
  /// `begin`: called at the begin of an epoch; `next`: gives arrays, or None at the end of the epoch.
  IterableBatches(const runtime::Model<T>& model, const std::vector<Head>& heads, py::object begin, py::object next)
      : model_(model), heads_(heads), begin_(std::move(begin)), next_(std::move(next)) {}

  /// The first batch, pulled ahead.
  const Data& example() override {
    const WithGil gil;
    call(begin_, py::dict());
    if (!pull()) throw std::logic_error("an empty iterable came so far");
    pulled_ = true;
    return batches_.front().data;
  }
  void begin_epoch(std::uint64_t, const InterruptCheck&) override {
    if (pulled_) return;
    const WithGil gil;
    call(begin_, py::dict());
  }
  void begin_step() override {
    if (pulled_) return;
    const WithGil gil;  // arrays are let go
    batches_.clear();
  }
  std::optional<train::Batch> next() override {
    if (!pulled_) {
      const WithGil gil;
      if (!pull()) return std::nullopt;
    }
    pulled_ = false;
    const Data& data = batches_.back().data;
    check_values<T>(model_, data, heads_, true, [] {});
    return train::Batch{&data, nullptr, 0, data.rows()};
  }
  ~IterableBatches() override {
    const WithGil gil;
    batches_.clear();
  }

 private:
  struct Pulled {
    Arrays arrays;
    Data data;
  };

  bool pull() {
    const py::object value = call(next_, py::dict());
    if (value.is_none()) return false;
    Arrays arrays = arrays_of(value.cast<ArraysTuple>());
    Data data = data_of(model_, heads_, arrays, "");
    batches_.push_back({std::move(arrays), std::move(data)});
    return true;
  }

  const runtime::Model<T>& model_;
  const std::vector<Head>& heads_;
  py::object begin_, next_;
  std::deque<Pulled> batches_;
  bool pulled_ = false;
};

py::dict as_dict(const train::History& h, bool held_out, Index layers) {
  py::dict result;
  result["loss"] = h.loss;
  for (std::size_t k = 0; k < h.losses.size(); ++k) result[py::str("loss_" + std::to_string(k))] = h.losses[k];
  if (held_out) result["val_loss"] = h.val_loss;
  for (std::size_t k = 0; k < h.val_losses.size(); ++k) {
    result[py::str("val_loss_" + std::to_string(k))] = h.val_losses[k];
  }
  result["lr"] = h.lr;
  result["stop_losses"] = h.stop_losses;
  const auto norms = [&](const char* key, const std::vector<double>& list) {
    if (list.empty()) return;
    py::array_t<double> table = fresh<double>({static_cast<Index>(list.size()) / layers, layers});
    std::copy(list.begin(), list.end(), table.mutable_data());
    result[key] = table;
  };
  norms("activation_norm", h.activation_norms);
  norms("delta_norm", h.delta_norms);
  norms("gradient_norm", h.gradient_norms);
  return result;
}

template <class V>
V option(const py::dict& options, const char* name) {
  return options[name].cast<V>();
}

/// What `fit` takes from Python; the fields are those of training/fit.py's call.
template <class T>
py::dict fit(runtime::Model<T>& model, optim::Optimizer<T>& optimizer, const Losses& losses, const py::object& data,
             const py::dict& o, const HeldAccess& access) {
  if (optimizer.parameters() != model.network().parameters()) {
    throw ValueError("fit: expected an optimizer of this network's parameters, got one of another network's");
  }
  const std::vector<Head> heads = heads_of(losses);
  const InterruptCheck check_interrupt = SignalCheck();

  train::FitOptions options{.epochs = option<Index>(o, "epochs"), .accumulate = option<Index>(o, "accumulate")};
  Arrays arrays, held_out_arrays;
  std::optional<Data> whole, held_out, stop_data;
  std::unique_ptr<train::BatchSource> batch_source;
  if (py::isinstance<py::tuple>(data)) {
    arrays = arrays_of(data.cast<ArraysTuple>());
    whole = data_of(model, heads, arrays, "");
    options.learn_from = &whole->x;
    const auto seed = option<std::optional<std::uint64_t>>(o, "seed");
    batch_source = std::make_unique<train::ArrayBatches>(
        *whole, option<Index>(o, "batch_size"), option<bool>(o, "shuffle"), seed.value_or(model.network().seed()));
  } else {
    batch_source = std::make_unique<IterableBatches<T>>(model, heads, data.attr("begin"), data.attr("next"));
  }

  options.first_epoch = option<std::optional<std::uint64_t>>(o, "first_epoch");
  options.record_activations = option<bool>(o, "record_activations");
  options.record_deltas = option<bool>(o, "record_deltas");
  options.record_gradients = option<bool>(o, "record_gradients");
  options.check_interrupt = check_interrupt;

  std::vector<Head> held_out_heads, stop_heads;
  const auto validation = option<std::optional<std::pair<ArraysTuple, Losses>>>(o, "validation");
  if (validation) {
    held_out_heads = heads_of(validation->second);
    held_out_arrays = arrays_of(validation->first);
    held_out = data_of(model, held_out_heads, held_out_arrays, "validation_data ");
    options.validation = &*held_out;
    options.validation_heads = &held_out_heads;
  }
  const auto stop = option<std::optional<std::tuple<double, bool, std::optional<Losses>>>>(o, "stop");
  if (stop) {
    const auto& [eps, every_update, stop_losses] = *stop;
    options.stop = train::StopOnPlateau{eps, every_update, nullptr, &*whole};
    options.stop_losses = option<std::vector<double>>(o, "stop_losses");
    if (stop_losses) {
      stop_heads = heads_of(*stop_losses);
      stop_data = data_of(model, stop_heads, arrays, "");
      options.stop->heads = &stop_heads;
      options.stop->data = &*stop_data;
    }
  }
  options.schedule.every_update = option<bool>(o, "schedule_every_update");
  for (const auto& [group, name, values] :
       option<std::vector<std::tuple<Index, std::string, py::array_t<double, py::array::c_style>>>>(o, "schedule")) {
    const auto& known = optimizer.rule().options;
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.name == name; });
    if (found == known.end()) throw ValueError("fit: the optimizer has no option " + name);
    options.schedule.columns.push_back({group, found - known.begin(), {values.data(), values.data() + values.size()}});
  }

  const bool tells_val = held_out.has_value();
  const auto epoch_end = option<py::object>(o, "epoch_end"), batch_end = option<py::object>(o, "batch_end");
  const Index layers = model.network().size();
  // How far the history had come when an epoch ended: an exception may leave more in it, of an epoch broken off.
  struct Ended {
    Index epochs = 0, updates = 0;
    std::size_t looks = 0;
  };
  Ended told{.looks = options.stop_losses.size()}, ended = told;
  // The values of the epochs since the last call: what has been told before stays told.
  const auto tell = [&](const train::History& h) {
    const Ended before = std::exchange(told, ended);
    const auto last = [&](const std::vector<double>& list, Index width = 1) {
      if (list.empty()) return list;
      return std::vector<double>(list.begin() + before.epochs * width, list.begin() + told.epochs * width);
    };
    train::History latest;
    latest.loss = last(h.loss);
    latest.val_loss = last(h.val_loss);
    latest.lr = last(h.lr);
    for (const auto& list : h.losses) latest.losses.push_back(last(list));
    for (const auto& list : h.val_losses) latest.val_losses.push_back(last(list));
    latest.activation_norms = last(h.activation_norms, layers);
    latest.delta_norms = last(h.delta_norms, layers);
    latest.gradient_norms = last(h.gradient_norms, layers);
    latest.stop_losses.assign(h.stop_losses.begin() + static_cast<Index>(before.looks),
                              h.stop_losses.begin() + static_cast<Index>(told.looks));
    return call(epoch_end, py::dict(), told.epochs, told.updates, as_dict(latest, tells_val, layers))
        .template cast<bool>();
  };
  using Clock = std::chrono::steady_clock;
  const std::chrono::duration<double> every(option<double>(o, "epoch_end_every"));
  auto last_told = Clock::now();
  if (!epoch_end.is_none()) {
    options.epoch_end = [&](const train::History& h) {
      ended = {h.epochs, h.updates, h.stop_losses.size()};
      if (Clock::now() - last_told < every) return false;
      const WithGil gil;
      const bool stops = tell(h);
      last_told = Clock::now();
      return stops;
    };
  }
  if (!batch_end.is_none()) {
    options.batch_end = [&](const train::History& h, double loss) {
      const WithGil gil;
      return call(batch_end, py::dict(), h.updates, loss).template cast<bool>();
    };
  }

  options.on_exception = [&](const train::History& h) {
    const WithGil gil;
    try {
      if (told.epochs < ended.epochs) tell(h);
    } catch (const py::error_already_set&) {
      // The fit's own exception is the one to be seen; the history had its values before any callback was called.
    }
    call(o["on_exception"], py::dict(), h.epochs, h.updates);
  };

  train::History history;
  {
    const threads::Limit limit(option<Index>(o, "num_threads"));
    const WithoutGil released;
    if (whole) {
      check_values<T>(model, *whole, heads, true, check_interrupt);
      if (stop_data) check_values<T>(model, *stop_data, stop_heads, false, check_interrupt);
    }
    if (held_out) check_values<T>(model, *held_out, held_out_heads, true, check_interrupt);
    history = train::fit(model, optimizer, heads, *batch_source, options, access.get());
  }
  py::dict result = as_dict(history, tells_val, layers);
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
  bind_fit_as<float>(m);
  bind_fit_as<double>(m);
}

}  // namespace deltaprop::python
