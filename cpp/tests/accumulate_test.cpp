// Gradient accumulation over several batches, and running statistics.
#include <doctest/doctest.h>

#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

Layers small() { return {linear(3, 8), activation("Tanh"), linear(8, 4)}; }
Layers centred() { return {std::make_shared<Centre>(3), linear(3, 4)}; }

template <class T>
struct Result {
  std::vector<T> values;
  train::History history;
};

template <class T>
Result<T> fitted(const Set<T>& set, const nn::Loss& loss, Index batch, Index accumulate) {
  Model<T> model(small(), 2);
  auto rule = optimizer(model, "SGD", sgd_options(0.1, 0.9));
  auto history =
      fit(model, rule, loss, set.for_loss(loss), {.size = batch, .seed = 3}, {.epochs = 3, .accumulate = accumulate});
  return {values_of(model), std::move(history)};
}

}  // namespace

TEST_CASE_TEMPLATE("accumulating k batches gives the update of one batch k times as large", T, float, double) {
  Set<T> set(50, 3, 4);
  for (const bool weighted : {false, true}) {
    CAPTURE(weighted);
    for (Index i = 0; weighted && i < 50; ++i) set.weights.push_back(T(i % 4));
    for (const nn::Loss* loss :
         {static_cast<const nn::Loss*>(&squared_error()), static_cast<const nn::Loss*>(&cross_entropy())}) {
      // 50 rows: updates of 18, 18 and 14 rows; the last batch is partial.
      const auto large = fitted(set, *loss, 18, 1), parts = fitted(set, *loss, 6, 3);
      CHECK(large.history.updates == 9);
      CHECK(parts.history.updates == 9);
      const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
      for (std::size_t i = 0; i < large.values.size(); ++i) {
        CHECK(std::abs(static_cast<double>(parts.values[i] - large.values[i])) < tolerance);
      }
      for (std::size_t epoch = 0; epoch < 3; ++epoch) {
        CHECK(std::abs(parts.history.loss[epoch] - large.history.loss[epoch]) < tolerance);
      }
    }
  }
}

TEST_CASE("the last update of an epoch takes the remaining batches, never rows of the next epoch") {
  const Set<double> set(50, 3, 4);
  const auto all = fitted(set, squared_error(), 6, 100), some = fitted(set, squared_error(), 6, 4);
  CHECK(all.history.updates == 3);   // 9 batches
  CHECK(some.history.updates == 9);  // 4, 4 and 1
}

TEST_CASE("running statistics are updated by each batch of an accumulated update") {
  const Set<double> set(12, 3, 4);
  Model<double> model(centred(), 1), other(centred(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  fit(model, rule, squared_error(), set.values(), {.size = 4, .shuffle = false}, {.epochs = 1, .accumulate = 3});
  for (const Index first : {0, 4, 8}) {
    const Set<double> batch = set.select(run_of(first, first + 4));
    forward(other, batch.values().x[0]);
  }
  CHECK(buffers_of(model) == buffers_of(other));
}

TEST_CASE("a failing step restores the running statistics, including those of its earlier batches") {
  const Set<double> good(24, 3, 4);
  for (const Index accumulate : {1, 3}) {
    CAPTURE(accumulate);
    Set<double> spoilt = good;
    spoilt.y[at(4 * 20)] = std::numeric_limits<double>::quiet_NaN();  // in the last batch of 4
    Model<double> model(centred(), 1), expected(centred(), 1);
    auto rule = optimizer(model, "SGD", sgd_options(0.1)), expected_rule = optimizer(expected, "SGD", sgd_options(0.1));
    const auto fail = [&] {
      fit(model, rule, squared_error(), spoilt.values(), {.size = 4, .shuffle = false},
          {.epochs = 1, .accumulate = accumulate});
    };
    CHECK_THROWS_AS(fail(), NotFinite);
    const auto went_well = good.select(run_of(0, accumulate == 1 ? 20 : 12));
    fit(expected, expected_rule, squared_error(), went_well.values(), {.size = 4, .shuffle = false},
        {.epochs = 1, .accumulate = accumulate});
    CHECK(buffers_of(model) == buffers_of(expected));
    CHECK(values_of(model) == values_of(expected));
  }
}

TEST_CASE("an interrupt between the batches of an update restores the running statistics") {
  const Set<double> set(12, 3, 4);
  Model<double> model(centred(), 1);
  const auto buffers = buffers_of(model);
  const auto values = values_of(model);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  int moved = 0;
  const auto interrupted = [&] {
    fit(model, rule, squared_error(), set.values(), {.size = 4}, {.epochs = 1, .accumulate = 3, .check_interrupt = [&] {
                                                                    // Only between batches do they differ.
                                                                    if (buffers_of(model) == buffers || ++moved == 0)
                                                                      return;
                                                                    throw std::out_of_range("mine");
                                                                  }});
  };
  CHECK_THROWS_WITH_AS(interrupted(), "mine", std::out_of_range);
  CHECK(moved == 1);
  CHECK(buffers_of(model) == buffers);
  CHECK(values_of(model) == values);
}
