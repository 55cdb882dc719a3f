#pragma once

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "deltaprop/train/evaluator.hpp"
#include "deltaprop/nn/activation.hpp"
#include "deltaprop/nn/linear.hpp"
#include "deltaprop/train/first_order.hpp"
#include "deltaprop/train/fit.hpp"
#include "deltaprop/runtime/model.hpp"

namespace deltaprop::testing {

using Layers = std::vector<std::shared_ptr<nn::Layer>>;

inline std::shared_ptr<nn::Layer> linear(Index in, Index out, const char* init = "default") {
  return std::make_shared<nn::Linear>(in, out, true, nn::Initialiser(init));
}
inline std::shared_ptr<nn::Layer> activation(const std::string& name, const std::vector<double>& options = {}) {
  return std::make_shared<nn::Activation>(name, options, name + "()");
}

template <class... Parts>
nn::Block block(nn::Block::Kind kind, Parts&&... parts) {
  return {kind, {nn::Block(std::forward<Parts>(parts))...}};
}
template <class... Parts>
nn::Block sequential(Parts&&... parts) {
  return block(nn::Block::Kind::sequential, std::forward<Parts>(parts)...);
}
template <class... Parts>
nn::Block residual(Parts&&... parts) {
  return block(nn::Block::Kind::residual, std::forward<Parts>(parts)...);
}
template <class... Parts>
nn::Block concat(Parts&&... parts) {
  return block(nn::Block::Kind::concat, std::forward<Parts>(parts)...);
}
template <class... Parts>
nn::Block heads(Parts&&... parts) {
  return block(nn::Block::Kind::heads, std::forward<Parts>(parts)...);
}

/// The identity; records the first feature of each row, one list per call.
class Recorder final : public nn::BothPrecisions<Recorder> {
 public:
  explicit Recorder(bool rowwise = true) : rowwise_(rowwise) {}
  std::string describe() const override { return "Recorder()"; }
  bool rowwise(bool) const override { return rowwise_; }

  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    std::copy_n(f.x.data, f.x.size(), f.y.data);
    auto& list = f.training ? trained : inferred;
    list.emplace_back();
    for (Index i = 0; i < f.x.rows; ++i) list.back().push_back(static_cast<double>(f.x.row(i)[0]));
  }
  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    if (b.delta_x.data != nullptr) std::copy_n(b.delta_y.data, b.delta_y.size(), b.delta_x.data);
  }

  mutable std::vector<std::vector<double>> trained, inferred;

 private:
  bool rowwise_;
};

/// y = x - m, m the batch mean of each feature in training, the running mean otherwise.
class Centre final : public nn::BothPrecisions<Centre> {
 public:
  explicit Centre(Index features) : features_(features) {}
  std::string describe() const override { return "Centre()"; }
  Index in_features() const override { return features_; }
  std::vector<ParameterShape> buffers() const override { return {{"running_mean", {features_}}}; }
  void initialise_buffers(double* buffers) const override { std::fill_n(buffers, features_, 0.25); }
  Index saved_per_batch(Index in) const override { return in; }
  bool rowwise(bool training) const override { return !training; }

  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    for (Index j = 0; j < features_; ++j) {
      if (f.training) f.batch_statistics[j] = mean<T>(f.x, j);
      subtract<T>(f.x, j, f.training ? f.batch_statistics[j] : f.buffers[j], f.y);
    }
  }
  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    for (Index j = 0; b.delta_x.data != nullptr && j < features_; ++j) {
      subtract<T>(b.delta_y, j, b.training ? mean<T>(b.delta_y, j) : T(0), b.delta_x);
    }
  }
  template <class T>
  void run_update_buffers(const nn::Statistics<T>& s) const {
    for (Index j = 0; j < features_; ++j) s.buffers[j] = (s.buffers[j] + s.batch_statistics[j]) / 2;
  }

 private:
  template <class T>
  static T mean(Matrix<const T> x, Index j) {
    T sum = 0;
    for (Index i = 0; i < x.rows; ++i) sum += x.row(i)[j];
    return sum / static_cast<T>(x.rows);
  }
  template <class T>
  static void subtract(Matrix<const T> x, Index j, T m, Matrix<T> y) {
    for (Index i = 0; i < x.rows; ++i) y.row(i)[j] = x.row(i)[j] - m;
  }

  Index features_;
};

/// Constructed on first use: a loss reads the kernel table, which main() loads.
inline const nn::Loss& squared_error() {
  static const nn::NamedLoss loss("MSELoss", nn::Reduction::mean);
  return loss;
}
inline const nn::Loss& cross_entropy() {
  static const nn::NamedLoss loss("CrossEntropyLoss", nn::Reduction::mean);
  return loss;
}

/// A data set with regression and classification targets.
template <class T>
struct Set {
  Index rows, in, out;
  std::vector<T> x, y, weights;
  std::vector<std::int64_t> classes;

  Set(Index rows_, Index in_, Index out_, std::uint64_t seed = 1)
      : rows(rows_), in(in_), out(out_), x(numbers<T>(rows_ * in_, seed)), y(numbers<T>(rows_ * out_, seed + 1)) {
    for (Index i = 0; i < rows; ++i) classes.push_back(i * 13 % out);
  }

