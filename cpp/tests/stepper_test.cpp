// The seam between the epoch loop and what makes an update: objectives, steppers, reductions.
#include <doctest/doctest.h>

#include <barrier>
#include <cmath>
#include <thread>

#include "deltaprop/nn/normalise.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using train::Batch;
using train::Execution;
using train::FitOptions;
using train::History;
using train::Objective;

namespace {

const InterruptCheck no_check = [] {};
const Execution one_thread{1, no_check};

/// Steepest descent with a backtracking line search (Armijo's condition): a full-batch solver, unlike any update rule.
template <class T>
class SteepestDescent final : public train::Stepper<T> {
 public:
  void begin(Objective<T>& objective) override { objective_ = &objective; }

  double step(std::span<const Batch> batches, double, const InterruptCheck& check_interrupt) override {
    constexpr double kSufficient = 1e-4;
    const Execution execution{1, check_interrupt};
    typename Objective<T>::Statistics statistics(*objective_);
    const double value = objective_->value_and_gradient(batches, execution);
    Parameters<T>& p = objective_->parameters();
    const std::vector<T> start(p.values.data(), p.values.data() + p.size());
    double squares = 0;
    for (Index i = 0; i < p.size(); ++i) squares += std::pow(static_cast<double>(p.gradients.data()[i]), 2);
    double rate = first_rate;
    for (; rate > 1e-12; rate /= 2) {
      for (Index i = 0; i < p.size(); ++i) {
        p.values.data()[i] = static_cast<T>(start[at(i)] - rate * p.gradients.data()[i]);
      }
      if (objective_->value_at(batches, execution) <= value - kSufficient * rate * squares) break;
    }
    statistics.commit();
    return rate;
  }

  void set_option(Index, Index, double value) override { first_rate = value; }

  double first_rate = 1;

 private:
  Objective<T>* objective_ = nullptr;
};

/// A fit by steepest descent through the whole of the epoch loop.
template <class T>
struct Descent {
  runtime::Model<T> model{{linear(3, 12), activation("Tanh"), linear(12, 2)}, 4};
  Set<T> set{60, 3, 2};
  SteepestDescent<T> stepper;

  History fit(FitOptions options) {
    const train::Data data = set.values();
    const Losses losses{{&squared_error()}};
    if (options.stop) options.stop->data = &data;
    train::ArrayBatches batches(data, set.rows, false, 0);
    return train::fit(model, train::Trainer<T>{stepper, model.guards()}, losses, batches, options);
  }
};

Batch all_rows(const train::Data& data) { return {&data, nullptr, 0, data.rows()}; }

}  // namespace

TEST_CASE_TEMPLATE("a full-batch solver trains through the epoch loop", T, float, double) {
  Descent<T> descent;
  const History history = descent.fit({.epochs = 60});
  CHECK(history.epochs == 60);
  CHECK(history.updates == 60);
  CHECK(history.stop_reason == "epochs");
  REQUIRE(history.loss.size() == 60);
  for (std::size_t i = 1; i < history.loss.size(); ++i) CHECK(history.loss[i] < history.loss[i - 1]);
  CHECK(history.loss.back() < 0.9 * history.loss.front());
  // "lr" is the length of each step, which is a power of 2 by the search.
  for (const double rate : history.lr) CHECK(std::log2(rate) == std::floor(std::log2(rate)));
  CHECK(evaluate(descent.model, squared_error(), descent.set.values()) < history.loss.back());
}

TEST_CASE("stop rules, callbacks, validation and schedules work with any stepper") {
  Descent<double> descent;
  const Set<double> other(20, 3, 2, 9);
  const train::Data validation = other.values();
  std::vector<Index> epochs, updates;
  FitOptions options{.epochs = 1000, .validation = &validation, .stop = train::StopOnPlateau{1e-5, true}};
  options.schedule.columns.push_back({0, 0, std::vector<double>(1001, 2.0)});
  options.epoch_end = [&](const History& h) {
    epochs.push_back(h.epochs);
    return false;
  };
  options.batch_end = [&](const History& h, double loss) {
    updates.push_back(h.updates);
    CHECK(std::isfinite(loss));
    return false;
  };
  const History history = descent.fit(options);
  CHECK(history.stop_reason == "plateau");
  CHECK(history.epochs < 1000);
  CHECK(epochs.size() == at(history.epochs));
  CHECK(updates.size() == at(history.updates));
  CHECK(history.val_loss.size() == at(history.epochs));
  CHECK(history.val_loss.back() == evaluate(descent.model, squared_error(), validation));
  CHECK(std::abs(history.stop_losses.end()[-1] - history.stop_losses.end()[-2]) < 1e-5);
  for (const double rate : history.lr) CHECK(rate <= 2);

  Descent<double> stopped;
  FitOptions after_three{.epochs = 10, .epoch_end = [](const History& h) { return h.epochs == 3; }};
  CHECK(stopped.fit(after_three).stop_reason == "callback");
}

