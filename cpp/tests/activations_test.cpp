#include <doctest/doctest.h>

#include <string>

#include "chains.hpp"
#include "check.hpp"
#include "deltaprop/kernels/table.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

using Real = long double;

/// f and f' in long double; `scale` is the reference magnitude for the error of f': |f'|, or the size of its terms if
/// they cancel.
struct Exact {
  std::string name;
  std::vector<double> options;
  Real (*value)(Real);
  Real (*delta)(Real);
  Real (*scale)(Real);
  double most = 4;  // ulp
};

const Real kPi = std::acos(Real(-1));
Real logistic(Real x) { return 1 / (1 + std::exp(-x)); }
Real softplus(Real x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
Real cdf(Real x) { return std::erfc(-x / std::sqrt(Real(2))) / 2; }
Real bell(Real x) { return std::exp(-x * x / 2) / std::sqrt(2 * kPi); }
Real inner(Real x) { return 2 * std::sqrt(2 / kPi) * (x + Real(0.044715L) * x * x * x); }
Real inner_slope(Real x) { return 2 * std::sqrt(2 / kPi) * (1 + 3 * Real(0.044715L) * x * x); }
// tanh(log(1 + e^x)) and its derivative
Real mish(Real x) {
  const Real e = std::exp(std::min(x, Real(100)));
  return e * (e + 2) / (e * (e + 2) + 2);
}
Real mish_slope(Real x) {
  const Real e = std::exp(std::min(x, Real(100))), d = e * (e + 2) + 2;
  return 4 * e * (1 + e) / d / d;
}
Real tanhshrink(Real x) {
  if (std::abs(x) > 2) return x - std::tanh(x);
  // By the continued fraction of tanh, which is free of cancellation.
  Real rest = 0;
  for (int k = 41; k >= 5; k -= 2) rest = x * x / (static_cast<Real>(k) + rest);
  return x * x * x / (3 + x * x + rest);
}
Real one(Real) { return 1; }
constexpr Real kAlpha = 1.6732632423543772848170429916717L, kScale = 1.0507009873554804934193349852946L;

/// Every elementwise activation.
const std::vector<Exact>& all() {
  static const std::vector<Exact> list{
      {"Identity", {}, [](Real x) { return x; }, one, one, 0},
      {"Sigmoid", {}, logistic, [](Real x) { return logistic(x) * logistic(-x); }, logistic},
      {"LogSigmoid",
       {},
       [](Real x) { return -softplus(-x); },
       [](Real x) { return logistic(-x); },
       [](Real x) { return logistic(-x); }},
      {"Hardsigmoid",
       {},
       [](Real x) { return std::clamp<Real>(x + 3, 0, 6) / 6; },
       [](Real x) { return std::abs(x) < 3 ? Real(1) / 6 : 0; },
       one},
      {"Tanh", {}, [](Real x) { return std::tanh(x); }, [](Real x) { return 1 / std::cosh(x) / std::cosh(x); }, one},
      {"Tanhshrink",
       {},
       tanhshrink,
       [](Real x) { return std::tanh(x) * std::tanh(x); },
       [](Real x) { return std::tanh(x) * std::tanh(x); }},
      {"Hardtanh",
       {-0.5, 2},
       [](Real x) { return std::clamp<Real>(x, -0.5, 2); },
       [](Real x) { return Real(-0.5 < x && x < 2); },
       one,
       0},
      {"Softsign",
       {},
       [](Real x) { return x / (1 + std::abs(x)); },
       [](Real x) { return 1 / (1 + std::abs(x)) / (1 + std::abs(x)); },
       [](Real x) { return 1 / (1 + std::abs(x)) / (1 + std::abs(x)); }},
      {"Softplus",
       {2.5, 20},
       [](Real x) { return x * 2.5L > 20 ? x : softplus(2.5L * x) / 2.5L; },
       [](Real x) { return x * 2.5L > 20 ? 1 : logistic(2.5L * x); },
       [](Real x) { return x * 2.5L > 20 ? 1 : logistic(2.5L * x); }},
      {"ReLU", {}, [](Real x) { return std::max<Real>(x, 0); }, [](Real x) { return Real(x > 0); }, one, 0},
      {"ReLU6",
       {},
       [](Real x) { return std::clamp<Real>(x, 0, 6); },
       [](Real x) { return Real(0 < x && x < 6); },
       one,
       0},
      {"LeakyReLU", {0.25}, [](Real x) { return x > 0 ? x : x / 4; }, [](Real x) { return x > 0 ? 1 : 0.25L; }, one, 1},
      {"ELU",
       {1.5},
       [](Real x) { return x > 0 ? x : 1.5L * std::expm1(x); },
       [](Real x) { return x > 0 ? 1 : 1.5L * std::exp(x); },
       [](Real x) { return x > 0 ? 1 : 1.5L * std::exp(x); }},
      {"CELU",
       {0.75},
       [](Real x) { return x > 0 ? x : 0.75L * std::expm1(x / 0.75L); },
       [](Real x) { return x > 0 ? 1 : std::exp(x / 0.75L); },
       one},
      {"SELU",
       {},
       [](Real x) { return kScale * (x > 0 ? x : kAlpha * std::expm1(x)); },
       [](Real x) { return kScale * (x > 0 ? 1 : kAlpha * std::exp(x)); },
       [](Real x) { return kScale * (x > 0 ? 1 : kAlpha * std::exp(x)); }},
      {"GELU",
       {},
       [](Real x) { return x * cdf(x); },
       [](Real x) { return cdf(x) + x * bell(x); },
       [](Real x) { return cdf(x) + std::abs(x * bell(x)); }},
      {"GELUTanh",
       {},
       [](Real x) { return x * logistic(inner(x)); },
       [](Real x) { return logistic(inner(x)) * (1 + x * inner_slope(x) * logistic(-inner(x))); },
       [](Real x) { return logistic(inner(x)) * (1 + std::abs(x * inner_slope(x) * logistic(-inner(x)))); }},
      {"SiLU",
       {},
       [](Real x) { return x * logistic(x); },
       [](Real x) { return logistic(x) * (1 + x * logistic(-x)); },
       [](Real x) { return logistic(x) * (1 + std::abs(x * logistic(-x))); }},
      {"Mish",
       {},
       [](Real x) { return x * mish(x); },
       [](Real x) { return mish(x) + x * mish_slope(x); },
       [](Real x) { return mish(x) + std::abs(x * mish_slope(x)); }},
      {"Hardswish",
       {},
       [](Real x) { return x * std::clamp<Real>(x + 3, 0, 6) / 6; },
       [](Real x) { return x <= -3 ? 0
                           : x < 3 ? x / 3 + 0.5L
                                   : 1; },
       one},
  };
  return list;
}

template <class T>
const kernels::Activation<T>& functions(const std::string& name) {
  const auto& k = kernels::get<T>();
  return *std::find_if(k.activations, k.activations + k.activation_count,
                       [&](const auto& a) { return name == a.name; });
}

std::vector<double> options_of(const std::string& name) {
  const auto found = std::find_if(all().begin(), all().end(), [&](const Exact& e) { return e.name == name; });
  return found == all().end() ? std::vector<double>{} : found->options;
}

template <class T>
void forward(const std::string& name, Index rows, Index cols, const T* x, T* y) {
  kernels::ActivationForward<T> call{.rows = rows, .cols = cols, .x = x, .y = y};
  std::ranges::transform(options_of(name), call.options, [](double o) { return static_cast<T>(o); });
  functions<T>(name).forward(call);
}
template <class T>
void backward(const std::string& name, Index rows, Index cols, const T* x, const T* y, const T* dy, T* dx) {
  kernels::ActivationBackward<T> call{.rows = rows, .cols = cols, .x = x, .y = y, .dy = dy, .dx = dx};
  std::ranges::transform(options_of(name), call.options, [](double o) { return static_cast<T>(o); });
  functions<T>(name).backward(call);
}
template <class T>
std::vector<T> forward(const std::string& name, const std::vector<T>& x) {
  std::vector<T> y(x.size());
  forward(name, 1, static_cast<Index>(x.size()), x.data(), y.data());
  return y;
}
template <class T>
std::vector<T> backward(const std::string& name, const std::vector<T>& x, const std::vector<T>& dy) {
  const auto y = forward(name, x);
  std::vector<T> dx(x.size());
  backward(name, 1, static_cast<Index>(x.size()), x.data(), y.data(), dy.data(), dx.data());
  return dx;
}

/// Realistic arguments in [-1e4, 1e4], kinks included; floats, so that both precisions get the same numbers.
template <class T>
std::vector<T> arguments() {
  std::vector<T> x;
  for (const T v : wide_range<T>()) {
    if (std::abs(v) <= T(1e4)) x.push_back(v);
  }
  for (const double v : {0.5, 1.0, 2.0, 3.0, 6.0, 8.0, 1e4}) {
    x.push_back(static_cast<T>(v));
    x.push_back(static_cast<T>(-v));
  }
  return x;
}

/// One ulp of `scale`, at least that of a number well above the underflow threshold, where factors of it lose digits.
template <class T>
double distance(T got, Real exact, Real scale) {
  if (!std::isfinite(got)) return std::numeric_limits<double>::infinity();
  constexpr Real smallest = 1024 * std::numeric_limits<T>::min();
  return static_cast<double>(std::abs(got - exact) /
                             (std::numeric_limits<T>::epsilon() * std::max(std::abs(scale), smallest)));
}

}  // namespace

