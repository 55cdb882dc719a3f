// State after a failed fit, and concurrent calls during fit.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "deltaprop/core/threads.hpp"
#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;
using train::FitOptions;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Layers small() { return {linear(2, 8), activation("Tanh"), linear(8, 1)}; }

template <class T>
struct Trainee {
  Model<T> model{small(), 1};
  optim::Optimizer<T> rule = optimizer(model, "Adam", adam_options(0.01));

  train::History fit(const Set<T>& set, const Batches& batches, const FitOptions& options, bool check_rows = false) {
    train::Data data = set.values();
    data.check_x_rows = data.targets[0].check_rows = check_rows;
    return testing::fit(model, rule, squared_error(), data, batches, options);
  }
};

/// Parameters whose gradients are 1 and slow to compute, in three tiles.
class SlowGradient final : public nn::BothPrecisions<SlowGradient> {
 public:
  static constexpr Index kTile = 1 << 19;
  std::string describe() const override { return "SlowGradient()"; }
  std::vector<ParameterShape> parameters() const override { return {{"w", {3 * kTile}}}; }
  std::vector<Range> gradient_tiles() const override {
    return {{0, kTile}, {kTile, 2 * kTile}, {2 * kTile, 3 * kTile}};
  }
  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    std::copy_n(f.x.data, f.x.size(), f.y.data);
  }
  template <class T>
  void run_backward(const nn::Backward<T>&) const {}
  template <class T>
  void run_gradient(const nn::Gradient<T>& g, Range tile) const {
    std::fill_n(g.gradients + tile.begin, tile.size(), T(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    ++found;
  }
  bool between_tiles() const { return found % 3 != 0; }
  mutable int found = 0;
};

/// Whether all locks are released and the gradients are 0.
template <class T>
void check_usable(Trainee<T>& t, const Set<T>& set) {
  const auto g = gradients_of(t.model);
  CHECK(std::all_of(g.begin(), g.end(), [](T v) { return v == 0; }));
  CHECK_NOTHROW(t.fit(set, {.size = 8}, {.epochs = 1}));
  CHECK_NOTHROW(ManualStep<T>(t.model, squared_error()).step(set.values(), t.rule));
  CHECK(inferred(t.model, set.values().x[0]).size() == set.y.size());
}

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE_TEMPLATE("a loss that is not finite stops fit before the update", T, float, double) {
  const Set<T> good(24, 2, 1);
  for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    Set<T> spoilt = good;
    spoilt.y[19] = bad;  // in the third batch of 8
    Trainee<T> trainee, expected;
    const auto fail = [&] { trainee.fit(spoilt, {.size = 8, .shuffle = false}, {.epochs = 3}); };
    CHECK_THROWS_AS(fail(), NotFinite);
    expected.fit(good.select(run_of(0, 16)), {.size = 8, .shuffle = false}, {.epochs = 1});
    CHECK(trainee.rule.steps() == 2);
    CHECK(first_difference(values_of(trainee.model), values_of(expected.model)) == -1);
    check_usable(trainee, good);
  }
}

TEST_CASE("the error message names epoch and batch") {
  Set<double> set(24, 2, 1);
  set.y[19] = kNan;
  Trainee<double> trainee;
  const auto text = message([&] { trainee.fit(set, {.size = 8, .shuffle = false}, {.epochs = 3}); });
  CHECK(text.find("the loss is nan") != std::string::npos);
  CHECK(text.find("epoch 0, batch 2") != std::string::npos);
}

// The loss is summed in float64, so in float32 the delta overflows first.
TEST_CASE("a delta that is not finite stops fit before the update") {
  Set<float> set(8, 2, 1);
  set.y[3] = 3e38f;
  Trainee<float> trainee;
  trainee.model.network().parameters()->values.data()[32] = -3e38f;
  const auto before = values_of(trainee.model);
  const auto text = message([&] { trainee.fit(set, {.size = 8}, {.epochs = 1}); });
  CHECK(text.find("a delta is not finite in epoch 0, batch 0") != std::string::npos);
  CHECK(first_difference(values_of(trainee.model), before) == -1);
  CHECK(trainee.rule.steps() == 0);
}

