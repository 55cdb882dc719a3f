#include "deltaprop/optim/optimizer.hpp"

#include <doctest/doctest.h>

#include "chains.hpp"
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
  return {optim::make_rule(rule), std::move(p), std::move(groups)};
}

/// Adam as its paper writes it.
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

TEST_CASE("Adam follows the paper over many steps") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("Adam", p, {{{0, 1}, {0.01, 0.8, 0.95, 1e-6, 0.1}}});
  std::vector<PaperAdam> paper(9, {0.01, 0.8, 0.95, 1e-6, 0.1});
  auto expected = values(*p);
  for (int t = 1; t <= 200; ++t) {
    const auto g = numbers<double>(9, static_cast<std::uint64_t>(t));
    std::copy(g.begin(), g.end(), p->gradients.data());
    for (std::size_t i = 0; i < 9; ++i) expected[i] = paper[i].step(expected[i], g[i], t);
    rule.step();
  }
  CHECK(rule.steps() == 200);
  for (std::size_t i = 0; i < 9; ++i) CHECK(p->values.data()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("SGD takes its gradient as the first momentum") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("SGD", p, {{{0, 1}, {0.1, 0.9, 0.5, 0, 0}}});
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

TEST_CASE("momentum may begin later") {
  const auto p = two_parameters<double>();
  auto rule = make<double>("SGD", p, {{{0, 1}, {0.1, 0, 0.5, 0, 0}}});
  rule.step();
  rule.set_options(0, {0.1, 0.9, 0.5, 0, 0});
  const double before = p->values.data()[0], g = p->gradients.data()[0];
  rule.step();
  CHECK(p->values.data()[0] == doctest::Approx(before - 0.1 * g).epsilon(1e-14));
  rule.step();
  CHECK(p->values.data()[0] == doctest::Approx(before - 0.1 * g - 0.1 * 1.4 * g).epsilon(1e-14));
}

TEST_CASE_TEMPLATE("an update in runs has the bits of a step", T, float, double) {
  for (const std::string name : {"SGD", "Adam"}) {
    CAPTURE(name);
    const optim::Options options = name == "SGD" ? sgd_options(0.1, 0.9) : adam_options(0.1);
    const auto whole = two_parameters<T>(), parts = two_parameters<T>();
    auto a = make<T>(name, whole, {{{0, 1}, options}}), b = make<T>(name, parts, {{{0, 1}, options}});
    for (int t = 0; t < 3; ++t) {
      a.step();
      b.begin_step();
      for (const Range run : {Range{3, 6}, {0, 1}, {1, 3}}) b.update(0, run);
      b.update(1, {6, 9});
    }
    CHECK(first_difference(values(*parts), values(*whole)) == -1);
  }
}

TEST_CASE("each group has its options, and who is in none stays") {
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

TEST_CASE("options out of range are refused") {
  const auto p = two_parameters<float>();
  const auto sgd = [&](const optim::Options& o) { make<float>("SGD", p, {{{0}, o}}); };
  const auto adam = [&](const optim::Options& o) { make<float>("Adam", p, {{{0}, o}}); };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(sgd({-0.5, 0, 0, 0, 0}), "SGD: expected lr >= 0, got -0.5", ValueError);
  CHECK_THROWS_AS(sgd({nan, 0, 0, 0, 0}), ValueError);
  CHECK_THROWS_AS(sgd({0.1, -1, 0, 0, 0}), ValueError);
  CHECK_THROWS_AS(sgd({0.1, 0, nan, 0, 0}), ValueError);
  CHECK_THROWS_AS(sgd({0.1, 0, 0, -1, 0}), ValueError);
  CHECK_THROWS_AS(sgd({0.1, 0, 0, 0, 1}), ValueError);
  CHECK_THROWS_AS(sgd({0.1, 0.9, 0.1, 0, 1}), ValueError);
  CHECK_NOTHROW(sgd({0.1, 0.9, 0, 0, 1}));
  CHECK_THROWS_AS(adam({0.1, 1, 0.9, 0, 0}), ValueError);
  CHECK_THROWS_AS(adam({0.1, 0.9, 1, 0, 0}), ValueError);
  CHECK_THROWS_AS(adam({0.1, 0.9, 0.9, -1, 0}), ValueError);
  CHECK_THROWS_AS(adam({std::numeric_limits<double>::infinity(), 0.9, 0.9, 0, 0}), ValueError);
  CHECK_NOTHROW(adam({0, 0, 0, 0, 0}));
  CHECK_THROWS_AS(optim::make_rule("Newton"), ValueError);
  CHECK_THROWS_WITH_AS(make<float>("SGD", p, {{{0, 1}, sgd_options(1)}, {{1}, sgd_options(1)}}),
                       "SGD: parameter 'b' is listed twice", ValueError);
  auto rule = make<float>("SGD", p, {{{0}, sgd_options(1)}});
  CHECK_THROWS_AS(rule.set_options(0, sgd_options(-1)), ValueError);
  CHECK(rule.group(0).options == sgd_options(1));
}

TEST_CASE("an optimizer in use says so") {
  auto rule = make<float>("SGD", two_parameters<float>(), {{{0}, sgd_options(1)}});
  const Busy::Claim held(rule.busy);
  CHECK_THROWS_AS(rule.step(), std::runtime_error);
  CHECK(rule.steps() == 0);
}
