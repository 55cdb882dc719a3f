#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "check.hpp"
#include "../src/train/evaluator.hpp"
#include "deltaprop/nn/activation.hpp"
#include "deltaprop/nn/linear.hpp"
#include "deltaprop/train/fit.hpp"
#include "deltaprop/train/model.hpp"

namespace deltaprop::testing {

using Layers = std::vector<std::shared_ptr<nn::Layer>>;

inline std::shared_ptr<nn::Layer> linear(Index in, Index out, const char* init = "default") {
  return std::make_shared<nn::Linear>(in, out, true, nn::Initialiser(init));
}
inline std::shared_ptr<nn::Layer> activation(const std::string& name) { return std::make_shared<nn::Activation>(name); }

/// Passes rows on and notes the first number of each it was given in training, one list a call.
class Spy final : public nn::BothPrecisions<Spy> {
 public:
  explicit Spy(bool rowwise = true) : rowwise_(rowwise) {}
  std::string describe() const override { return "Spy()"; }
  bool rowwise() const override { return rowwise_; }

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

/// Inputs with values or classes to learn.
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
  /// These rows, in this order.
  Set taken(const std::vector<Index>& order) const {
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
  train::Data with(Source targets) const {
    train::Data d{.x = table(x.data(), rows, in), .y = targets};
    if (!weights.empty()) d.weights = table(weights.data(), rows, 1);
    return d;
  }
};

/// Rows first, first + 1, ..., last - 1.
inline std::vector<Index> run_of(Index first, Index last) {
  std::vector<Index> order;
  for (Index i = first; i < last; ++i) order.push_back(i);
  return order;
}

/// A rule over all parameters of a model.
template <class T>
optim::Optimizer<T> optimizer(const train::Model<T>& model, const std::string& rule, const optim::Options& options) {
  optim::Group group{.parameters = run_of(0, static_cast<Index>(model.network().parameters()->list.size())),
                     .options = options};
  return optim::Optimizer<T>(optim::make_rule(rule), model.network().parameters(), {group});
}
inline optim::Options sgd_options(double lr, double momentum = 0) { return {lr, momentum, 0, 0, 0}; }
inline optim::Options adam_options(double lr) { return {lr, 0.9, 0.999, 1e-8, 0}; }

template <class T>
std::vector<T> values_of(const train::Model<T>& model) {
  const auto& p = *model.network().parameters();
  return {p.values.data(), p.values.data() + p.size()};
}
template <class T>
std::vector<T> gradients_of(const train::Model<T>& model) {
  const auto& p = *model.network().parameters();
  return {p.gradients.data(), p.gradients.data() + p.size()};
}

/// The loss over a whole set, as `fit` takes it for validation and stop rules.
template <class T>
double evaluate(const train::Model<T>& model, const nn::Loss& loss, const train::Data& data) {
  return train::Evaluator<T>(model, loss, data)([] {});
}

template <class T>
std::vector<T> inferred(const train::Model<T>& model, const Source& x) {
  const Index cols = model.network().widths(x.cols).back();
  const Guarded<T> out(x.rows * cols);
  model.infer(x, {out.data(), x.rows, cols});
  return out.intact() ? out.values() : std::vector<T>{};
}

/// The training step as a user writes it, loss and all.
template <class T>
class ByHand {
 public:
  ByHand(train::Model<T>& model, const nn::Loss& loss) : model_(model), loss_(loss) {}

  /// Adds the gradients of all rows; gives the loss.
  double pass(const train::Data& d) {
    const Index rows = d.x.rows, cols = d.y.cols;
    weights_.reserve(rows);
    classes_.reserve(rows);
    targets_.reserve(rows * cols);
    sums_.reserve(rows);
    model_.forward(d.x);
    const Matrix<const T> a = model_.output();
    deltas_.reserve(a.size());
    nn::LossCall<T> call{.outputs = a, .deltas = {deltas_.data(), rows, a.cols}, .values = sums_.data()};
    if (loss_.target_kind() == nn::TargetKind::values) {
      gather<T>(d.y, nullptr, 0, {targets_.data(), rows, cols});
      call.targets.values = {targets_.data(), rows, cols};
    } else {
      gather<std::int64_t>(d.y, nullptr, 0, {classes_.data(), rows, 1});
      call.targets.classes = classes_.data();
    }
    double total = static_cast<double>(rows);
    if (d.weights) {
      gather<T>(*d.weights, nullptr, 0, {weights_.data(), rows, 1});
      call.weights = weights_.data();
      total = 0;
      for (Index i = 0; i < rows; ++i) total += static_cast<double>(weights_.data()[i]);
    }
    call.scale = loss_.scale(total, a.cols);
    loss_.run(call);
    model_.backward(table(deltas_.data(), rows, a.cols));
    return loss_.value(sums_.data(), rows, call.scale);
  }

  double step(const train::Data& d, optim::Optimizer<T>& rule) {
    const double value = pass(d);
    rule.step();
    rule.zero_grad();
    return value;
  }

 private:
  train::Model<T>& model_;
  const nn::Loss& loss_;
  Buffer<T> targets_, deltas_, weights_;
  Buffer<std::int64_t> classes_;
  Buffer<double> sums_;
};

}  // namespace deltaprop::testing