TEST_CASE_TEMPLATE("every activation and its derivative agree with long double within the stated ulp, and are finite",
                   T, float, double) {
  const auto x = arguments<T>();
  const std::vector<T> ones(x.size(), T(1));
  const auto& known = kernels::get<T>();
  for (Index k = 0; k < known.activation_count; ++k) {
    const std::string name = known.activations[k].name;
    if (name == "Softmax" || name == "LogSoftmax") continue;  // rowwise: tested below
    const auto found = std::find_if(all().begin(), all().end(), [&](const Exact& e) { return e.name == name; });
    CAPTURE(name);
    REQUIRE(found != all().end());
    REQUIRE(found->options.size() == known.activations[k].options.size());
    const auto y = forward(name, x), dx = backward(name, x, ones);
    double worst_value = 0, worst_delta = 0;
    T where_value = 0, where_delta = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real exact = found->value(x[i]);
      const double value = distance(y[i], exact, exact);
      const double delta = distance(dx[i], found->delta(x[i]), found->scale(x[i]));
      if (value > worst_value) worst_value = value, where_value = x[i];
      if (delta > worst_delta) worst_delta = delta, where_delta = x[i];
    }
    CAPTURE(where_value);
    CAPTURE(where_delta);
    CHECK(worst_value <= found->most);
    CHECK(worst_delta <= found->most);
  }
}

