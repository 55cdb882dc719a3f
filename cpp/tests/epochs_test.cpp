// The rows of an epoch, and stop conditions of fit.
#include <doctest/doctest.h>

#include <set>

#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;
using train::FitOptions;
using train::History;

namespace {

/// A network that records the rows that it is trained on: the input of row i is i.
struct Watched {
  std::shared_ptr<Recorder> spy = std::make_shared<Recorder>();
  Set<double> set;
  Model<double> model{{spy, linear(1, 1)}, 3};
  optim::Optimizer<double> rule = optimizer(model, "SGD", sgd_options(1e-9));

  explicit Watched(Index rows) : set(rows, 1, 1) {
    for (Index i = 0; i < rows; ++i) set.x[at(i)] = static_cast<double>(i);
  }
  std::vector<std::vector<double>> fit(const Batches& batches, const FitOptions& options) {
    spy->trained.clear();
    testing::fit(model, rule, squared_error(), set.values(), batches, options);
    return spy->trained;
  }
};

std::vector<double> joined(const std::vector<std::vector<double>>& batches, std::size_t first, std::size_t last) {
  std::vector<double> rows;
  for (std::size_t i = first; i < last; ++i) rows.insert(rows.end(), batches[i].begin(), batches[i].end());
  return rows;
}

std::vector<double> sorted(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v;
}

Layers small() { return {linear(2, 8), activation("Tanh"), linear(8, 1)}; }

History fit_small(const Batches& batches, const FitOptions& options) {
  Model<double> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.05));
  const Set<double> set(40, 2, 1);
  return fit(model, rule, squared_error(), set.values(), batches, options);
}

}  // namespace

TEST_CASE("an epoch visits each row once, with a partial last batch") {
  Watched watched(10);
  const auto batches = watched.fit({.size = 4, .seed = 5}, {.epochs = 3});
  REQUIRE(batches.size() == 9);
  const auto all = joined(Watched(10).fit({.size = 10}, {.epochs = 1}), 0, 1);
  std::set<std::vector<double>> orders;
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    CHECK(batches[3 * epoch].size() == 4);
    CHECK(batches[3 * epoch + 1].size() == 4);
    CHECK(batches[3 * epoch + 2].size() == 2);
    const auto order = joined(batches, 3 * epoch, 3 * epoch + 3);
    CHECK(sorted(order) == all);
    orders.insert(order);
  }
  CHECK(orders.size() == 3);
  CHECK(Watched(10).fit({.size = 4, .seed = 5}, {.epochs = 3}) == batches);
  CHECK(Watched(10).fit({.size = 4, .seed = 6}, {.epochs = 3}) != batches);
}

TEST_CASE("without shuffling, or with one batch, rows keep their order") {
  const std::vector<double> order{0, 1, 2, 3, 4, 5, 6};
  CHECK(joined(Watched(7).fit({.size = 3, .shuffle = false}, {.epochs = 1}), 0, 3) == order);
  CHECK(Watched(7).fit({.size = 7}, {.epochs = 1}) == std::vector<std::vector<double>>{order});
  CHECK(Watched(7).fit({.size = 100}, {.epochs = 1}) == std::vector<std::vector<double>>{order});
}

TEST_CASE("without a seed, two consecutive fits equal one longer fit") {
  Watched one(10), two(10);
  const auto whole = one.fit({.size = 3}, {.epochs = 4});
  auto halves = two.fit({.size = 3}, {.epochs = 2});
  const auto second = two.fit({.size = 3}, {.epochs = 2});
  halves.insert(halves.end(), second.begin(), second.end());
  CHECK(halves == whole);
  CHECK(first_difference(values_of(one.model), values_of(two.model)) == -1);
}

TEST_CASE("zero epochs change nothing") {
  const auto history = fit_small({.size = 8}, {.epochs = 0});
  CHECK(history.epochs == 0);
  CHECK(history.updates == 0);
  CHECK(history.loss.empty());
  CHECK(history.stop_reason == "epochs");
}

TEST_CASE("StopOnPlateau evaluates the whole set after an epoch") {
  const auto history = fit_small({.size = 16}, {.epochs = 1000, .stop = train::StopOnPlateau{1e-4, false}});
  CHECK(history.stop_reason == "plateau");
  CHECK(history.epochs > 1);
  CHECK(history.epochs < 1000);
  REQUIRE(static_cast<Index>(history.stop_losses.size()) == history.epochs);
  const auto& l = history.stop_losses;
  for (std::size_t i = 1; i < l.size(); ++i) CHECK((std::abs(l[i] - l[i - 1]) < 1e-4) == (i + 1 == l.size()));
}

TEST_CASE("StopOnPlateau can evaluate after an update within an epoch") {
  const auto history = fit_small({.size = 16}, {.epochs = 1000, .stop = train::StopOnPlateau{1e9, true}});
  CHECK(history.stop_reason == "plateau");
  CHECK(history.updates == 2);
  CHECK(history.epochs == 1);
  CHECK(history.loss.size() == 1);
  CHECK(history.stop_losses.size() == 2);
}

TEST_CASE("StopOnPlateau evaluates the updated network, or a given loss") {
  const Set<double> set(40, 2, 1);
  const nn::NamedLoss other("MSELoss", nn::Reduction::sum, 3.0);
  const Losses own{{&squared_error()}}, others{{&other}};
  for (const Losses* asked : {static_cast<const Losses*>(nullptr), &others}) {
    Model<double> model(small(), 1);
    auto rule = optimizer(model, "SGD", sgd_options(0.05));
    const auto history = fit(model, rule, squared_error(), set.values(), {.size = 40},
                             {.epochs = 2, .stop = train::StopOnPlateau{0, true, asked}});
    REQUIRE(history.stop_losses.size() == 2);
    CHECK(history.stop_losses[1] == evaluate(model, asked == nullptr ? own : *asked, set.values()));
    CHECK(history.stop_reason == "epochs");
    // The loss before the next epoch's update is the loss after this one.
    if (asked == nullptr) CHECK(history.loss[1] == history.stop_losses[0]);
  }
}

TEST_CASE("epoch_end receives the history and may stop the fit") {
  std::vector<Index> seen;
  const auto history = fit_small({.size = 16}, {.epochs = 10, .epoch_end = [&](const History& h) {
                                                  seen.push_back(h.epochs);
                                                  CHECK(static_cast<Index>(h.loss.size()) == h.epochs);
                                                  return h.epochs == 3;
                                                }});
  CHECK(seen == std::vector<Index>{1, 2, 3});
  CHECK(history.stop_reason == "callback");
  CHECK(history.updates == 9);
}

TEST_CASE("validation after each epoch uses the updated network") {
  Model<double> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.05));
  const Set<double> set(40, 2, 1), other(5, 2, 1, 77);
  const train::Data held_out = other.values();
  std::vector<double> expected;
  const auto history = fit(model, rule, squared_error(), set.values(), {.size = 16},
                           {.epochs = 3, .validation = &held_out, .epoch_end = [&](const auto&) {
                              expected.push_back(evaluate(model, squared_error(), held_out));
                              return false;
                            }});
  CHECK(expected.size() == 3);
  CHECK(history.val_loss == expected);

  const nn::NamedLoss other_loss("MSELoss", nn::Reduction::sum, 3.0);
  const Losses other_losses{{&other_loss}};
  const auto judged = fit(model, rule, squared_error(), set.values(), {.size = 16},
                          {.epochs = 1, .validation = &held_out, .validation_heads = &other_losses});
  CHECK(judged.val_loss == std::vector<double>{evaluate(model, other_loss, held_out)});
}
