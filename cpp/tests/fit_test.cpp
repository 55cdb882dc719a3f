#include "deltaprop/train/fit.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

Layers small() { return {linear(2, 50), activation("Sigmoid"), linear(50, 1)}; }
Layers deep() {
  return {linear(20, 33), activation("ReLU"), linear(33, 17), activation("Tanh"), activation("ReLU"), linear(17, 5)};
}
/// Parameters without gradients, enough for a long step.
class Ballast final : public nn::BothPrecisions<Ballast> {
 public:
  std::string describe() const override { return "Ballast()"; }
  std::vector<ParameterShape> parameters() const override { return {{"w", {2000000}}}; }
  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    std::copy_n(f.x.data, f.x.size(), f.y.data);
  }
  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    if (b.delta_x.data != nullptr) std::copy_n(b.delta_y.data, b.delta_y.size(), b.delta_x.data);
  }
};

Layers heavy() { return {linear(20, 33), std::make_shared<Ballast>(), activation("ReLU"), linear(33, 5)}; }
Layers wide() { return {linear(1200, 70), activation("ReLU"), linear(70, 10)}; }

struct Case {
  Layers (*layers)();
  const nn::Loss& (*loss)();
  Index rows, in, out, batch;
  bool weighted;
};
// More rows than a block of sums and than a tile; a partial last batch; gradients in several tiles.
const Case kCases[] = {{small, squared_error, 700, 2, 1, 700, false}, {small, squared_error, 100, 2, 1, 32, true},
                       {deep, cross_entropy, 300, 20, 5, 64, false},  {deep, cross_entropy, 600, 20, 5, 270, true},
                       {deep, squared_error, 9, 20, 5, 1, false},     {wide, cross_entropy, 40, 1200, 10, 30, false}};