TEST_CASE_TEMPLATE("sigmoid and tanh stay within their range", T, float, double) {
  std::vector<T> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<T>(i) / 100);
  const auto s = forward("Sigmoid", x), t = forward("Tanh", x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE((s[i] >= 0 && s[i] <= 1));
    REQUIRE((t[i] >= -1 && t[i] <= 1));
  }
}

TEST_CASE_TEMPLATE("tanh and tanhshrink are odd", T, float, double) {
  const auto x = wide_range<T>();
  std::vector<T> minus_x = x;
  for (T& v : minus_x) v = -v;
  for (const std::string name : {"Tanh", "Tanhshrink"}) {
    const auto y = forward(name, x), z = forward(name, minus_x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!std::isnan(x[i]) && !std::isnan(y[i])) REQUIRE(same_bits(y[i], -z[i]));
    }
  }
}

TEST_CASE_TEMPLATE("derivatives of the simple activations equal their formulas bit for bit", T, float, double) {
  const auto x = numbers<T>(101, 1), dy = numbers<T>(101, 2);
  const auto check = [&](const std::string& name, auto expected) {
    CAPTURE(name);
    const auto y = forward(name, x), dx = backward(name, x, dy);
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(same_bits(dx[i], expected(x[i], y[i], dy[i])));
  };
  check("Identity", [](T, T, T d) { return d; });
  check("Sigmoid", [](T, T v, T d) { return d * (v * (1 - v)); });
  check("Tanh", [](T, T v, T d) { return d * ((1 - v) * (1 + v)); });
  check("ReLU", [](T u, T, T d) { return u > 0 ? d : T(0); });
  check("LeakyReLU", [](T u, T, T d) { return u > 0 ? d : T(0.25) * d; });
}

