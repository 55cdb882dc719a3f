#include "deltaprop/optim/optimizer.hpp"

#include <doctest/doctest.h>

#include "chains.hpp"
#include "counted_new.hpp"
#include "deltaprop/core/errors.hpp"
#include "networks.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using optim::Group;
using optim::Optimizer;

namespace {

/// Parameters of 6 and 3 elements with values and gradients.
template <class T>
std::shared_ptr<Parameters<T>> two_parameters() {
  auto p = std::make_shared<Parameters<T>>();
  p->list = {{{"w", {2, 3}}, 0, {0, 6}}, {{"b", {3}}, 0, {6, 9}}};
  p->values = Buffer<T>(9);
  p->gradients = Buffer<T>(9);
  const auto values = numbers<T>(9, 1), gradients = numbers<T>(9, 2);
  std::copy(values.begin(), values.end(), p->values.data());
  std::copy(gradients.begin(), gradients.end(), p->gradients.data());
  return p;
}

template <class T>
std::vector<T> values(const Parameters<T>& p) {
  return {p.values.data(), p.values.data() + p.size()};
}

template <class T>
Optimizer<T> make(const std::string& rule, std::shared_ptr<Parameters<T>> p, std::vector<Group> groups) {
  return {optim::find_rule(rule), std::move(p), std::move(groups)};
}

optim::Options damped(double momentum) {
  return options_of("SGD", {{"lr", 0.1}, {"momentum", momentum}, {"dampening", 0.5}});
}

/// Adam by the formulas of its paper.
struct PaperAdam {
  double lr, beta1, beta2, eps, decay, m = 0, v = 0;
  double step(double p, double g, int t) {
    g += decay * p;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    return p - lr * (m / (1 - std::pow(beta1, t))) / (std::sqrt(v / (1 - std::pow(beta2, t))) + eps);
  }
};

}  // namespace

TEST_CASE("Adam agrees with the paper's formulas over many steps") {
  const auto p = two_parameters<double>();
  const auto adam =
      options_of("Adam", {{"lr", 0.01}, {"beta1", 0.8}, {"beta2", 0.95}, {"eps", 1e-6}, {"weight_decay", 0.1}});
  auto rule = make<double>("Adam", p, {{{0, 1}, adam}});
  std::vector<PaperAdam> paper(9, {0.01, 0.8, 0.95, 1e-6, 0.1});
  auto expected = values(*p);
  for (int t = 1; t <= 200; ++t) {
    const auto g = numbers<double>(9, static_cast<std::uint64_t>(t));
    std::copy(g.begin(), g.end(), p->gradients.data());
    for (std::size_t i = 0; i < 9; ++i) expected[i] = paper[i].step(expected[i], g[i], t);
    rule.step();
  }
  CHECK(rule.step_state(0).step == 200);
  CHECK(rule.step_state(1).step == 200);
  for (std::size_t i = 0; i < 9; ++i) CHECK(p->values.data()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("SGD initialises the momentum buffer with the first gradient") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("SGD", p, {{{0, 1}, damped(0.9)}});
  auto expected = values(*p);
  std::vector<double> buffer(9);
  for (int t = 1; t <= 5; ++t) {
    for (std::size_t i = 0; i < 9; ++i) {
      const double g = p->gradients.data()[i];
      buffer[i] = t == 1 ? g : 0.9 * buffer[i] + 0.5 * g;
      expected[i] -= 0.1 * buffer[i];
    }
    rule.step();
  }
  for (std::size_t i = 0; i < 9; ++i) CHECK(p->values.data()[i] == doctest::Approx(expected[i]).epsilon(1e-13));
}

TEST_CASE("momentum may be enabled after some steps") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("SGD", p, {{{0, 1}, damped(0)}});
  rule.step();
  rule.set_options(0, damped(0.9));
  const double before = p->values.data()[0], g = p->gradients.data()[0];
  rule.step();
  CHECK(p->values.data()[0] == doctest::Approx(before - 0.1 * g).epsilon(1e-14));
  rule.step();
  CHECK(p->values.data()[0] == doctest::Approx(before - 0.1 * g - 0.1 * 1.4 * g).epsilon(1e-14));
}