/// Trains one copy by fit and one by a manual loop, and compares the bits.
template <class T>
void check_against_manual_loop(const Case& c, const std::string& rule, const optim::Options& options, bool shuffle) {
  CAPTURE(c.rows);
  CAPTURE(c.batch);
  CAPTURE(rule);
  Set<T> set(c.rows, c.in, c.out);
  if (c.weighted) set.weights = numbers<T>(c.rows, 9);
  for (T& w : set.weights) w += T(1.5);
  Model<T> fitted(c.layers(), 4), model(c.layers(), 4);
  auto fitted_rule = optimizer(fitted, rule, options), hand_rule = optimizer(model, rule, options);
  const auto history = fit(fitted, fitted_rule, c.loss(), set.for_loss(c.loss()),
                           {.size = c.batch, .shuffle = shuffle, .seed = 11}, {.epochs = 3});

  ManualStep<T> hand(model, c.loss());
  std::vector<double> losses;
  auto order = run_of(0, c.rows);
  for (std::uint32_t epoch = 0; epoch < 3; ++epoch) {
    if (shuffle && c.batch < c.rows) permutation(Random(11, Purpose::shuffle, epoch), order);
    double sum = 0;
    for (Index first = 0; first < c.rows; first += c.batch) {
      const Index last = std::min(first + c.batch, c.rows);
      const Set<T> batch = set.select({order.begin() + first, order.begin() + last});
      sum += hand.step(batch.for_loss(c.loss()), hand_rule) *
             (static_cast<double>(last - first) / static_cast<double>(c.rows));
    }
    losses.push_back(sum);
  }
  CHECK(first_difference(values_of(fitted), values_of(model)) == -1);
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    CHECK(history.loss[epoch] == doctest::Approx(losses[epoch]).epsilon(1e-14));
    // The loss of a single batch is not averaged, so its bits are the same.
    if (c.batch == c.rows) CHECK(same_bits(history.loss[epoch], losses[epoch]));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("fit and a manual loop give the same bits", T, float, double) {
  for (const Case& c : kCases) {
    check_against_manual_loop<T>(c, "SGD", sgd_options(0.05, 0.9), false);
    check_against_manual_loop<T>(c, "Adam", adam_options(0.01), false);
    check_against_manual_loop<T>(c, "Adam", adam_options(0.01), true);
  }
}

// A long step computes all gradients before the updates, so that it can be interrupted between them.
TEST_CASE_TEMPLATE("a long step and a manual loop give the same bits", T, float, double) {
  check_against_manual_loop<T>({heavy, cross_entropy, 2100, 20, 5, 2100, false}, "Adam", adam_options(0.01), false);
}

TEST_CASE_TEMPLATE("fit converges on a regression", T, float, double) {
  Set<T> set(200, 2, 1);
  for (Index i = 0; i < set.rows; ++i) set.y[at(i)] = std::sin(3 * set.x[at(2 * i)]) * set.x[at(2 * i + 1)];
  Model<T> model(small(), 0);
  auto rule = optimizer(model, "Adam", adam_options(0.02));
  const auto before = evaluate(model, squared_error(), set.values());
  const auto history = fit(model, rule, squared_error(), set.values(), {.size = 32}, {.epochs = 300});
  const auto after = evaluate(model, squared_error(), set.values());
  CHECK(after < 1e-3);
  CHECK(after < 0.05 * before);
  CHECK(history.loss.size() == 300);
  CHECK(history.loss.back() < 2e-3);
  CHECK(history.lr == std::vector<double>(300, 0.02));
  CHECK(history.epochs == 300);
  CHECK(history.updates == 300 * 7);
  CHECK(rule.steps() == history.updates);
  CHECK(model.epochs == 300);
  CHECK(history.stop_reason == "epochs");
  CHECK(history.val_loss.empty());
}

TEST_CASE_TEMPLATE("fit converges on a classification", T, float, double) {
  Set<T> set(300, 2, 3);
  for (Index i = 0; i < set.rows; ++i) {
    set.classes[at(i)] = set.x[at(2 * i)] < 0 ? 0 : set.x[at(2 * i + 1)] < 0 ? 1 : 2;
  }
  Model<T> model({linear(2, 16), activation("ReLU"), linear(16, 3)}, 0);
  auto rule = optimizer(model, "SGD", sgd_options(0.1, 0.9));
  fit(model, rule, cross_entropy(), set.labels(), {.size = 32}, {.epochs = 100});
  CHECK(evaluate(model, cross_entropy(), set.labels()) < 0.1);
}

TEST_CASE("fit ignores gradients of earlier manual passes and zeroes them") {
  const Set<double> set(20, 2, 1);
  Model<double> clean(small(), 0), stained(small(), 0);
  ManualStep<double>(stained, squared_error()).pass(set.values());
  for (Model<double>* model : {&clean, &stained}) {
    auto rule = optimizer(*model, "SGD", sgd_options(0.1));
    fit(*model, rule, squared_error(), set.values(), {.size = 7}, {.epochs = 2});
    const auto g = gradients_of(*model);
    CHECK(std::all_of(g.begin(), g.end(), [](double v) { return v == 0; }));
    CHECK_THROWS_AS(model->activations(), std::runtime_error);
  }
  CHECK(first_difference(values_of(clean), values_of(stained)) == -1);
}

TEST_CASE("a parameter that no group contains is not updated") {
  const Set<double> set(20, 2, 1);
  Model<double> model(small(), 0);
  const auto before = values_of(model);
  optim::Optimizer<double> rule(optim::find_rule("SGD"), model.network().parameters(), {{{3}, sgd_options(0.1)}});
  fit(model, rule, squared_error(), set.values(), {.size = 20}, {.epochs = 1});
  const auto after = values_of(model);
  CHECK(first_difference(after.data(), before.data(), 200) == -1);
  CHECK(after[200] != before[200]);
}

TEST_CASE("rows of weight 0 are ignored, and weights of 1 change no bit") {
  const Set<double> set(50, 20, 5);
  Set<double> ones = set, zeros = set;
  ones.weights.assign(50, 1);
  for (Index i = 0; i < 50; ++i) zeros.weights.push_back(i < 40 ? 1 : 0);
  const auto fitted = [](const Set<double>& s) {
    Model<double> model(deep(), 4);
    auto rule = optimizer(model, "SGD", sgd_options(0.1));
    const auto history = fit(model, rule, cross_entropy(), s.labels(), {.size = 50}, {.epochs = 3});
    return std::pair{values_of(model), history.loss};
  };
  CHECK(fitted(ones) == fitted(set));
  CHECK(fitted(zeros) == fitted(set.select(run_of(0, 40))));
  Set<double> nothing = set;
  nothing.weights.assign(50, 0);
  const Model<double> untrained(deep(), 4);
  CHECK(fitted(nothing) == std::pair{values_of(untrained), std::vector<double>(3)});
}

TEST_CASE("evaluate gives the loss over any number of rows") {
  const Set<double> set(5000, 2, 1);
  Set<double> weighted = set;
  weighted.weights = numbers<double>(5000, 8);
  for (double& w : weighted.weights) w += 1;
  const Model<double> model(small(), 0);
  const auto a = inferred(model, table(set.x.data(), 5000, 2));
  double sum = 0, weighted_sum = 0, weight = 0;
  for (std::size_t i = 0; i < 5000; ++i) {
    const double e = (a[i] - set.y[i]) * (a[i] - set.y[i]);
    sum += e, weighted_sum += weighted.weights[i] * e, weight += weighted.weights[i];
  }
  CHECK(evaluate(model, squared_error(), set.values()) == doctest::Approx(sum / 5000).epsilon(1e-13));
  CHECK(evaluate(model, squared_error(), weighted.values()) == doctest::Approx(weighted_sum / weight).epsilon(1e-13));
  CHECK(evaluate(model, nn::NamedLoss("MSELoss", nn::Reduction::sum, 0.5), set.values()) ==
        doctest::Approx(sum / 2).epsilon(1e-13));
}
