// After the first step of a given batch size nothing is allocated.
#include <doctest/doctest.h>

#include "counted_new.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

Layers layers() { return {linear(4, 16), activation("ReLU"), linear(16, 9), activation("Tanh"), linear(9, 3)}; }

template <class F>
long allocated_by(F f) {
  const long before = allocations;
  f();
  return allocations - before;
}

/// Number of allocations of two epochs of `batches` batches of 8 and a partial one.
template <class T>
long allocated_by_fit(Index batches, const nn::Loss& loss, const std::string& rule, const optim::Options& options) {
  Set<T> set(8 * batches + 3, 4, 3);
  set.weights.assign(at(set.rows), T(0.5));
  runtime::Model<T> model(layers(), 1);
  auto optimizer = testing::optimizer(model, rule, options);
  const train::Data data = set.for_loss(loss);
  return allocated_by([&] { fit(model, optimizer, loss, data, {.size = 8}, {.epochs = 2, .check_interrupt = [] {}}); });
}

}  // namespace

TEST_CASE("the counter counts operator new") {
  CHECK(allocated_by([] { Buffer<float> b(10); }) >= 1);
  CHECK(allocated_by([] {}) == 0);
}

TEST_CASE_TEMPLATE("a thousand batches allocate no more than ten", T, float, double) {
  allocated_by_fit<T>(10, squared_error(), "Adam", adam_options(0.001));  // allocates the thread-local packing buffer
  for (const nn::Loss* loss :
       {static_cast<const nn::Loss*>(&squared_error()), static_cast<const nn::Loss*>(&cross_entropy())}) {
    CHECK(allocated_by_fit<T>(1000, *loss, "Adam", adam_options(0.001)) ==
          allocated_by_fit<T>(10, *loss, "Adam", adam_options(0.001)));
    CHECK(allocated_by_fit<T>(1000, *loss, "SGD", sgd_options(0.001, 0.9)) ==
          allocated_by_fit<T>(10, *loss, "SGD", sgd_options(0.001, 0.9)));
  }
}

TEST_CASE_TEMPLATE("an epoch allocates only for the history", T, float, double) {
  const Set<T> set(83, 4, 3);
  const train::Data data = set.values();
  runtime::Model<T> model(layers(), 1);
  auto rule = optimizer(model, "Adam", adam_options(0.001));
  const auto allocated = [&](Index epochs) {
    return allocated_by([&] { fit(model, rule, squared_error(), data, {.size = 8}, {.epochs = epochs}); });
  };
  allocated(1);
  // Two vectors of 1024 numbers, each grown by doubling.
  CHECK(allocated(1024) - allocated(1) <= 2 * 10);
}

TEST_CASE_TEMPLATE("a manual step allocates nothing after the first", T, float, double) {
  const Set<T> large(83, 4, 3), small = large.select(run_of(0, 11));
  const train::Data one = large.values(), other = small.values();
  runtime::Model<T> model(layers(), 1);
  auto rule = optimizer(model, "Adam", adam_options(0.001));
  ManualStep<T> hand(model, squared_error());
  hand.step(one, rule);
  CHECK(allocated_by([&] { hand.step(one, rule); }) == 0);
  // A partial last batch, and a full one after it.
  CHECK(allocated_by([&] { hand.step(other, rule), hand.step(one, rule); }) == 0);
}

TEST_CASE_TEMPLATE("a stop rule allocates only for its list of losses", T, float, double) {
  const auto allocated = [](Index batches) {
    const Set<T> set(8 * batches + 3, 4, 3);
    const train::Data data = set.values();
    runtime::Model<T> model(layers(), 1);
    auto rule = optimizer(model, "SGD", sgd_options(0.001));
    const train::FitOptions options{.epochs = 1, .stop = train::StopOnPlateau{1e-300, true}, .check_interrupt = [] {}};
    return allocated_by([&] { fit(model, rule, squared_error(), data, {.size = 8}, options); });
  };
  // From 11 to 513 losses: a vector grown by doubling six times.
  CHECK(allocated(512) - allocated(10) <= 6);
}

TEST_CASE_TEMPLATE(
    "a tree with several inputs and outputs and accumulated batches allocates nothing after the first step", T, float,
    double) {
  const auto block = [] {
    return sequential(concat(residual(linear(4, 4), activation("Tanh")), linear(2, 4)), std::make_shared<Centre>(8),
                      heads(linear(8, 3), residual(linear(8, 8))));
  };
  const Losses losses{{&squared_error(), 0.5}, {&squared_error()}};
  const auto allocated = [&](Index batches) {
    const Tables<T> tables(8 * batches + 3, {4, 2}, {3, 8});
    const train::Data data = tables.data();
    runtime::Model<T> model(block(), 1);
    auto rule = optimizer(model, "Adam", adam_options(0.001));
    return allocated_by([&] { fit(model, rule, losses, data, {.size = 8}, {.epochs = 2, .accumulate = 3}); });
  };
  CHECK(allocated(1000) == allocated(10));

  const Tables<T> tables(11, {4, 2}, {3, 8});
  const train::Data data = tables.data();
  runtime::Model<T> model(block(), 1);
  auto rule = optimizer(model, "Adam", adam_options(0.001));
  ManualStep<T> hand(model, losses);
  hand.step(data, rule);
  CHECK(allocated_by([&] { hand.step(data, rule); }) == 0);
}