TEST_CASE_TEMPLATE("an update in ranges gives the bits of one step", T, float, double) {
  for (const std::string name : {"SGD", "Adam"}) {
    CAPTURE(name);
    const optim::Options options = name == "SGD" ? sgd_options(0.1, 0.9) : adam_options(0.1);
    const auto whole = two_parameters<T>(), parts = two_parameters<T>();
    auto a = make<T>(name, whole, {{{0, 1}, options}}), b = make<T>(name, parts, {{{0, 1}, options}});
    for (int t = 0; t < 3; ++t) {
      a.step();
      b.begin_step();
      if (t == 1) {  // a range may continue in the next parameter
        for (const Range run : {Range{2, 8}, {0, 2}}) b.update(0, run);
        b.update(1, {8, 9});
      } else {
        for (const Range run : {Range{3, 6}, {0, 1}, {1, 3}}) b.update(0, run);
        b.update(1, {6, 9});
      }
    }
    CHECK(first_difference(values(*parts), values(*whole)) == -1);
  }
}

TEST_CASE("each group has its own options, and parameters in no group are not updated") {
  const auto p = two_parameters<double>();
  const auto before = values(*p);
  auto one = make<double>("SGD", p, {{{1}, sgd_options(0.5)}});
  one.step();
  for (std::size_t i = 0; i < 9; ++i) {
    const double lr = i < 6 ? 0 : 0.5;
    CHECK(p->values.data()[i] == fused(-lr, p->gradients.data()[i], before[i]));
  }
  one.zero_grad();
  CHECK(p->gradients.data()[0] != 0);
  CHECK(p->gradients.data()[6] == 0);

  auto two = make<double>("SGD", two_parameters<double>(), {{{1}, sgd_options(0.5)}, {{0}, sgd_options(0.25)}});
  two.set_options(1, sgd_options(0.125));
  two.step();
  for (std::size_t i = 0; i < 9; ++i) {
    const double lr = i < 6 ? 0.125 : 0.5;
    CHECK(two.parameters()->values.data()[i] == fused(-lr, two.parameters()->gradients.data()[i], before[i]));
  }
}

TEST_CASE("options out of range are rejected") {
  const auto p = two_parameters<float>();
  const auto made = [&](const std::string& rule, const std::map<std::string, double>& values) {
    make<float>(rule, p, {{{0}, options_of(rule, values)}});
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH_AS(made("SGD", {{"lr", -0.5}}), "SGD: expected lr >= 0, got -0.5", ValueError);
  CHECK_THROWS_AS(made("SGD", {{"lr", nan}}), ValueError);
  CHECK_THROWS_AS(made("SGD", {{"dampening", nan}}), ValueError);
  CHECK_THROWS_AS(made("SGD", {{"nesterov", 1}}), ValueError);
  CHECK_THROWS_AS(made("SGD", {{"nesterov", 0.5}}), ValueError);
  CHECK_THROWS_AS(made("SGD", {{"momentum", 0.9}, {"dampening", 0.1}, {"nesterov", 1}}), ValueError);
  CHECK_NOTHROW(made("SGD", {{"momentum", 0.9}, {"nesterov", 1}}));
  CHECK_THROWS_AS(made("Adam", {{"beta1", 1}}), ValueError);
  CHECK_THROWS_AS(made("Adam", {{"lr", inf}}), ValueError);
  CHECK_NOTHROW(made("Adam", {}));
  CHECK_THROWS_AS(made("Adam", {{"max_norm", 0}}), ValueError);
  CHECK_THROWS_AS(optim::find_rule("Newton"), ValueError);
  CHECK_THROWS_AS(make<float>("SGD", p, {{{0}, {0.1}}}), ValueError);
  CHECK_THROWS_WITH_AS(make<float>("SGD", p, {{{0, 1}, sgd_options(1)}, {{1}, sgd_options(1)}}),
                       "SGD: parameter 'b' is listed twice", ValueError);
  auto rule = make<float>("SGD", p, {{{0}, sgd_options(1)}});
  CHECK_THROWS_AS(rule.set_options(0, sgd_options(-1)), ValueError);
  CHECK_THROWS_AS(rule.set_option(0, 0, -1), ValueError);
  CHECK_THROWS_AS(rule.set_option(0, 99, 1), std::out_of_range);
  CHECK_THROWS_AS(rule.set_global_options({.clip_norm = 0.0, .clip_value = {}, .ema_decay = {}}), ValueError);
  CHECK(rule.group(0).options == sgd_options(1));
  CHECK(!rule.global_options().clip_norm);
}

TEST_CASE("set_option changes one option of a group and allocates nothing") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("Adam", p, {{{0}, adam_options(1)}, {{1}, adam_options(1)}});
  rule.step();
  const long before = allocations;
  for (int i = 0; i < 10; ++i) {
    rule.set_option(1, 0, 0.5 / (i + 1));
    rule.set_option(1, 1, 0.8);
    rule.step();
  }
  CHECK(allocations == before);
  CHECK(rule.group(0).options == adam_options(1));
  CHECK(rule.group(1).options[0] == 0.05);
  CHECK(rule.group(1).options[1] == 0.8);
}

