#include "deltaprop/nn/initialise.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "check.hpp"
#include "deltaprop/core/errors.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using nn::Initialiser;

namespace {

constexpr Index in = 200, out = 300, n = in * out;

std::vector<double> filled(const Initialiser& init, const std::vector<Index>& shape, std::uint64_t seed = 1) {
  const Guarded<double> w(element_count(shape));
  init.fill(Random(seed, Purpose::initialise), shape, w.data());
  REQUIRE(w.intact());
  return w.values();
}

struct Moments {
  double mean = 0, deviation = 0, most = 0;
  explicit Moments(const std::vector<double>& w) {
    const auto size = static_cast<double>(w.size());
    for (const double v : w) mean += v / size, most = std::max(most, std::abs(v));
    for (const double v : w) deviation += (v - mean) * (v - mean) / size;
    deviation = std::sqrt(deviation);
  }
};

}  // namespace

TEST_CASE("each initialiser has its distribution") {
  const auto check = [&](const char* name, double deviation, bool uniform) {
    CAPTURE(name);
    std::vector<double> w(n), b(out, 9.0);
    Initialiser(name).fill_linear(Random(1, Purpose::initialise), in, out, w.data(), b.data());
    const Moments found(w);
    CHECK(std::abs(found.mean) < 5 * deviation / std::sqrt(n));
    CHECK(found.deviation == doctest::Approx(deviation).epsilon(0.02));
    CHECK((found.most <= std::sqrt(3.0) * deviation) == uniform);
    CHECK((std::count(b.begin(), b.end(), 0.0) == out) == (std::string(name) != "default"));
    CHECK(std::all_of(b.begin(), b.end(), [&](double v) { return std::abs(v) <= std::sqrt(3.0) * deviation; }));
    // The weight does not depend on whether there is a bias.
    std::vector<double> alone(n);
    Initialiser(name).fill_linear(Random(1, Purpose::initialise), in, out, alone.data(), nullptr);
    CHECK(first_difference(alone, w) == -1);
  };
  check("default", std::sqrt(1.0 / in / 3), true);
  check("kaiming_uniform", std::sqrt(2.0 / in), true);
  check("he_normal", std::sqrt(2.0 / in), false);
  check("glorot_uniform", std::sqrt(2.0 / (in + out)), true);
  check("xavier_normal", std::sqrt(2.0 / (in + out)), false);
}

TEST_CASE("uniform draws are in [a, b), and equal the raw draws for [0, 1)") {
  const Random random(1, Purpose::initialise);
  const auto plain = filled(Initialiser("uniform"), {n});
  for (Index i = 0; i < n; ++i) REQUIRE(plain[at(i)] == random.uniform(static_cast<std::uint64_t>(i)));
  for (const auto& [a, b] : std::vector<std::pair<double, double>>{
           {-3, 5}, {0.1, 0.1 + 1e-16}, {2, 2}, {-1.7e308, 1.7e308}, {1e-320, 2e-320}}) {
    for (const double v : filled(Initialiser("uniform", {a, b}), {1000})) REQUIRE((a <= v && v <= b));
  }
}

TEST_CASE("a truncated normal stays in its interval and has the conditional distribution") {
  for (const auto& [mean, deviation, a, b] : std::vector<std::array<double, 4>>{
           {0, 1, -2, 2}, {1, 2, -1, 1.5}, {0, 1, 3, 4}, {0, 1, -4, -3}, {0, 1, 12, 13}, {5, 0.1, 0, 10}}) {
    CAPTURE(a);
    auto w = filled(Initialiser("trunc_normal", {mean, deviation, a, b}), {n});
    // Kolmogorov-Smirnov test at level 1e-6, in the nearer tail, where probabilities are accurate.
    const long double sign = a > mean ? -1 : 1;
    std::sort(w.begin(), w.end());
    REQUIRE((w.front() >= a && w.back() <= b));
    const auto cdf = [&](double x) { return 0.5L * std::erfc(-sign * (x - mean) / deviation / std::sqrt(2.0L)); };
    double most = 0;
    for (Index i = 0; i < n; ++i) {
      const auto p = static_cast<double>((cdf(w[at(i)]) - cdf(a)) / (cdf(b) - cdf(a)));
      most = std::max(most, std::abs(p - (static_cast<double>(i) + 0.5) / n));
    }
    CHECK(most < 2.7 / std::sqrt(n));
  }
  // If the probability of the interval underflows, or a = b, the end next to the mean.
  for (const double v : filled(Initialiser("trunc_normal", {0, 1, 50, 60}), {100})) CHECK(v == 50);
  for (const double v : filled(Initialiser("trunc_normal", {0, 1, -60, -50}), {100})) CHECK(v == -50);
  for (const double v : filled(Initialiser("trunc_normal", {0, 1, 0.3, 0.3}), {100})) CHECK(v == 0.3);
  for (const double v : filled(Initialiser("trunc_normal", {0, 1e-300, -1, 1}), {100})) CHECK(std::abs(v) < 1e-298);
}