TEST_CASE_TEMPLATE("every activation propagates NaN", T, float, double) {
  const std::vector<T> x(3, std::numeric_limits<T>::quiet_NaN());
  for (Index k = 0; k < kernels::get<T>().activation_count; ++k) {
    CAPTURE(kernels::get<T>().activations[k].name);
    for (const T y : forward(kernels::get<T>().activations[k].name, x)) CHECK(std::isnan(y));
  }
}

TEST_CASE_TEMPLATE("softmax and log-softmax and their derivatives agree with long double", T, float, double) {
  constexpr double most = 4;
  double worst_y = 0, worst_log_y = 0, worst_dx = 0, worst_log_dx = 0;
  for (const Index n : {1, 2, 7, 16, 33}) {
    for (const T spread : {T(1e-3), T(1), T(6), T(100)}) {
      auto x = numbers<T>(n, 5);
      const auto dy = numbers<T>(n, 6);
      for (T& v : x) v *= spread;
      const auto y = forward("Softmax", x), log_y = forward("LogSoftmax", x);
      const auto dx = backward("Softmax", x, dy), log_dx = backward("LogSoftmax", x, dy);
      const Real largest = *std::max_element(x.begin(), x.end());
      Real sum = 0, total = 0, sizes = 0, mean = 0, mean_size = 0;
      for (const T v : x) sum += std::exp(v - largest);
      for (std::size_t j = 0; j < x.size(); ++j) {
        const Real p = std::exp(x[j] - largest) / sum;
        total += dy[j];
        sizes += std::abs(dy[j]);
        mean += dy[j] * p;
        mean_size += std::abs(dy[j]) * p;
      }
      for (std::size_t j = 0; j < x.size(); ++j) {
        // The relative error of a probability is the absolute error of its logarithm: that of x - m and that of the
        // sum.
        const Real log_p = x[j] - largest - std::log(sum), p = std::exp(log_p), room = 1 + std::abs(x[j] - largest);
        worst_y = std::max(worst_y, distance(y[j], p, p * room));
        worst_log_y = std::max(worst_log_y, distance(log_y[j], log_p, room));
        worst_dx = std::max(worst_dx, distance(dx[j], p * (dy[j] - mean), p * (std::abs(dy[j]) + mean_size) * room));
        worst_log_dx =
            std::max(worst_log_dx, distance(log_dx[j], dy[j] - p * total, std::abs(dy[j]) + p * sizes * room));
      }
    }
  }
  CHECK(worst_y <= most);
  CHECK(worst_log_y <= most);
  CHECK(worst_dx <= most);
  CHECK(worst_log_dx <= most);
}

TEST_CASE_TEMPLATE("softmax and log-softmax do not overflow for extreme logits", T, float, double) {
  const std::vector<T> x{1e4, -1e4, T(9999.5), 0, 0, 0, -1e4, -1e4, -1e4};
  const Index rows = 3, cols = 3;
  std::vector<T> y(x.size()), log_y(x.size());
  forward("Softmax", rows, cols, x.data(), y.data());
  forward("LogSoftmax", rows, cols, x.data(), log_y.data());
  for (Index i = 0; i < rows; ++i) {
    const T* row = x.data() + i * cols;
    const Real largest = *std::max_element(row, row + cols);
    Real sum = 0;
    for (Index j = 0; j < cols; ++j) sum += std::exp(row[j] - largest);
    for (Index j = 0; j < cols; ++j) {
      const Real exact = row[j] - largest - std::log(sum);
      CHECK(distance(y[at(i * cols + j)], std::exp(exact), std::exp(exact)) <= 4);
      CHECK(distance(log_y[at(i * cols + j)], exact, exact) <= 4);
    }
  }
}

