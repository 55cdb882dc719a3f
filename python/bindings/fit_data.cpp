#include "fit_data.hpp"

#include <algorithm>

#include "deltaprop/kernels/check_finite.hpp"
#include "deltaprop/train/loss_evaluation.hpp"
#include "gil.hpp"
#include "losses.hpp"

namespace deltaprop::python {

Arrays::Arrays(ArraysTuple tuple) {
  std::tie(x, y, weights, check_x_rows, check_y_rows) = std::move(tuple);
  pins.add(x);
  pins.add(y);
  if (weights) pins.add(*weights);
}

namespace {

/// The elements of targets that a loss written in Python gets as bytes.
StridedView as_numbers(const py::array& y) {
  const Index rows = std::max<Index>(y.shape(0), 1);
  return {static_cast<const std::byte*>(y.data()),
          dtype_of(y, "y"),
          y.shape(0),
          y.size() / rows,
          y.nbytes() / rows,
          y.itemsize()};
}

/// The targets of output k, of shape `outputs`.
train::Targets targets_of(const nn::Loss& loss, const Arrays& arrays, std::size_t k, const std::vector<Index>& outputs,
                          const std::string& x_name, const std::string& y_name) {
  const py::array& y = arrays.y[k];
  const Index rows = outputs[0];
  if (y.ndim() == 0 || y.shape(0) != rows) {
    throw ValueError(y_name + ": expected " + std::to_string(rows) + " rows, as " + x_name + " has, got shape " +
                     shape_text(shape_of(y)));
  }
  train::Targets targets{.y = targets_source(loss, outputs, y, y_name.c_str()),
                         .weights = std::nullopt,
                         .check_rows = arrays.check_y_rows[k],
                         .name = y_name,
                         .numbers = std::nullopt};
  if (targets.check_rows && loss.target_kind() == nn::TargetKind::raw) targets.numbers = as_numbers(y);
  if (arrays.weights) targets.weights = weights_source(*arrays.weights, rows);
  return targets;
}

}  // namespace

template <class T>
DataSet<T>::DataSet(const runtime::Model<T>& model, const Losses& losses, const Arrays& arrays,
                    const std::string& prefix) {
  for (const auto& [loss, weight] : losses) heads.push_back({loss.get(), weight});
  const std::string x_name = prefix + "X", y_name = prefix + "y";
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
  data.check_x_rows = arrays.check_x_rows;
  data.x_name = x_name;
  for (const py::array& x : arrays.x) data.x.push_back(table(x, x_name.c_str()));
  for (std::size_t k = 0; k < heads.size(); ++k) {
    data.targets.push_back(targets_of(*heads[k].loss, arrays, k, {rows, cols[k]}, x_name, y_name));
  }
}

template <class T>
void DataSet<T>::check_values(const runtime::Model<T>& model, bool inputs,
                              const InterruptCheck& check_interrupt) const {
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

template <class T>
IterableBatches<T>::IterableBatches(const runtime::Model<T>& model, const Losses& losses, py::object begin,
                                    py::object next)
    : model_(model), losses_(losses), begin_(std::move(begin)), next_(std::move(next)) {}

template <class T>
IterableBatches<T>::~IterableBatches() {
  const WithGil gil;
  batches_.clear();
}

template <class T>
const train::Data& IterableBatches<T>::example() {
  const WithGil gil;
  call(begin_, py::dict());
  if (!fetch()) throw std::logic_error("an iterable without batches was not refused");
  fetched_ = true;
  return batches_.front().set.data;
}

template <class T>
void IterableBatches<T>::begin_epoch(std::uint64_t, const InterruptCheck&) {
  if (fetched_) return;
  const WithGil gil;
  call(begin_, py::dict());
}

template <class T>
void IterableBatches<T>::begin_step() {
  if (fetched_) return;
  const WithGil gil;  // for releasing the arrays
  batches_.clear();
}

template <class T>
std::optional<train::Batch> IterableBatches<T>::next() {
  if (!fetched_) {
    const WithGil gil;
    if (!fetch()) return std::nullopt;
  }
  fetched_ = false;
  const DataSet<T>& set = batches_.back().set;
  set.check_values(model_, true, [] {});
  return train::Batch{&set.data, nullptr, 0, set.data.rows()};
}

template <class T>
bool IterableBatches<T>::fetch() {
  const py::object value = call(next_, py::dict());
  if (value.is_none()) return false;
  Arrays arrays(value.cast<ArraysTuple>());
  DataSet<T> set(model_, losses_, arrays, "");
  batches_.push_back({std::move(arrays), std::move(set)});
  return true;
}

template struct DataSet<float>;
template struct DataSet<double>;
template class IterableBatches<float>;
template class IterableBatches<double>;

}  // namespace deltaprop::python