TEST_CASE("orthogonal gives an orthogonal matrix times the gain") {
  for (const auto& [rows, cols] : std::vector<std::pair<Index, Index>>{{1, 1}, {3, 3}, {40, 40}, {7, 50}, {50, 7}}) {
    for (const double gain : {1.0, -2.5, 0.0}) {
      const auto w = filled(Initialiser("orthogonal", {gain}), {rows, cols});
      const bool wide = rows < cols;
      const Index count = std::min(rows, cols), length = std::max(rows, cols);
      const auto element = [&](Index i, Index k) { return wide ? w[at(i + k * rows)] : w[at(k + i * rows)]; };
      for (Index i = 0; i < count; ++i) {
        for (Index j = 0; j < count; ++j) {
          double dot = 0;
          for (Index k = 0; k < length; ++k) dot += element(i, k) * element(j, k);
          REQUIRE(std::abs(dot - (i == j ? gain * gain : 0)) < 1e-12);
        }
      }
    }
  }
  // Haar distributed: without the signs of R's diagonal, the first element would always have the same sign.
  double sum = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) sum += filled(Initialiser("orthogonal"), {2, 2}, seed)[0];
  CHECK(std::abs(sum / 400) < 5 * std::sqrt(0.5 / 400));
}

TEST_CASE("constant, zeros, ones and eye") {
  CHECK(filled(Initialiser("zeros"), {2, 2}) == std::vector<double>(4, 0.0));
  CHECK(filled(Initialiser("ones"), {3}) == std::vector<double>(3, 1.0));
  CHECK(filled(Initialiser("constant", {-2.5}), {3}) == std::vector<double>(3, -2.5));
  CHECK(filled(Initialiser("eye"), {2, 3}) == std::vector<double>{1, 0, 0, 1, 0, 0});
  CHECK(filled(Initialiser("eye"), {3, 2}) == std::vector<double>{1, 0, 0, 0, 1, 0});
}

TEST_CASE("fans include the axes beyond the second") {
  const auto most = [](const char* name, std::vector<double> options, const std::vector<Index>& shape) {
    return Moments(filled(Initialiser(name, std::move(options)), shape)).most;
  };
  const double fan_in = 50 * 4, fan_out = 30 * 4;
  const auto near = [](double bound) { return doctest::Approx(bound).epsilon(0.01); };
  CHECK(most("kaiming_uniform", {2, 0}, {30, 50, 4}) == near(std::sqrt(6 / fan_in)));
  CHECK(most("kaiming_uniform", {1, 1}, {30, 50, 4}) == near(std::sqrt(3 / fan_out)));
  CHECK(most("xavier_uniform", {3}, {30, 50, 4}) == near(3 * std::sqrt(6 / (fan_in + fan_out))));
}

TEST_CASE("empty arrays are accepted") {
  for (const char* name :
       {"uniform", "trunc_normal", "xavier_uniform", "kaiming_normal", "orthogonal", "eye", "ones"}) {
    CHECK(filled(Initialiser(name), {0, 5}).empty());
    CHECK(filled(Initialiser(name), {5, 0}).empty());
  }
}

TEST_CASE("unknown names, wrong options and invalid shapes are rejected") {
  CHECK_THROWS_WITH_AS(
      Initialiser("magic"),
      "init: expected one of 'default', 'uniform', 'normal', 'trunc_normal', 'zeros', 'ones', 'eye', 'xavier_uniform', "
      "'xavier_normal', 'kaiming_uniform', 'kaiming_normal', 'orthogonal', 'he_uniform', 'he_normal', "
      "'glorot_uniform', 'glorot_normal', got 'magic'",
      ValueError);
  CHECK_THROWS_AS(Initialiser("constant"), ValueError);  // has no default value
  CHECK_THROWS_WITH_AS(Initialiser("uniform", {1}),
                       "init: expected an initialiser and its options, got 'uniform' and 1 numbers", ValueError);
  CHECK_THROWS_AS(Initialiser("magic", {}), ValueError);
  for (const char* name : {"xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"}) {
    CHECK_THROWS_WITH_AS(filled(Initialiser(name), {3}),
                         (std::string(name) + "_: expected an array of 2 dimensions or more, (fan_out, fan_in, ...), "
                                              "got (3,)")
                             .c_str(),
                         ValueError);
  }
  CHECK_THROWS_WITH_AS(filled(Initialiser("eye"), {2, 2, 2}), "eye_: expected an array of 2 dimensions, got (2, 2, 2)",
                       ValueError);
}