// Gradient clipping sums over the parameters that are not frozen, and each parameter has its own StepState.
TEST_CASE_TEMPLATE("frozen parameters and their states do not change", T, float, double) {
  for (const std::string name : {"SGD", "Adam", "NAdam", "ASGD"}) {
    CAPTURE(name);
    const auto options = options_of(name, {{"lr", 0.1}, {"momentum", 0.9}, {"beta1", 0.9}, {"beta2", 0.99}});
    const auto both = two_parameters<T>(), alone = two_parameters<T>();
    auto a = make<T>(name, both, {{{0, 1}, options}}), b = make<T>(name, alone, {{{1}, options}});
    const optim::GlobalOptions whole{.clip_norm = 0.3, .clip_value = {}, .ema_decay = 0.5};
    a.set_global_options(whole);
    b.set_global_options(whole);
    both->list[0].frozen = true;
    const auto before = values(*both);
    for (int t = 0; t < 3; ++t) a.step(), b.step();
    CHECK(first_difference(values(*both), values(*alone)) == -1);
    CHECK(first_difference(values(*both).data(), before.data(), 6) == -1);
    CHECK(a.step_state(0).step == 0);
    CHECK(a.step_state(1) == b.step_state(1));
    CHECK(!a.averaged(0));
    CHECK(a.averaged(1));

    // Unfrozen, a parameter starts at step 1: the step counts within a group differ.
    both->list[0].frozen = false;
    a.set_global_options({});
    const auto fresh = two_parameters<T>();
    auto c = make<T>(name, fresh, {{{0}, options}});
    for (int t = 0; t < 4; ++t) {
      a.step();
      c.step();
      CHECK(first_difference(values(*both).data(), values(*fresh).data(), 6) == -1);
    }
    CHECK(a.step_state(0) == c.step_state(0));
    CHECK(a.step_state(1).step == a.step_state(0).step + 3);
  }
}

TEST_CASE("moving averages replace only the parameters of their optimizer") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("SGD", p, {{{0}, sgd_options(0.1)}});
  CHECK_THROWS_AS(rule.swap_out_ema(), std::runtime_error);
  rule.set_global_options({.clip_norm = {}, .clip_value = {}, .ema_decay = 0.75});
  rule.step();
  const auto first = values(*p);
  rule.step();
  const auto own = values(*p);
  rule.swap_in_ema();
  CHECK_THROWS_AS(rule.swap_in_ema(), std::runtime_error);
  CHECK_THROWS_AS(rule.step(), std::runtime_error);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(p->values.data()[i] == doctest::Approx(0.75 * first[i] + 0.25 * own[i]).epsilon(1e-14));
  }
  p->values.data()[0] = p->values.data()[8] = 5;
  rule.swap_out_ema();
  CHECK(first_difference(values(*p).data(), own.data(), 6) == -1);
  CHECK(p->values.data()[8] == 5);  // not this optimizer's
  CHECK_NOTHROW(rule.step());
}

TEST_CASE("the norm of a unit's weights is limited in either order of storage") {
  for (const bool transposed : {false, true}) {
    const auto p = two_parameters<double>();
    p->list[0].shape.transposed = transposed;
    auto options = sgd_options(0);
    options[optim::find_rule("SGD").common(optim::max_norm)] = 0.5;
    const auto before = values(*p);
    make<double>("SGD", p, {{{0, 1}, options}}).step();
    const std::size_t units = transposed ? 3 : 2, inputs = transposed ? 2 : 3;
    for (std::size_t j = 0; j < units; ++j) {
      const auto at = [&](std::size_t i) { return transposed ? i * units + j : j * inputs + i; };
      double squares = 0;
      for (std::size_t i = 0; i < inputs; ++i) squares += before[at(i)] * before[at(i)];
      const double norm = std::sqrt(squares), factor = norm > 0.5 ? 0.5 / (norm + 1e-7) : 1;
      for (std::size_t i = 0; i < inputs; ++i) {
        CHECK(p->values.data()[at(i)] == doctest::Approx(factor * before[at(i)]).epsilon(1e-14));
      }
    }
    CHECK(first_difference(values(*p).data() + 6, before.data() + 6, 3) == -1);
  }
}

TEST_CASE("step() of an optimizer in use fails") {
  auto rule = make<float>("SGD", two_parameters<float>(), {{{0}, sgd_options(1)}});
  const nn::Access held(nn::Call::optimizer_state_dict, rule.guards());
  CHECK_THROWS_AS(rule.step(), std::runtime_error);
  CHECK(rule.step_state(0).step == 0);
}