TEST_CASE_TEMPLATE("rows without features are left alone", T, float, double) {
  const Guarded<T> nothing(0);
  for (Index k = 0; k < kernels::get<T>().activation_count; ++k) {
    const std::string name = kernels::get<T>().activations[k].name;
    forward(name, 3, 0, nothing.data(), nothing.data());
    backward(name, 3, 0, nothing.data(), nothing.data(), nothing.data(), nothing.data());
    CHECK(nothing.intact());
  }
}

TEST_CASE_TEMPLATE("the bits of an element do not depend on its position or its neighbours", T, float, double) {
  auto x = numbers<T>(60, 3);
  const auto dy = numbers<T>(60, 4);
  for (T& v : x) v *= 6;
  x[7] = std::numeric_limits<T>::infinity();
  x[20] = std::numeric_limits<T>::denorm_min();
  for (Index k = 0; k < kernels::get<T>().activation_count; ++k) {
    const std::string name = kernels::get<T>().activations[k].name;
    CAPTURE(name);
    // One element alone, or for rowwise activations one row of the same length.
    const bool of_rows = name == "Softmax" || name == "LogSoftmax";
    for (const Index width : {1, 2, 7, 16, 19}) {
      if (width > 1 && !of_rows) continue;
      for (Index offset = 0; offset < 17; ++offset) {
        std::vector<T> alone(x.size()), delta_alone(x.size());
        for (Index i = offset; i + width <= static_cast<Index>(x.size()); i += width) {
          forward(name, 1, width, &x[at(i)], &alone[at(i)]);
          backward(name, 1, width, &x[at(i)], &alone[at(i)], &dy[at(i)], &delta_alone[at(i)]);
        }
        for (Index rows = 0; rows * width <= 40; ++rows) {
          const Index n = rows * width;
          const Guarded<T> y(n), dx(n);
          forward(name, rows, width, x.data() + offset, y.data());
          backward(name, rows, width, x.data() + offset, y.data(), dy.data() + offset, dx.data());
          REQUIRE(first_difference(y.data(), alone.data() + offset, n) == -1);
          REQUIRE(first_difference(dx.data(), delta_alone.data() + offset, n) == -1);
          REQUIRE(y.intact());
          REQUIRE(dx.intact());
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("the gradient of learned slopes sums blocks of 256 rows in order", T, float, double) {
  for (const Index rows : {0, 1, 255, 256, 257, 600}) {
    for (const Index cols : {1, 3, 8, 17, 33}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const Guarded<T> x(numbers<T>(rows * cols, 1)), dy(numbers<T>(rows * cols, 2));
      // dy min(x, 0), summed within each row by the reduction tree of 16 chains
      std::vector<T> terms(at(rows * cols)), sums(at(rows));
      for (Index i = 0; i < rows; ++i) {
        T chains[16] = {};
        for (Index j = 0; j < cols; ++j) {
          const Index k = i * cols + j;
          terms[at(k)] = x[k] > 0 ? T(0) : dy[k] * x[k];
          chains[j % 16] += terms[at(k)];
        }
        for (Index half = 8; half > 0; half /= 2) {
          for (Index k = 0; k < half; ++k) chains[k] += chains[k + half];
        }
        sums[at(i)] = chains[0];
      }
      for (const bool shared : {false, true}) {
        const Index count = shared ? 1 : cols;
        const auto before = numbers<T>(count, 3);
        for (const bool accumulate : {false, true}) {
          const Guarded<T> gradient(before);
          kernels::get<T>().prelu_gradient({.rows = rows,
                                            .cols = cols,
                                            .shared = shared,
                                            .x = x.data(),
                                            .dy = dy.data(),
                                            .gradient = gradient.data(),
                                            .accumulate = accumulate});
          const auto expected_sum =
              chain_sums(rows, count, shared ? sums.data() : terms.data(), accumulate ? before : std::vector<T>{});
          REQUIRE(first_difference(gradient.values(), expected_sum) == -1);
          REQUIRE(gradient.intact());
        }
      }
    }
  }
}