TEST_CASE("an exception within a stepper leaves the network usable") {
  Descent<double> descent;
  const auto before = values_of(descent.model);
  descent.set.y[5] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH_AS(
      descent.fit({.epochs = 3}),
      "fit: the loss is inf in epoch 0, batch 0; the network is as the last update left it (a smaller lr may help)",
      NotFinite);
  CHECK(values_of(descent.model) == before);
  descent.set.y[5] = 0;
  CHECK(descent.fit({.epochs = 3}).epochs == 3);
}

TEST_CASE("the objective's gradient is the derivative of its value, for one batch and for several") {
  runtime::Model<double> model(
      Layers{linear(3, 5), std::make_shared<nn::BatchNorm>(5, 1e-5, 0.1, true, "BatchNorm1d(5)"), activation("Tanh"),
             linear(5, 2)},
      2);
  Set<double> set(14, 3, 2);
  for (Index i = 0; i < set.rows; ++i) set.weights.push_back(1 + static_cast<double>(i % 3));
  const train::Data data = set.values();
  const Losses losses{{&squared_error(), 0.7}};
  Objective<double> objective(model, losses, data);
  const std::vector<Batch> several{{&data, nullptr, 0, 6}, {&data, nullptr, 6, 8}};
  const auto statistics = buffers_of(model);
  for (const std::span<const Batch> batches : {std::span(several), std::span(several).first(1)}) {
    const Objective<double>::Statistics restored(objective);
    const double value = objective.value_and_gradient(batches, one_thread);
    const auto gradient = gradients_of(model);
    CHECK(objective.value_at(batches, one_thread) == doctest::Approx(value).epsilon(1e-15));
    CHECK(objective.value() == value);
    Parameters<double>& p = objective.parameters();
    for (Index i = 0; i < p.size(); ++i) {
      constexpr double h = 1e-6;
      const double at_i = p.values.data()[i];
      p.values.data()[i] = at_i + h;
      const double above = objective.value_at(batches, one_thread);
      p.values.data()[i] = at_i - h;
      const double below = objective.value_at(batches, one_thread);
      p.values.data()[i] = at_i;
      CHECK(gradient[at(i)] == doctest::Approx((above - below) / (2 * h)).epsilon(1e-6).scale(1e-3));
    }
  }
  CHECK(buffers_of(model) == statistics);
}

TEST_CASE("each row's Jacobian holds the derivatives of its outputs with respect to all parameters") {
  runtime::Model<double> model(sequential(linear(3, 4), activation("Tanh"), residual(linear(4, 4), activation("GELU")),
                                          heads(linear(4, 2), sequential(activation("Sigmoid"), linear(4, 1)))),
                               2);
  model.set_frozen(2, true);  // the layer within the residual block
  Set<double> set(5, 3, 2);
  train::Data data = set.values();
  const Set<double> second(5, 3, 1);
  data.targets.push_back(second.values().targets[0]);
  const Losses losses{{&squared_error()}, {&squared_error()}};
  Objective<double> objective(model, losses, data);
  Parameters<double>& p = objective.parameters();
  const auto outputs = [&] { return inferred(model, data.x); };
  std::vector<std::vector<std::vector<double>>> above, below;
  constexpr double h = 1e-6;
  for (Index i = 0; i < p.size(); ++i) {
    const double at_i = p.values.data()[i];
    p.values.data()[i] = at_i + h;
    above.push_back(outputs());
    p.values.data()[i] = at_i - h;
    below.push_back(outputs());
    p.values.data()[i] = at_i;
  }
  const auto gradients = gradients_of(model);
  Index calls = 0;
  objective.jacobian(
      all_rows(data),
      [&](Index row, std::size_t head, Index output, std::span<const double> derivatives) {
        ++calls;
        REQUIRE(derivatives.size() == at(p.size()));
        const std::size_t element = at(row) * (head == 0 ? 2 : 1) + at(output);
        for (const Parameter& parameter : p.list) {
          for (Index i = parameter.range.begin; i < parameter.range.end; ++i) {
            const double difference = (above[at(i)][head][element] - below[at(i)][head][element]) / (2 * h);
            CHECK(derivatives[at(i)] == doctest::Approx(parameter.frozen ? 0 : difference).epsilon(1e-6).scale(1e-3));
          }
        }
      },
      one_thread);
  CHECK(calls == 5 * 3);
  CHECK(gradients_of(model) == gradients);
}

