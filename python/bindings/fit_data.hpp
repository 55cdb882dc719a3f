#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "deltaprop/runtime/model.hpp"
#include "deltaprop/train/batch_source.hpp"
#include "deltaprop/train/head.hpp"

namespace deltaprop::python {

/// Inputs, targets and sample weights from Python, with an array for each input and each output; then whether the
/// inputs, and each of the targets, are checked as rows are gathered.
using ArraysTuple =
    std::tuple<std::vector<py::array>, std::vector<py::array>, std::optional<py::array>, bool, std::vector<bool>>;
/// The same, pinned while the core reads them.
struct Arrays {
  explicit Arrays(ArraysTuple tuple);

  std::vector<py::array> x, y;
  std::optional<py::array> weights;
  bool check_x_rows = false;
  std::vector<bool> check_y_rows;
  Pins pins;
};

/// The losses of the outputs, with their weights.
using Losses = std::vector<std::pair<std::shared_ptr<nn::Loss>, double>>;

/// Views of a data set for a network and its losses. The arrays and the losses outlive it.
template <class T>
struct DataSet {
  /// Checks all shapes; `prefix` precedes the names X and y in messages.
  DataSet(const runtime::Model<T>& model, const Losses& losses, const Arrays& arrays, const std::string& prefix);
  /// ValueError for values that training does not accept: NaN, infinity, classes and weights out of range. Called
  /// without the GIL. `inputs`: also check X and the weights.
  void check_values(const runtime::Model<T>& model, bool inputs, const InterruptCheck& check_interrupt) const;

  std::vector<train::Head> heads;
  train::Data data;
};

/// Batches of a Python iterable, fetched one by one.
template <class T>
class IterableBatches final : public train::BatchSource {
 public:
  /// `begin` starts an epoch; `next` returns arrays, or None at its end.
  IterableBatches(const runtime::Model<T>& model, const Losses& losses, py::object begin, py::object next);
  ~IterableBatches() override;

  /// The first batch, fetched in advance.
  const train::Data& example() override;
  void begin_epoch(std::uint64_t, const InterruptCheck&) override;
  void begin_step() override;
  std::optional<train::Batch> next() override;

 private:
  struct Fetched {
    Arrays arrays;
    DataSet<T> set;
  };

  bool fetch();

  const runtime::Model<T>& model_;
  const Losses& losses_;
  py::object begin_, next_;
  std::deque<Fetched> batches_;  // of the step
  bool fetched_ = false;         // the first batch, in advance
};

}  // namespace deltaprop::python