TEST_CASE("divergence raises NotFinite") {
  Set<float> set(8, 2, 1);
  Model<float> model(small(), 1);
  auto rule = optimizer(model, "SGD", sgd_options(1e12));
  CHECK_THROWS_AS(fit(model, rule, squared_error(), set.values(), {.size = 8}, {.epochs = 1000}), NotFinite);
}

TEST_CASE("with checks per batch, a batch is rejected when it is read") {
  const Set<double> good(24, 2, 1);
  for (const bool in_x : {true, false}) {
    Set<double> spoilt = good;
    (in_x ? spoilt.x[33] : spoilt.y[16]) = kNan;  // in the third batch of 8
    Trainee<double> trainee, expected;
    const auto fail = [&] { trainee.fit(spoilt, {.size = 8, .shuffle = false}, {.epochs = 1}, true); };
    CHECK_THROWS_AS(fail(), ValueError);
    expected.fit(good.select(run_of(0, 16)), {.size = 8, .shuffle = false}, {.epochs = 1});
    CHECK(first_difference(values_of(trainee.model), values_of(expected.model)) == -1);
    check_usable(trainee, good);
  }
}

TEST_CASE("after an exception from epoch_end, model and optimizer are usable") {
  const Set<double> set(24, 2, 1);
  Trainee<double> trainee, expected;
  const auto fail = [&] {
    trainee.fit(set, {.size = 8}, {.epochs = 5, .epoch_end = [](const train::History& h) -> bool {
                                     if (h.epochs == 2) throw std::out_of_range("mine");
                                     return false;
                                   }});
  };
  CHECK_THROWS_WITH_AS(fail(), "mine", std::out_of_range);
  expected.fit(set, {.size = 8}, {.epochs = 2});
  CHECK(first_difference(values_of(trainee.model), values_of(expected.model)) == -1);
  check_usable(trainee, set);
}

TEST_CASE("an exception from check_interrupt ends fit promptly and leaves model and optimizer usable") {
  const Set<double> set(24, 2, 1);
  Trainee<double> trainee;
  int polls = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto fail = [&] {
    trainee.fit(set, {.size = 8}, {.epochs = std::numeric_limits<Index>::max(), .check_interrupt = [&] {
                                     if (++polls == 2) throw std::out_of_range("mine");
                                   }});
  };
  CHECK_THROWS_WITH_AS(fail(), "mine", std::out_of_range);
  CHECK(polls == 2);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
  CHECK(trainee.rule.steps() > 0);
  check_usable(trainee, set);
}

TEST_CASE("check_interrupt is never called during an update, but between the gradients of a long step") {
  const threads::Limit alone(1);  // other threads run tiles without check_interrupt
  // Enough rows for a long step.
  for (const Index rows : {10, 3000}) {
    CAPTURE(rows);
    const auto slow = std::make_shared<SlowGradient>();
    Model<float> model(Layers{slow}, 1);
    auto rule = optimizer(model, "SGD", sgd_options(1));
    const Set<float> set(rows, 1, 1);
    const auto all_updated_alike = [&] {
      const auto v = values_of(model);
      return std::all_of(v.begin(), v.end(), [&](float x) { return x == static_cast<float>(-rule.steps()); });
    };
    int polls = 0, between_tiles = 0;
    const auto check_interrupt = [&] {
      ++polls;
      between_tiles += slow->between_tiles();
      CHECK(all_updated_alike());
      if (rule.steps() == 1 && slow->between_tiles()) throw std::out_of_range("mine");
    };
    bool thrown = false;
    try {
      fit(model, rule, squared_error(), set.values(), {.size = rows},
          {.epochs = 3, .check_interrupt = check_interrupt});
    } catch (const std::out_of_range&) {
      thrown = true;
    }
    CHECK(polls > 0);
    CHECK(thrown == (rows == 3000));
    CHECK((between_tiles > 0) == (rows == 3000));
    CHECK(rule.steps() == (rows == 3000 ? 1 : 3));
    CHECK(all_updated_alike());
  }
}

