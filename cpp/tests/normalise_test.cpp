#include <doctest/doctest.h>

#include <cmath>

#include "check.hpp"
#include "chains.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

using Exact = std::vector<long double>;

/// The largest error of `got`, in epsilons of T relative to the largest exact value (or 1).
template <class T>
double error(const std::vector<T>& got, const Exact& exact) {
  REQUIRE(got.size() == exact.size());
  long double most = 0, size = 1;
  for (std::size_t i = 0; i < got.size(); ++i) {
    most = std::max(most, std::abs(got[i] - exact[i]));
    size = std::max(size, std::abs(exact[i]));
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
  }
  return static_cast<double>(most / size) / std::numeric_limits<T>::epsilon();
}

/// Moments of n numbers at stride `step`, and the numbers normalised.
struct Normal {
  long double mean = 0, variance = 0, inverse = 0;

  template <class T>
  Normal(const T* x, Index n, Index step, bool centred, T epsilon) {
    for (Index i = 0; i < n && centred; ++i) mean += x[i * step];
    mean /= static_cast<long double>(n);
    for (Index i = 0; i < n; ++i) variance += (x[i * step] - mean) * (x[i * step] - mean);
    variance /= static_cast<long double>(n);
    inverse = 1 / std::sqrt(variance + epsilon);
  }
};

/// dJ/dx of one normalised row or column: r (g - mean(g) - xhat mean(g xhat))
Exact delta_of(const Exact& g, const Exact& normal, long double inverse, bool centred) {
  long double mean = 0, along = 0;
  const auto n = static_cast<long double>(g.size());
  for (std::size_t i = 0; i < g.size(); ++i) mean += g[i] / n, along += g[i] * normal[i] / n;
  Exact d;
  for (std::size_t i = 0; i < g.size(); ++i) d.push_back(inverse * (g[i] - (centred ? mean : 0) - normal[i] * along));
  return d;
}

constexpr Index kWidths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100};
constexpr Index kRows[] = {1, 2, 3, 255, 256, 257, 600};

}  // namespace

TEST_CASE_TEMPLATE("row normalisation and its deltas agree with long double", T, float, double) {
  constexpr Index rows = 3;
  constexpr T epsilon = T(1e-5);
  const auto& k = kernels::get<T>();
  for (const Index cols : kWidths) {
    for (const bool centred : {true, false}) {
      for (const bool affine : {true, false}) {
        CAPTURE(cols);
        CAPTURE(centred);
        CAPTURE(affine);
        auto values = numbers<T>(rows * cols, 1);
        for (T& v : values) v += T(0.5);
        const Guarded<T> x(values), weight(numbers<T>(cols, 2)), bias(numbers<T>(cols, 3));
        const Guarded<T> dy(numbers<T>(rows * cols, 4)), y(rows * cols), normal(rows * cols), inverse(rows);
        const Guarded<T> dx(rows * cols);
        const T* w = affine ? weight.data() : nullptr;
        const kernels::RowNorm<T> forward{.rows = rows,
                                          .cols = cols,
                                          .x = x.data(),
                                          .weight = w,
                                          .bias = affine ? bias.data() : nullptr,
                                          .epsilon = epsilon,
                                          .y = y.data(),
                                          .normal = normal.data(),
                                          .inverse_deviation = inverse.data()};
        const kernels::RowNormDelta<T> backward{.rows = rows,
                                                .cols = cols,
                                                .delta_y = dy.data(),
                                                .normal = normal.data(),
                                                .inverse_deviation = inverse.data(),
                                                .weight = w,
                                                .delta_x = dx.data()};
        (centred ? k.layer_norm : k.rms_norm)(forward);
        (centred ? k.layer_norm_delta : k.rms_norm_delta)(backward);
        Exact ys, normals, inverses, dxs;
        for (Index i = 0; i < rows; ++i) {
          const Normal exact(x.data() + i * cols, cols, 1, centred, epsilon);
          inverses.push_back(exact.inverse);
          Exact g, row;
          for (Index j = 0; j < cols; ++j) {
            row.push_back((x[i * cols + j] - exact.mean) * exact.inverse);
            ys.push_back(affine ? row.back() * weight[j] + bias[j] : row.back());
            g.push_back(affine ? static_cast<long double>(dy[i * cols + j]) * weight[j] : dy[i * cols + j]);
          }
          normals.insert(normals.end(), row.begin(), row.end());
          const Exact d = delta_of(g, row, exact.inverse, centred);
          dxs.insert(dxs.end(), d.begin(), d.end());
        }
        // With one column, x - mean is 0 and the inverse deviation has its largest value.
        const double bound = cols == 1 && centred ? 1 : 8;
        CHECK(error(y.values(), ys) < bound);
        CHECK(error(normal.values(), normals) < bound);
        CHECK(error(inverse.values(), inverses) < bound);
        CHECK(error(dx.values(), dxs) < 16);
        CHECK((y.intact() && normal.intact() && inverse.intact() && dx.intact()));

        // Inference saves nothing, and y may alias x: the same bits.
        kernels::RowNorm<T> alone = forward;
        alone.normal = alone.inverse_deviation = nullptr;
        const Guarded<T> place(values);
        alone.x = alone.y = place.data();
        (centred ? k.layer_norm : k.rms_norm)(alone);
        CHECK(first_difference(place.values(), y.values()) == -1);
        kernels::RowNormDelta<T> in_place = backward;
        const Guarded<T> delta(dy.values());
        in_place.delta_y = in_place.delta_x = delta.data();
        (centred ? k.layer_norm_delta : k.rms_norm_delta)(in_place);
        CHECK(first_difference(delta.values(), dx.values()) == -1);
        // The bits of a row do not depend on the other rows.
        alone.x = x.data() + (rows - 1) * cols;
        alone.rows = 1;
        (centred ? k.layer_norm : k.rms_norm)(alone);
        CHECK(first_difference(place.data(), y.data() + (rows - 1) * cols, cols) == -1);
      }
    }
  }
}

