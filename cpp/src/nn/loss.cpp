#include "deltaprop/nn/loss.hpp"

#include <utility>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

Index find(const std::string& name) {
  const auto& known = kernels::get<double>();
  Index index = 0;
  while (index < known.loss_count && name != known.losses[index].name) ++index;
  if (index == known.loss_count) throw ValueError("Loss: expected a known name, got '" + name + "'");
  return index;
}

}  // namespace

Reduction reduction(const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "batchmean") return Reduction::batchmean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  throw ValueError("reduction: expected 'mean', 'sum' or 'none', got '" + name + "'");
}

const std::vector<double>& Loss::column_weights() const {
  static const std::vector<double> none;
  return none;
}

double Loss::scale(double total_weight, Index cols) const {
  if (reduction_ == Reduction::sum || reduction_ == Reduction::none) return factor_;
  const double divisor = total_weight * (reduction_ == Reduction::mean ? static_cast<double>(elements(cols)) : 1);
  return divisor == 0 ? 0 : factor_ / divisor;
}

double Loss::value(const double* rows, Index n, double scale) const {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += rows[i];
  return sum * scale;
}

NamedLoss::NamedLoss(const std::string& name, Reduction reduction, double factor, LossOptions options)
    : Loss(reduction, factor), index_(find(name)), options_(std::move(options)) {
  const OptionList& described = kernel<double>().options;
  if (!options_.numbers.empty() && options_.numbers.size() != described.size()) {
    throw ValueError(name + ": expected " + std::to_string(described.size()) + " options, got " +
                     std::to_string(options_.numbers.size()));
  }
  std::size_t i = 0;
  for (const Option& option : described) {
    numbers_[i] = options_.numbers.empty() ? option.fallback : options_.numbers[i];
    if (option.kind == OptionKind::outputs) repeats_ = static_cast<Index>(options_.column_weights.size());
    ++i;
  }
  if (repeats_ == 0) throw ValueError(name + ": expected a number for each output of a target, got none");
}

Index NamedLoss::target_cols(Index cols) const {
  if (kernel<double>().per_row && cols == 1) {
    throw ValueError(describe() + ": expected 2 outputs or more, one for each class, got 1; BCEWithLogitsLoss takes 1");
  }
  const Index group = kernel<double>().outputs * repeats_;
  if (cols % group != 0) {
    throw ValueError(describe() + ": expected outputs in a multiple of " + std::to_string(group) + " columns, got " +
                     std::to_string(cols));
  }
  const auto weights = static_cast<Index>(options_.column_weights.size());
  if (weights > (kernel<double>().per_row ? 0 : 1) && repeats_ == 1 && weights != cols) {
    throw ValueError(describe() + ": expected " + std::to_string(weights) + " outputs, as it has weights, got " +
                     std::to_string(cols));
  }
  return cols / group;
}

const OptionList& loss_options(const std::string& name) { return kernels::get<double>().losses[find(name)].options; }

std::vector<std::string> loss_names() {
  const auto& known = kernels::get<double>();
  std::vector<std::string> names;
  for (Index i = 0; i < known.loss_count; ++i) names.emplace_back(known.losses[i].name);
  return names;
}

template <class T>
void NamedLoss::call(const LossCall<T>& c) const {
  kernel<T>().run({.rows = c.outputs.rows,
                   .cols = c.outputs.cols,
                   .outputs = c.outputs.data,
                   .targets = c.targets.values.data,
                   .classes = c.targets.classes,
                   .weights = c.weights,
                   .columns = c.columns,
                   .options = numbers_,
                   .scale = c.scale,
                   .deltas = c.deltas.data,
                   .values = c.values,
                   .elements = c.elements});
}
void NamedLoss::run(const LossCall<float>& c) const { call(c); }
void NamedLoss::run(const LossCall<double>& c) const { call(c); }

}  // namespace deltaprop::nn