TEST_CASE("during fit, callbacks may predict, but not train, and other threads may do neither") {
  const Set<double> set(24, 2, 1);
  const StridedView x = set.values().x[0];
  Trainee<double> trainee;
  auto other_rule = optimizer(trainee.model, "SGD", sgd_options(0.1));
  bool asked = false;
  trainee.fit(set, {.size = 8}, {.epochs = 1, .epoch_end = [&](const train::History&) {
                                   asked = true;
                                   CHECK(inferred(trainee.model, x).size() == 24);
                                   CHECK(std::isfinite(evaluate(trainee.model, squared_error(), set.values())));
                                   CHECK_THROWS_AS(trainee.fit(set, {.size = 8}, {.epochs = 1}), std::runtime_error);
                                   CHECK_THROWS_AS(trainee.rule.step(), std::runtime_error);
                                   int refused = 0;
                                   const auto count = [&](const std::function<void()>& f) {
                                     try {
                                       f();
                                     } catch (const std::runtime_error&) {
                                       ++refused;
                                     }
                                   };
                                   std::thread([&] {
                                     count([&] { inferred(trainee.model, x); });
                                     count([&] { forward(trainee.model, x); });
                                     count([&] { trainee.rule.step(); });
                                     count([&] { trainee.rule.set_options(0, adam_options(1)); });
                                     count([&] { other_rule.step(); });
                                     count([&] { other_rule.zero_grad(); });
                                     count([&] { trainee.fit(set, {.size = 8}, {.epochs = 1}); });
                                   }).join();
                                   CHECK(refused == 7);
                                   return false;
                                 }});
  CHECK(asked);
  check_usable(trainee, set);
}

TEST_CASE("input checks name the array and the row") {
  std::vector<double> v(6000 * 3, 1.0);
  const auto x = table(v.data(), 6000, 3);
  CHECK_NOTHROW(kernels::check_finite<float>(x, "X"));
  v[3 * 5000 + 2] = 1e300;
  CHECK_NOTHROW(kernels::check_finite<double>(x, "X"));
  const auto too_large = message([&] { kernels::check_finite<float>(x, "X"); });
  CHECK(too_large.find("X: expected finite numbers that fit float32") == 0);
  CHECK(too_large.find("row 5000, column 2") != std::string::npos);
  v[3 * 4096] = kNan;
  CHECK(message([&] { kernels::check_finite<float>(x, "X"); }) ==
        "X: expected finite numbers, got nan in row 4096, column 0");
  CHECK_THROWS_AS(kernels::check_finite<double>(x, "X"), ValueError);

  std::vector<double> w{0, 1, -0.5, kNan};
  CHECK_NOTHROW(train::check_weights<float>(table(w.data(), 2, 1)));
  CHECK_THROWS_WITH_AS(train::check_weights<float>(table(w.data(), 4, 1)),
                       "sample_weight: expected finite weights of 0 or more, got -0.5 in row 2", ValueError);
  CHECK_THROWS_AS(train::check_weights<float>(table(w.data() + 3, 1, 1)), ValueError);

  const std::int64_t classes[] = {0, 2, 3, -1};
  const auto column = [&](Index first, Index rows) {
    return StridedView{reinterpret_cast<const std::byte*>(classes + first), Dtype::int64, rows, 1, 8, 0};
  };
  CHECK_NOTHROW(train::check_classes(column(0, 2), 3, "y", -100));
  CHECK_THROWS_WITH_AS(train::check_classes(column(0, 3), 3, "y", -100),
                       "y: expected classes from 0 to 2, got 3 in row 2", ValueError);
  CHECK_THROWS_AS(train::check_classes(column(3, 1), 3, "y", -100), ValueError);
}