TEST_CASE_TEMPLATE("a row whose mean is large compared with its deviation is normalised accurately", T, float, double) {
  // Two-pass variance: mean(x^2) - mean^2 would cancel.
  constexpr Index cols = 64;
  std::vector<T> x(cols);
  for (Index j = 0; j < cols; ++j) x[at(j)] = T(4096) + static_cast<T>(j % 4);
  std::vector<T> y(cols);
  kernels::get<T>().layer_norm({.rows = 1, .cols = cols, .x = x.data(), .epsilon = T(0), .y = y.data()});
  for (Index j = 0; j < cols; ++j) {
    CHECK(y[at(j)] == doctest::Approx((static_cast<double>(j % 4) - 1.5) / std::sqrt(1.25)).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE("column normalisation and its deltas agree with long double", T, float, double) {
  constexpr T epsilon = T(1e-5);
  const auto& k = kernels::get<T>();
  for (const Index rows : kRows) {
    for (const Index cols : {1, 3, 8, 17}) {
      for (const bool affine : {true, false}) {
        CAPTURE(rows);
        CAPTURE(cols);
        CAPTURE(affine);
        const Index n = rows * cols;
        auto values = numbers<T>(n, 1);
        for (T& v : values) v += T(0.5);
        const Guarded<T> x(values), weight(numbers<T>(cols, 2)), bias(numbers<T>(cols, 3)), dy(numbers<T>(n, 4));
        const Guarded<T> mean(cols), variance(cols), inverse(cols), y(n), normal(n), dx(n), sums(cols), products(cols);
        const T* w = affine ? weight.data() : nullptr;
        k.column_moments({.rows = rows, .cols = cols, .x = x.data(), .mean = mean.data(), .variance = variance.data()});
        k.inverse_deviation(
            {.n = cols, .variance = variance.data(), .epsilon = epsilon, .inverse_deviation = inverse.data()});
        k.column_sums({.rows = rows, .cols = cols, .a = dy.data(), .sums = sums.data(), .accumulate = false});
        // Any split into ranges of rows.
        const auto run = [&](Index first, Index last) {
          k.column_norm({.rows = last - first,
                         .cols = cols,
                         .x = x.data() + first * cols,
                         .mean = mean.data(),
                         .inverse_deviation = inverse.data(),
                         .weight = w,
                         .bias = affine ? bias.data() : nullptr,
                         .y = y.data() + first * cols,
                         .normal = normal.data() + first * cols});
        };
        run(0, rows / 3);
        run(rows / 3, rows);
        k.column_sums({.rows = rows,
                       .cols = cols,
                       .a = dy.data(),
                       .sums = products.data(),
                       .accumulate = false,
                       .factors = normal.data()});
        const auto back = [&](Index first, Index last, bool given) {
          k.column_norm_delta({.rows = last - first,
                               .cols = cols,
                               .batch = rows,
                               .delta_y = dy.data() + first * cols,
                               .normal = normal.data() + first * cols,
                               .inverse_deviation = inverse.data(),
                               .weight = w,
                               .delta_sums = given ? nullptr : sums.data(),
                               .product_sums = given ? nullptr : products.data(),
                               .delta_x = dx.data() + first * cols});
        };
        back(0, rows / 2, false);
        back(rows / 2, rows, false);

        Exact means, variances, ys(at(n)), dxs(at(n)), given(at(n)), wsums(at(cols));
        for (Index j = 0; j < cols; ++j) {
          const Normal exact(x.data() + j, rows, cols, true, epsilon);
          means.push_back(exact.mean);
          variances.push_back(exact.variance);
          Exact g, column;
          for (Index i = 0; i < rows; ++i) {
            const std::size_t e = at(i * cols + j);
            column.push_back((x[i * cols + j] - exact.mean) * exact.inverse);
            ys[e] = affine ? column.back() * weight[j] + bias[j] : column.back();
            g.push_back(affine ? static_cast<long double>(dy[i * cols + j]) * weight[j] : dy[i * cols + j]);
            given[e] = g.back() * exact.inverse;
            wsums[at(j)] += column.back() * dy[i * cols + j];
          }
          const Exact d = delta_of(g, column, exact.inverse, true);
          for (Index i = 0; i < rows; ++i) dxs[at(i * cols + j)] = d[at(i)];
        }
        // With few rows the deviation may be small and relative errors large.
        const double bound = rows < 4 ? 256 : 32;
        CHECK(error(mean.values(), means) < 4);
        CHECK(error(variance.values(), variances) < 4);
        CHECK(error(y.values(), ys) < bound);
        CHECK(error(products.values(), wsums) < bound);
        CHECK(error(dx.values(), dxs) < bound);
        back(0, rows, true);
        CHECK(error(dx.values(), given) < bound);
        CHECK((mean.intact() && variance.intact() && inverse.intact() && y.intact() && normal.intact()));
        CHECK((dx.intact() && sums.intact() && products.intact()));
      }
    }
  }
}

TEST_CASE_TEMPLATE("column moments and products sum blocks of 256 rows in order", T, float, double) {
  for (const Index rows : kRows) {
    constexpr Index cols = 11;
    CAPTURE(rows);
    const auto x = numbers<T>(rows * cols, 1), factors = numbers<T>(rows * cols, 2);
    std::vector<T> mean(cols), variance(cols), before = numbers<T>(cols, 3), sums = before;
    kernels::get<T>().column_moments(
        {.rows = rows, .cols = cols, .x = x.data(), .mean = mean.data(), .variance = variance.data()});
    auto expected = chain_sums(rows, cols, x.data(), {});
    for (T& v : expected) v /= static_cast<T>(rows);
    CHECK(first_difference(mean, expected) == -1);
    std::vector<T> d(x);
    for (Index i = 0; i < rows * cols; ++i) d[at(i)] -= mean[at(i % cols)];
    // a^T a of one column is the sum of its squares
    for (Index j = 0; j < cols; ++j) {
      const auto squares = chain_blocked<T>(1, 1, rows, {d.data() + j, 1, cols}, {d.data() + j, cols, 1}, {});
      CHECK(same_bits(variance[at(j)], squares[0] / static_cast<T>(rows)));
    }
    kernels::get<T>().column_sums({.rows = rows,
                                   .cols = cols,
                                   .a = x.data(),
                                   .sums = sums.data(),
                                   .accumulate = true,
                                   .factors = factors.data()});
    for (Index j = 0; j < cols; ++j) {
      const auto product =
          chain_blocked<T>(1, 1, rows, {x.data() + j, 1, cols}, {factors.data() + j, cols, 1}, {before[at(j)]});
      CHECK(same_bits(sums[at(j)], product[0]));
    }
  }
}

TEST_CASE_TEMPLATE("blend computes keep values + take fresh", T, float, double) {
  for (const Index n : kWidths) {
    const auto before = numbers<T>(n, 1), fresh = numbers<T>(n, 2);
    const Guarded<T> values(before);
    const T keep = T(0.9), take = T(0.1);
    kernels::get<T>().blend({.n = n, .values = values.data(), .fresh = fresh.data(), .keep = keep, .take = take});
    for (Index i = 0; i < n; ++i) {
      REQUIRE(same_bits(values[i], fused(take, fresh[at(i)], keep * before[at(i)])));
    }
    CHECK(values.intact());
    // With factors 1 it is a sum, bit for bit.
    const Guarded<T> sum(before);
    kernels::get<T>().blend({.n = n, .values = sum.data(), .fresh = fresh.data(), .keep = 1, .take = 1});
    for (Index i = 0; i < n; ++i) REQUIRE(same_bits(sum[i], before[at(i)] + fresh[at(i)]));
  }
}
