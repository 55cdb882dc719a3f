#include "deltaprop/nn/loss.hpp"

#include <doctest/doctest.h>

#include "check.hpp"
#include "deltaprop/core/errors.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using nn::Reduction;

namespace {

/// All results of a loss over some rows, in guarded memory.
template <class T>
struct LossResults {
  Guarded<T> deltas, elements;
  Guarded<double> values;

  LossResults(Index rows, Index cols, Index per_row) : deltas(rows * cols), elements(rows * per_row), values(rows) {}
  bool intact() const { return deltas.intact() && elements.intact() && values.intact(); }
};

template <class T>
struct LossInput {
  Index rows, cols;
  std::vector<T> outputs, targets, weights;  // empty: ones
  std::vector<std::int64_t> classes;
  double scale;
  std::vector<T> columns = {};  // empty: ones
  Index target_cols = -1;       // negative: as many as outputs

  nn::LossCall<T> call(Range r) const {
    nn::LossCall<T> c{.outputs = Matrix<const T>{outputs.data(), rows, cols}.slice(r), .scale = scale};
    if (classes.empty()) {
      c.targets.values = Matrix<const T>{targets.data(), rows, target_cols < 0 ? cols : target_cols}.slice(r);
    } else {
      c.targets.classes = classes.data() + r.begin;
    }
    if (!weights.empty()) c.weights = weights.data() + r.begin;
    if (!columns.empty()) c.columns = columns.data();
    return c;
  }
};

template <class T>
LossResults<T> run_loss(const nn::Loss& loss, const LossInput<T>& q, Range r) {
  LossResults<T> answer(r.size(), q.cols, loss.elements(q.cols));
  auto call = q.call(r);
  call.deltas = {answer.deltas.data(), r.size(), q.cols};
  call.values = answer.values.data();
  call.elements = answer.elements.data();
  loss.run(call);
  CHECK(answer.intact());
  return answer;
}
template <class T>
LossResults<T> run_loss(const nn::Loss& loss, const LossInput<T>& q) {
  return run_loss(loss, q, {0, q.rows});
}

template <class T>
LossInput<T> regression(Index rows, Index cols, bool weighted) {
  LossInput<T> q{rows, cols, numbers<T>(rows * cols, 1), numbers<T>(rows * cols, 2), {}, {}, 0.37};
  if (weighted) q.weights = numbers<T>(rows, 3);
  for (T& w : q.weights) w += 1;
  return q;
}

template <class T>
LossInput<T> classification(Index rows, Index cols, bool weighted, T size = 5) {
  LossInput<T> q = regression<T>(rows, cols, weighted);
  for (T& a : q.outputs) a *= size;
  for (Index i = 0; i < rows; ++i) q.classes.push_back(i * 7 % cols);
  return q;
}

constexpr Index kWidths[] = {1, 2, 3, 4, 5, 8, 10, 15, 16, 17, 33, 100, 300};

template <class T>
void check_squared_error(const LossInput<T>& q) {
  const auto answer = run_loss(nn::NamedLoss("MSELoss", Reduction::mean, 1.0), q);
  for (Index i = 0; i < q.rows; ++i) {
    const double w = q.weights.empty() ? 1 : static_cast<double>(q.weights[at(i)]);
    double sum = 0;
    for (Index k = i * q.cols; k < (i + 1) * q.cols; ++k) {
      const double e = static_cast<double>(q.outputs[at(k)]) - static_cast<double>(q.targets[at(k)]);
      sum += e * e;
      REQUIRE(ulps(answer.deltas[k], 2.0L * e * w * q.scale) <= 3);
      REQUIRE(ulps(answer.elements[k], static_cast<long double>(e) * e * w) <= 4);
    }
    REQUIRE(answer.values[i] == doctest::Approx(sum * w).epsilon(1e-14));
  }
}

template <class T>
void check_cross_entropy(const LossInput<T>& q) {
  const auto answer = run_loss(nn::NamedLoss("CrossEntropyLoss", Reduction::mean), q);
  constexpr double eps = std::numeric_limits<T>::epsilon();
  for (Index i = 0; i < q.rows; ++i) {
    const T* a = q.outputs.data() + i * q.cols;
    const double w = q.weights.empty() ? 1 : static_cast<double>(q.weights[at(i)]);
    const long double largest = *std::max_element(a, a + q.cols);
    long double sum = 0;
    for (Index j = 0; j < q.cols; ++j) sum += std::exp(a[j] - largest);
    const auto target = static_cast<Index>(q.classes[at(i)]);
    const auto value = static_cast<double>(std::log(sum) + (largest - a[target]));
    REQUIRE(std::abs(answer.values[i] - w * value) <= 4 * eps * w * (1 + value));
    REQUIRE(std::abs(static_cast<double>(answer.elements[i]) - w * value) <= 4 * eps * w * (1 + value));
    double total = 0;
    for (Index j = 0; j < q.cols; ++j) {
      const double p = static_cast<double>(std::exp(a[j] - largest) / sum);
      const double delta = static_cast<double>(answer.deltas[i * q.cols + j]);
      // The exponential amplifies the rounding error of a_j - m by |a_j - m|; p - 1 has the absolute error of 1.
      const double size = p == 0 ? 0 : p * (10 + static_cast<double>(largest - a[j])) + (j == target);
      REQUIRE(std::abs(delta - w * q.scale * (p - (j == target))) <= eps * w * q.scale * size + 1e-37);
      total += delta;
    }
    REQUIRE(std::abs(total) <= 10 * eps * w * q.scale);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("values and deltas of squared errors agree with long double", T, float, double) {
  for (const Index cols : kWidths) {
    for (const bool weighted : {false, true}) check_squared_error(regression<T>(9, cols, weighted));
  }
}

TEST_CASE_TEMPLATE("values and deltas of cross entropy agree with long double", T, float, double) {
  for (const Index cols : kWidths) {
    for (const bool weighted : {false, true}) {
      check_cross_entropy(classification<T>(9, cols, weighted));
      check_cross_entropy(classification<T>(9, cols, weighted, T(60)));
    }
  }
}

TEST_CASE_TEMPLATE("extreme logits do not overflow", T, float, double) {
  for (const T size : {T(1e4), std::numeric_limits<T>::max() / 4}) {
    // Large ties, small, and all large and negative.
    LossInput<T> q{4, 3, {size, -size, 0, -size, size, size, -size, -size, -size, 0, 0, size}, {}, {}, {0, 0, 2, 2}, 1};
    check_cross_entropy(q);
    const auto answer = run_loss(nn::NamedLoss("CrossEntropyLoss", Reduction::mean), q);
    CHECK(answer.values[0] == 0);
    CHECK(answer.values[1] == doctest::Approx(2 * static_cast<double>(size) + std::log(2.0)));
    CHECK(answer.values[2] == doctest::Approx(std::log(3.0)));
    CHECK(answer.deltas[0] == 0);
    CHECK(answer.deltas[3] == -1);
  }
}

TEST_CASE_TEMPLATE("a loss with an output that is not finite is not finite", T, float, double) {
  using Limits = std::numeric_limits<T>;
  for (const T bad : {Limits::quiet_NaN(), Limits::infinity()}) {
    for (Index j = 0; j < 5; ++j) {
      auto mse = regression<T>(1, 5, false);
      auto ce = classification<T>(1, 5, false);
      mse.outputs[at(j)] = ce.outputs[at(j)] = bad;
      CHECK_FALSE(std::isfinite(run_loss(nn::NamedLoss("MSELoss", Reduction::mean, 1.0), mse).values[0]));
      CHECK_FALSE(std::isfinite(run_loss(nn::NamedLoss("CrossEntropyLoss", Reduction::mean), ce).values[0]));
    }
  }
}

TEST_CASE_TEMPLATE("the loss of a row depends on neither the other rows nor the requested results", T, float, double) {
  for (const std::string& name : nn::loss_names()) {
    nn::LossOptions options;
    if (name == "QuantileLoss") options.column_weights = {0.5};
    const nn::NamedLoss loss(name, Reduction::mean, 1, options);
    for (const Index cols : kWidths) {
      if ((name == "GaussianNLLLoss" && cols % 2 == 1) || (loss.per_row(cols) && cols == 1)) continue;
      auto q = regression<T>(23, cols, true);  // not a multiple of the vector width
      if (loss.target_kind() == nn::TargetKind::classes) q = classification<T>(23, cols, true);
      if (!q.classes.empty()) q.classes[2] = q.classes[22] = -1;
      q.target_cols = loss.target_cols(cols);
      for (const bool columns : {false, true}) {
        if (columns) q.columns.assign(q.outputs.begin(), q.outputs.begin() + cols);
        const auto all = run_loss(loss, q);
        for (Index i = 0; i < q.rows; ++i) {
          const auto one = run_loss(loss, q, {i, i + 1});
          const Index n = loss.elements(cols);
          REQUIRE(first_difference(one.deltas.data(), all.deltas.data() + i * cols, cols) == -1);
          REQUIRE(same_bits(one.values[0], all.values[i]));
          REQUIRE(first_difference(one.elements.data(), all.elements.data() + i * n, n) == -1);
        }
        LossResults<T> part(q.rows, cols, loss.elements(cols));
        auto call = q.call({0, q.rows});
        call.deltas = {part.deltas.data(), q.rows, cols};
        loss.run(call);
        CHECK(first_difference(part.deltas.values(), all.deltas.values()) == -1);
        call.deltas = {};
        call.values = part.values.data();
        loss.run(call);
        CHECK(first_difference(part.values.values(), all.values.values()) == -1);
        CHECK(part.intact());
      }
    }
  }
}

TEST_CASE_TEMPLATE("weights of 1 change no bit", T, float, double) {
  auto q = classification<T>(6, 10, false);
  const auto without = run_loss(nn::NamedLoss("CrossEntropyLoss", Reduction::mean), q);
  q.weights.assign(6, T(1));
  const auto with = run_loss(nn::NamedLoss("CrossEntropyLoss", Reduction::mean), q);
  CHECK(first_difference(with.deltas.values(), without.deltas.values()) == -1);
  CHECK(first_difference(with.values.values(), without.values.values()) == -1);
}

TEST_CASE("a loss rejects unknown names and numbers of columns that do not fit") {
  CHECK_THROWS_WITH_AS(nn::NamedLoss("L0Loss", Reduction::mean), "Loss: expected a known name, got 'L0Loss'",
                       ValueError);
  nn::LossOptions three;
  CHECK_THROWS_AS(nn::NamedLoss("QuantileLoss", Reduction::mean, 1, three), ValueError);
  three.column_weights = {0.1, 0.5, 0.9};
  CHECK(nn::NamedLoss("QuantileLoss", Reduction::mean, 1, three).target_cols(6) == 2);
  CHECK_THROWS_AS(nn::NamedLoss("QuantileLoss", Reduction::mean, 1, three).target_cols(4), ValueError);
  CHECK(nn::NamedLoss("GaussianNLLLoss", Reduction::mean).target_cols(6) == 3);
  CHECK(nn::NamedLoss("GaussianNLLLoss", Reduction::mean).elements(6) == 3);
  CHECK_THROWS_AS(nn::NamedLoss("GaussianNLLLoss", Reduction::mean).target_cols(5), ValueError);
  CHECK_THROWS_AS(nn::NamedLoss("CrossEntropyLoss", Reduction::mean).target_cols(1), ValueError);
}

TEST_CASE("scale() is the loss weight times the factor of the reduction") {
  CHECK(nn::NamedLoss("MSELoss", Reduction::mean, 1.0).scale(8, 4) == 1.0 / 32);
  CHECK(nn::NamedLoss("MSELoss", Reduction::mean, 0.5).scale(8, 4) == 0.5 / 32);
  CHECK(nn::NamedLoss("MSELoss", Reduction::sum, 0.5).scale(8, 4) == 0.5);
  CHECK(nn::NamedLoss("MSELoss", Reduction::none, 1.0).scale(8, 4) == 1);
  CHECK(nn::NamedLoss("MSELoss", Reduction::mean, 1.0).scale(0, 4) == 0);
  CHECK(nn::NamedLoss("CrossEntropyLoss", Reduction::mean).scale(8, 4) == 1.0 / 8);
  CHECK(nn::NamedLoss("KLDivLoss", Reduction::batchmean).scale(8, 4) == 1.0 / 8);
  const double rows[] = {1, 2, 4};
  CHECK(nn::NamedLoss("MSELoss", Reduction::mean, 1.0).value(rows, 3, 0.5) == 3.5);
  CHECK(nn::reduction("batchmean") == Reduction::batchmean);
  CHECK(nn::reduction("sum") == Reduction::sum);
  CHECK_THROWS_AS(nn::reduction("average"), ValueError);
}