TEST_CASE("a Jacobian of rows is refused where a layer couples them") {
  runtime::Model<double> model(Layers{std::make_shared<Centre>(3), linear(3, 2)}, 1);
  const Set<double> set(5, 3, 2);
  const train::Data data = set.values();
  Objective<double> objective(model, Losses{{&squared_error()}}, data);
  CHECK_THROWS_WITH_AS(objective.jacobian(
                           all_rows(data), [](auto&&...) {}, one_thread),
                       "Centre(): expected a layer that takes each row by itself", ValueError);
}

namespace {

/// Sums over two threads that stand for two processes, in the order of their ranks.
class TwoRanks {
 public:
  template <class V>
  void sum(std::size_t rank, std::span<V> partial) {
    lists_[rank] = partial.data();
    barrier_.arrive_and_wait();
    std::vector<V> total(partial.size());
    for (std::size_t i = 0; i < total.size(); ++i) {
      total[i] = static_cast<const V*>(lists_[0])[i] + static_cast<const V*>(lists_[1])[i];
    }
    barrier_.arrive_and_wait();
    std::copy(total.begin(), total.end(), partial.begin());
  }

 private:
  const void* lists_[2] = {};
  std::barrier<> barrier_{2};
};

template <class T>
class Rank final : public train::Reduction<T> {
 public:
  Rank(TwoRanks& ranks, std::size_t rank) : ranks_(ranks), rank_(rank) {}
  void sum_values(std::span<double> partial) override { ranks_.sum(rank_, partial); }
  void sum_gradient(std::span<T> partial) override { ranks_.sum(rank_, partial); }

 private:
  TwoRanks& ranks_;
  std::size_t rank_;
};

}  // namespace

TEST_CASE_TEMPLATE("two processes with a block of rows each train to the bits of one", T, float, double) {
  constexpr Index kBlock = 256;  // rows that one chain sums
  const auto network = [] { return Layers{linear(4, 9), activation("Tanh"), linear(9, 2)}; };
  const Set<T> set(2 * kBlock, 4, 2);
  runtime::Model<T> alone(network(), 3);
  auto alone_rule = optimizer(alone, "Adam", adam_options(0.01));
  const History expected = fit(alone, alone_rule, squared_error(), set.values(), {.size = 2 * kBlock}, {.epochs = 5});

  TwoRanks ranks;
  std::vector<T> trained[2];
  std::vector<double> losses[2];
  const auto work = [&](std::size_t rank) {
    const Set<T> own = set.select(run_of(static_cast<Index>(rank) * kBlock, (static_cast<Index>(rank) + 1) * kBlock));
    const train::Data data = own.values();
    runtime::Model<T> model(network(), 3);
    auto rule = optimizer(model, "Adam", adam_options(0.01));
    Rank<T> reduction(ranks, rank);
    train::ArrayBatches batches(data, kBlock, false, 0);
    train::FirstOrder<T> stepper(rule);
    const train::Trainer<T> trainer{stepper, rule.guards(), &reduction};
    losses[rank] = train::fit(model, trainer, Losses{{&squared_error()}}, batches, {.epochs = 5}).loss;
    trained[rank] = values_of(model);
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  CHECK(first_difference(trained[0], values_of(alone)) == -1);
  CHECK(first_difference(trained[1], values_of(alone)) == -1);
  CHECK(losses[0] == losses[1]);
  for (std::size_t i = 0; i < losses[0].size(); ++i) CHECK(losses[0][i] == doctest::Approx(expected.loss[i]));
}
