// Sources of batches.
#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;
using train::ArrayBatches;
using train::Batch;

namespace {

std::vector<Index> rows_of(const Batch& batch) {
  if (batch.order == nullptr) return run_of(batch.first, batch.first + batch.rows);
  return {batch.order, batch.order + batch.rows};
}

/// The batches of one epoch.
std::vector<std::vector<Index>> epoch(train::BatchSource& batch_source, std::uint64_t number) {
  std::vector<std::vector<Index>> batches;
  batch_source.begin_epoch(number, [] {});
  batch_source.begin_step();
  while (const auto batch = batch_source.next()) batches.push_back(rows_of(*batch));
  return batches;
}

/// A source with a given number of batches in each epoch, each a data set of its own.
class Listed final : public train::BatchSource {
 public:
  Listed(std::vector<train::Data> sets, std::vector<std::size_t> epochs)
      : sets_(std::move(sets)), epochs_(std::move(epochs)) {}
  const train::Data& example() override { return sets_[0]; }
  void begin_epoch(std::uint64_t epoch, const std::function<void()>&) override {
    left_ = epochs_.at(epoch);
    begun.push_back(epoch);
  }
  void begin_step() override { ++steps; }
  std::optional<Batch> next() override {
    if (left_ == 0) return std::nullopt;
    const train::Data& set = sets_[sets_.size() - left_--];
    return Batch{&set, nullptr, 0, set.rows()};
  }

  std::vector<std::uint64_t> begun;
  int steps = 0;

 private:
  std::vector<train::Data> sets_;
  std::vector<std::size_t> epochs_;
  std::size_t left_ = 0;
};

}  // namespace

TEST_CASE("shuffled batches are slices of the permutation keyed by seed and epoch") {
  const Set<float> set(10, 2, 1);
  const train::Data data = set.values();
  ArrayBatches batch_source(data, 4, true, 5), other(data, 4, true, 6);
  for (const std::uint64_t number : {0, 1, 7, 1}) {
    std::vector<Index> order(10);
    permutation(Random(5, Purpose::shuffle, static_cast<std::uint32_t>(number)), order);
    const auto batches = epoch(batch_source, number);
    REQUIRE(batches.size() == 3);
    CHECK(batches[0] == std::vector<Index>(order.begin(), order.begin() + 4));
    CHECK(batches[1] == std::vector<Index>(order.begin() + 4, order.begin() + 8));
    CHECK(batches[2] == std::vector<Index>(order.begin() + 8, order.end()));
    CHECK(epoch(other, number) != batches);
  }
  CHECK(&batch_source.example() == &data);
}

TEST_CASE("without shuffling, or with one batch, rows are not permuted") {
  const Set<float> set(7, 2, 1);
  const train::Data data = set.values();
  ArrayBatches in_order(data, 3, false, 5), whole(data, 7, true, 5), larger(data, 100, true, 5);
  CHECK(epoch(in_order, 2) == std::vector<std::vector<Index>>{{0, 1, 2}, {3, 4, 5}, {6}});
  CHECK(epoch(whole, 2) == std::vector<std::vector<Index>>{run_of(0, 7)});
  CHECK(epoch(larger, 2) == std::vector<std::vector<Index>>{run_of(0, 7)});
}

TEST_CASE("a shuffle can be interrupted") {
  const Set<float> set(300000, 1, 1);
  const train::Data data = set.values();
  ArrayBatches batch_source(data, 4, true, 5);
  const auto interrupted = [&] { batch_source.begin_epoch(0, [] { throw std::out_of_range("mine"); }); };
  CHECK_THROWS_WITH_AS(interrupted(), "mine", std::out_of_range);
}

TEST_CASE("a slice of a batch refers to the same rows") {
  const Index order[] = {4, 2, 0, 3};
  const train::Data data;
  CHECK(rows_of(Batch{&data, order, 0, 4}.slice({1, 3})) == std::vector<Index>{2, 0});
  CHECK(rows_of(Batch{&data, nullptr, 5, 4}.slice({1, 3})) == std::vector<Index>{6, 7});
}

TEST_CASE("epochs and batches may differ in size, and the mean weights every row equally") {
  const Set<double> small(3, 2, 1), large(9, 2, 1, 7);
  Listed batch_source({small.values(), large.values()}, {2, 1});
  Model<double> model(Layers{linear(2, 1)}, 1), other(Layers{linear(2, 1)}, 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1)), other_rule = optimizer(other, "SGD", sgd_options(0.1));
  const Losses losses{{&squared_error()}};
  const auto history = train::fit(model, rule, losses, batch_source, {.epochs = 2, .first_epoch = 0});
  ManualStep<double> hand(other, losses);
  const double first = hand.step(small.values(), other_rule), second = hand.step(large.values(), other_rule),
               third = hand.step(large.values(), other_rule);
  CHECK(history.loss[0] == doctest::Approx((3 * first + 9 * second) / 12).epsilon(1e-14));
  CHECK(history.loss[1] == third);
  CHECK(history.updates == 3);
  CHECK(values_of(model) == values_of(other));
  CHECK(batch_source.begun == std::vector<std::uint64_t>{0, 1});
  CHECK(batch_source.steps == 5);  // one request per update, and one that finds no more batches
}

TEST_CASE("an epoch without batches is rejected, and earlier updates are retained") {
  const Set<double> set(3, 2, 1);
  Listed batch_source({set.values()}, {1, 0});
  Model<double> model(Layers{linear(2, 1)}, 1), other(Layers{linear(2, 1)}, 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1)), other_rule = optimizer(other, "SGD", sgd_options(0.1));
  const Losses losses{{&squared_error()}};
  CHECK_THROWS_WITH_AS(train::fit(model, rule, losses, batch_source, {.epochs = 5, .first_epoch = 0}),
                       "fit: expected batches in each epoch, got none in epoch 1", ValueError);
  ManualStep<double>(other, losses).step(set.values(), other_rule);
  CHECK(values_of(model) == values_of(other));
  CHECK(model.epochs == 1);
}

TEST_CASE("batches whose shape differs from the first are rejected before they are read") {
  const Tables<double> two(4, {2, 2}, {4}), one(4, {2}, {4}), wide(4, {3}, {6});
  const Losses losses{{&squared_error()}};
  const auto fitted = [&](const train::Data& first, const train::Data& second) {
    Model<double> model(sequential(concat(activation("Tanh"), activation("Tanh"))), 1);
    auto rule = optimizer(model, "SGD", sgd_options(0.1));
    Listed batch_source({first, second}, {2});
    train::fit(model, rule, losses, batch_source, {.epochs = 1, .first_epoch = 0});
  };
  CHECK_NOTHROW(fitted(one.data(), one.data()));
  CHECK_THROWS_WITH_AS(fitted(one.data(), two.data()),
                       "fit: expected batches of inputs with (2,) features, as the first has, got (2, 2)", ValueError);
  CHECK_THROWS_WITH_AS(fitted(two.data(), one.data()),
                       "fit: expected batches of inputs with (2, 2) features, as the first has, got (2,)", ValueError);
  CHECK_THROWS_WITH_AS(fitted(one.data(), wide.data()),
                       "fit: expected batches of inputs with (2,) features, as the first has, got (3,)", ValueError);
}