  train::Data values() const { return with(table(y.data(), rows, out)); }
  train::Data labels() const {
    return with({reinterpret_cast<const std::byte*>(classes.data()), Dtype::int64, rows, 1, 8, 0});
  }
  train::Data for_loss(const nn::Loss& loss) const {
    return loss.target_kind() == nn::TargetKind::values ? values() : labels();
  }
  /// The given rows, in this order.
  Set select(const std::vector<Index>& order) const {
    Set s(static_cast<Index>(order.size()), in, out);
    for (std::size_t i = 0; i < order.size(); ++i) {
      std::copy_n(x.begin() + order[i] * in, in, s.x.begin() + static_cast<Index>(i) * in);
      std::copy_n(y.begin() + order[i] * out, out, s.y.begin() + static_cast<Index>(i) * out);
      s.classes[i] = classes[at(order[i])];
      if (!weights.empty()) s.weights.push_back(weights[at(order[i])]);
    }
    return s;
  }

 private:
  train::Data with(StridedView view) const {
    train::Targets targets{.y = view, .weights = {}};
    if (!weights.empty()) targets.weights = table(weights.data(), rows, 1);
    return {.x = {table(x.data(), rows, in)}, .targets = {targets}};
  }
};

/// Data for several inputs and outputs.
template <class T>
struct Tables {
  Index rows;
  std::vector<Index> in, out;
  std::vector<std::vector<T>> x, y;

  Tables(Index rows_, std::vector<Index> in_, std::vector<Index> out_)
      : rows(rows_), in(std::move(in_)), out(std::move(out_)) {
    for (const Index cols : in) x.push_back(numbers<T>(rows * cols, x.size() + 1));
    for (const Index cols : out) y.push_back(numbers<T>(rows * cols, y.size() + 51));
  }

  train::Inputs inputs() const { return sources(x, in); }
  /// The targets, for use as deltas of the outputs.
  train::Inputs outputs() const { return sources(y, out); }
  train::Data data() const {
    train::Data d{.x = inputs(), .targets = {}};
    for (const StridedView& y_k : outputs()) d.targets.push_back({.y = y_k, .weights = {}});
    return d;
  }

 private:
  train::Inputs sources(const std::vector<std::vector<T>>& numbers, const std::vector<Index>& cols) const {
    train::Inputs list;
    for (std::size_t k = 0; k < cols.size(); ++k) list.push_back(table(numbers[k].data(), rows, cols[k]));
    return list;
  }
};

/// first, first + 1, ..., last - 1.
inline std::vector<Index> run_of(Index first, Index last) {
  std::vector<Index> order;
  for (Index i = first; i < last; ++i) order.push_back(i);
  return order;
}

/// An optimizer over all parameters of a model.
template <class T>
optim::Optimizer<T> optimizer(const runtime::Model<T>& model, const std::string& rule, const optim::Options& options) {
  optim::Group group{.parameters = run_of(0, static_cast<Index>(model.network().parameters()->list.size())),
                     .options = options};
  return optim::Optimizer<T>(optim::find_rule(rule), model.network().parameters(), {group});
}
/// Options of a rule by name; the others are 0, which disables them.
inline optim::Options options_of(const std::string& rule, std::map<std::string, double> values) {
  values.try_emplace("max_norm", std::numeric_limits<double>::infinity());
  optim::Options options;
  for (const Option& option : optim::find_rule(rule).options) options.push_back(values[option.name]);
  return options;
}
inline optim::Options sgd_options(double lr, double momentum = 0) {
  return options_of("SGD", {{"lr", lr}, {"momentum", momentum}});
}
inline optim::Options adam_options(double lr) {
  return options_of("Adam", {{"lr", lr}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}});
}

template <class T>
std::vector<T> values_of(const runtime::Model<T>& model) {
  const auto& p = *model.network().parameters();
  return {p.values.data(), p.values.data() + p.size()};
}
template <class T>
std::vector<T> buffers_of(const runtime::Model<T>& model) {
  const auto& p = *model.network().parameters();
  return {p.buffer_values.data(),
          p.buffer_values.data() + (p.buffer_list.empty() ? 0 : p.buffer_list.back().range.end)};
}
template <class T>
std::vector<T> gradients_of(const runtime::Model<T>& model) {
  const auto& p = *model.network().parameters();
  return {p.gradients.data(), p.gradients.data() + p.size()};
}

using Losses = std::vector<train::Head>;

/// Batching of a data set in memory. Without a seed, the network's seed and epoch count.
struct Batches {
  Index size;
  bool shuffle = true;
  std::optional<std::uint64_t> seed{};
};

template <class T>
train::History fit(runtime::Model<T>& model, optim::Optimizer<T>& rule, const Losses& losses, const train::Data& data,
                   const Batches& batches, train::FitOptions options) {
  if (batches.seed) options.first_epoch = 0;
  if (options.stop) options.stop->data = &data;
  train::ArrayBatches batch_source(data, batches.size, batches.shuffle, batches.seed.value_or(model.network().seed()));
  return train::fit(model, rule, losses, batch_source, options);
}
template <class T>
train::History fit(runtime::Model<T>& model, optim::Optimizer<T>& rule, const nn::Loss& loss, const train::Data& data,
                   const Batches& batches, train::FitOptions options) {
  return fit(model, rule, Losses{{&loss}}, data, batches, std::move(options));
}

/// The loss over a data set, as `fit` evaluates it for validation and stop rules.
template <class T>
double evaluate(const runtime::Model<T>& model, const Losses& losses, const train::Data& data) {
  return train::Evaluator<T>(model, losses, data)([] {});
}
template <class T>
double evaluate(const runtime::Model<T>& model, const nn::Loss& loss, const train::Data& data) {
  return evaluate(model, Losses{{&loss}}, data);
}

/// Inference of a block, by default the whole network.
template <class T>
std::vector<std::vector<T>> inferred(const runtime::Model<T>& model, const train::Inputs& x, Index block = 0) {
  auto inference = model.inference(model.resolve_inputs(x, block), x);
  std::vector<Guarded<T>> outputs;
  std::vector<Matrix<T>> out;
  for (const Index cols : inference.out_features()) {
    outputs.emplace_back(x[0].rows * cols);
    out.push_back({outputs.back().data(), x[0].rows, cols});
  }
  model.infer(inference, x, out);
  std::vector<std::vector<T>> values;
  for (const Guarded<T>& y : outputs) values.push_back(y.intact() ? y.values() : std::vector<T>{});
  return values;
}
template <class T>
std::vector<T> inferred(const runtime::Model<T>& model, const StridedView& x) {
  return inferred(model, train::Inputs{x})[0];
}

template <class T>
void zero_gradients(const runtime::Model<T>& model) {
  const auto& p = *model.network().parameters();
  std::fill_n(p.gradients.data(), p.size(), T(0));
}

/// Manual pass with one input and one output.
template <class T>
void forward(runtime::Model<T>& model, const StridedView& x) {
  const nn::Access access(nn::Call::forward, model.guards());
  model.forward(train::Inputs{x});
}
template <class T>
void backward(runtime::Model<T>& model, const StridedView& delta) {
  const nn::Access access(nn::Call::backward, model.guards());
  model.backward(train::Inputs{delta});
}

/// A manual training step, as a user writes it.
template <class T>
class ManualStep {
 public:
  ManualStep(runtime::Model<T>& model, const nn::Loss& loss) : ManualStep(model, Losses{{&loss}}) {}
  ManualStep(runtime::Model<T>& model, const Losses& losses) : model_(model), deltas_(losses.size()) {
    for (const train::Head& head : losses) heads_.push_back({head.loss, head.weight});
  }

  /// Adds the gradients of all rows and returns the loss.
  double pass(const train::Data& d) {
    model_.forward(d.x);
    double value = 0;
    for (std::size_t k = 0; k < heads_.size(); ++k) {
      const Matrix<const T> a = model_.output(static_cast<Index>(k));
      value += heads_[k].weight * heads_[k].run(a, d.targets[k]);
      deltas_[k] = table(heads_[k].deltas.data(), a.rows, a.cols);
    }
    model_.backward(deltas_);
    return value;
  }

  double step(const train::Data& d, optim::Optimizer<T>& rule) {
    const double value = pass(d);
    rule.step();
    rule.zero_grad();
    return value;
  }

 private:
  struct RunningHead {
    const nn::Loss* loss;
    double weight;
    Buffer<T> values{}, deltas{}, weights{};
    Buffer<std::int64_t> classes{};
    Buffer<double> sums{};

    double run(Matrix<const T> a, const train::Targets& targets) {
      const Index rows = a.rows, cols = targets.y.cols;
      weights.reserve(rows);
      classes.reserve(rows);
      values.reserve(rows * cols);
      sums.reserve(rows);
      deltas.reserve(a.size());
      nn::LossCall<T> call{.outputs = a, .deltas = {deltas.data(), rows, a.cols}, .values = sums.data()};
      if (loss->target_kind() == nn::TargetKind::values) {
        gather<T>(targets.y, nullptr, 0, {values.data(), rows, cols});
        call.targets.values = {values.data(), rows, cols};
      } else {
        gather<std::int64_t>(targets.y, nullptr, 0, {classes.data(), rows, 1});
        call.targets.classes = classes.data();
      }
      double total = static_cast<double>(rows);
      if (targets.weights) {
        gather<T>(*targets.weights, nullptr, 0, {weights.data(), rows, 1});
        call.weights = weights.data();
        total = 0;
        for (Index i = 0; i < rows; ++i) total += static_cast<double>(weights.data()[i]);
      }
      const double scale = loss->scale(total, a.cols);
      call.scale = scale * weight;
      loss->run(call);
      return loss->value(sums.data(), rows, scale);
    }
  };

  runtime::Model<T>& model_;
  std::vector<RunningHead> heads_;
  train::Inputs deltas_;
};

}  // namespace deltaprop::testing
