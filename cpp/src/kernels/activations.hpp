#pragma once

#include <array>

#include "deltaprop/kernels/table.hpp"
#include "functions.hpp"
#include "reductions.hpp"

/// Activations: a formula y = f(x) and dx = dy f'(x), side by side. NaN passes through every one; where f has a kink,
/// f' is what PyTorch takes it for.
namespace deltaprop::kernels {

/// The options of a formula, each in all lanes.
template <class T>
using Options = const Vector<T>*;

struct Identity {
  static bool from_output(const double*) { return true; }
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return x;
  }
  template <class T>
  static Vector<T> delta(Vector<T>, Vector<T>, Vector<T> dy, Options<T>) {
    return dy;
  }
};

struct Sigmoid {
  static bool from_output(const double*) { return true; }
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return sigmoid(x);
  }
  // f' = y (1 - y)
  template <class T>
  static Vector<T> delta(Vector<T>, Vector<T> y, Vector<T> dy, Options<T>) {
    return dy * (y * (Vector<T>::all(T(1)) - y));
  }
};

struct LogSigmoid {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return log_sigmoid(x);
  }
  // f' = 1 / (1 + e^x)
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    return dy * sigmoid(-x);
  }
};

struct Tanh {
  static bool from_output(const double*) { return true; }
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return tanh(x);
  }
  // f' = 1 - y^2 = (1 - y) (1 + y)
  template <class T>
  static Vector<T> delta(Vector<T>, Vector<T> y, Vector<T> dy, Options<T>) {
    const auto one = Vector<T>::all(T(1));
    return dy * ((one - y) * (one + y));
  }
};

struct Tanhshrink {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return x_minus_tanh(x);
  }
  // f' = tanh^2 x
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const auto t = tanh(x);
    return dy * (t * t);
  }
};

struct Softsign {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return x / (Vector<T>::all(T(1)) + abs(x));
  }
  // f' = 1 / (1 + |x|)^2
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const auto one = Vector<T>::all(T(1));
    const auto inverse = one / (one + abs(x));
    return dy * inverse * inverse;
  }
};

struct Softplus {
  // (beta, threshold)
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T> o) {
    const auto z = product(o[0], x);
    return select(o[1] < z.high, x, softplus(z) / o[0]);
  }
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T> o) {
    const auto z = product(o[0], x);
    return select(o[1] < z.high, dy, dy * logistic(z.high, exp_minus_abs(z)));
  }
};

struct ReLU {
  static bool from_output(const double*) { return true; }
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return select(x < Vector<T>::zero(), Vector<T>::zero(), x);
  }
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    return select(x <= Vector<T>::zero(), Vector<T>::zero(), dy);
  }
};

struct LeakyReLU {
  // (negative_slope)
  static bool from_output(const double* o) { return o[0] >= 0; }  // y has the sign of x
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T> o) {
    return select(Vector<T>::zero() < x, x, o[0] * x);
  }
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T> o) {
    return select(Vector<T>::zero() < x, dy, o[0] * dy);
  }
};

/// A member that is a form of several's, with numbers of its own.
template <class Member>
struct Formed {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T> o) {
    return Member::form(o).value(x);
  }
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T> o) {
    return Member::form(o).delta(x, dy);
  }
};

/// y = above x for x > 0, below (e^(inner x) - 1) elsewhere
template <class T>
struct Exponential {
  Vector<T> above, below, inner;

  Vector<T> value(Vector<T> x) const { return select(Vector<T>::zero() < x, above * x, below * expm1(inner * x)); }
  Vector<T> delta(Vector<T> x, Vector<T> dy) const {
    return dy * select(Vector<T>::zero() < x, above, below * inner * exp(inner * x));
  }
};

struct ELU : Formed<ELU> {
  // (alpha)
  template <class T>
  static Exponential<T> form(Options<T> o) {
    return {Vector<T>::all(T(1)), o[0], Vector<T>::all(T(1))};
  }
};

struct CELU : Formed<CELU> {
  // (alpha)
  template <class T>
  static Exponential<T> form(Options<T> o) {
    return {Vector<T>::all(T(1)), o[0], Vector<T>::all(T(1)) / o[0]};
  }
};

struct SELU : Formed<SELU> {
  template <class T>
  static Exponential<T> form(Options<T>) {
    constexpr double alpha = 1.6732632423543772848170429916717, scale = 1.0507009873554804934193349852946;
    return {Vector<T>::all(T(scale)), Vector<T>::all(T(scale * alpha)), Vector<T>::all(T(1))};
  }
};

/// y = min(max(x, low), high), whose derivative is 0 at both ends
template <class T>
struct Clamp {
  Vector<T> low, high;

  Vector<T> value(Vector<T> x) const { return clamp(x, low, high); }
  Vector<T> delta(Vector<T> x, Vector<T> dy) const {
    const auto zero = Vector<T>::zero();
    return select(x <= low, zero, select(high <= x, zero, dy));
  }
};

struct Hardtanh : Formed<Hardtanh> {
  // (min_val, max_val)
  template <class T>
  static Clamp<T> form(Options<T> o) {
    return {o[0], o[1]};
  }
};

struct ReLU6 : Formed<ReLU6> {
  template <class T>
  static Clamp<T> form(Options<T>) {
    return {Vector<T>::zero(), Vector<T>::all(T(6))};
  }
};

/// y = min(max(x + 3, 0), 6) / 6
struct Hardsigmoid {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    const auto six = Vector<T>::all(T(6));
    return clamp(x + Vector<T>::all(T(3)), Vector<T>::zero(), six) / six;
  }
  // f' = 1/6 within (-3, 3)
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const auto three = Vector<T>::all(T(3));
    return Clamp<T>{-three, three}.delta(x, dy / Vector<T>::all(T(6)));
  }
};

/// y = x min(max(x + 3, 0), 6) / 6
struct Hardswish {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    const auto six = Vector<T>::all(T(6));
    return x * (clamp(x + Vector<T>::all(T(3)), Vector<T>::zero(), six) / six);
  }
  // f' = x / 3 + 1/2 within (-3, 3), 0 below and 1 above
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const auto three = Vector<T>::all(T(3));
    const auto inside = dy * (x / three + Vector<T>::all(T(0.5)));
    return select(x <= -three, Vector<T>::zero(), select(three <= x, dy, inside));
  }
};

struct SiLU {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return x * sigmoid(x);
  }
  // f' = s (1 + x (1 - s)), s = 1 / (1 + e^-x)
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const auto [s, rest] = sigmoid_and_rest(x, exp(-abs(x)));
    return dy * (s * fma(x, rest, Vector<T>::all(T(1))));
  }
};

struct GELU {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return x * normal(x).cdf;
  }
  // f' = Phi(x) + x phi(x)
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const auto [cdf, bell] = normal(x);
    return dy * fma(x, Vector<T>::all(T(0.25) * Constants<T>::gelu_linear[0]) * bell, cdf);
  }
};

/// x (1 + tanh(u / 2)) / 2 = x / (1 + e^-u), u = x (c + d x^2), c = 2 sqrt(2/pi), d = 0.044715 c.
struct GELUTanh {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    return x * logistic(x, exp_minus_abs(inner(bounded(x))));
  }
  // f' = s (1 + x (1 - s) u'), s = 1 / (1 + e^-u), u' = c + 3 d x^2
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    using C = Constants<T>;
    const auto a = bounded(x);
    const auto [s, rest] = sigmoid_and_rest(a, exp_minus_abs(inner(a)));
    const auto slope = fma(Vector<T>::all(T(3) * C::gelu_cubic[0]), a * a, Vector<T>::all(C::gelu_linear[0]));
    return dy * (s * fma(a * slope, rest, Vector<T>::all(T(1))));
  }

 private:
  // Beyond, s is 0 or 1 in both precisions.
  template <class T>
  static Vector<T> bounded(Vector<T> x) {
    return clamp(x, Vector<T>::all(T(-24)), Vector<T>::all(T(24)));
  }
  // u with more digits than T has: its exponential would be wrong by |u| ulp else.
  template <class T>
  static Sum<T> inner(Vector<T> a) {
    using C = Constants<T>;
    const auto square = product(a, a);
    const auto cubic = product(Vector<T>::all(C::gelu_cubic[0]), square.high);
    const auto linear = Vector<T>::all(C::gelu_linear[0]);
    const auto sum = linear + cubic.high;
    // What the addition lost (Knuth's two-sum), and the low parts of all that went in.
    const auto part = sum - linear;
    const auto lost = (linear - (sum - part)) + (cubic.high - part);
    const auto low =
        fma(Vector<T>::all(C::gelu_cubic[0]), square.low,
            fma(Vector<T>::all(C::gelu_cubic[1]), square.high, (lost + cubic.low) + Vector<T>::all(C::gelu_linear[1])));
    const auto u = product(a, sum);
    return {u.high, fma(a, low, u.low)};
  }
};

/// y = x tanh(log(1 + e^x)) = x n / (n + 2), n = e (e + 2), e = e^x
struct Mish {
  template <class T>
  static Vector<T> value(Vector<T> x, Options<T>) {
    const Parts<T> p(x);
    return x * (p.n / p.d);
  }
  // f' = e (e + 2 + 4 x (1 + e) / (n + 2)) / (n + 2)
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy, Options<T>) {
    const Parts<T> p(x);
    const auto four_x = Vector<T>::all(T(4)) * p.x;
    return dy * (p.e * (fma(four_x, (p.e + Vector<T>::all(T(1))) / p.d, p.e + Vector<T>::all(T(2))) / p.d));
  }

 private:
  /// Of a bounded x: below, e is 0, and above, n / (n + 2) is 1 to the last bit.
  template <class T>
  struct Parts {
    explicit Parts(Vector<T> whole)
        : x(clamp(whole, Vector<T>::all(Constants<T>::exp_min), Vector<T>::all(2 * Constants<T>::tanh_max))),
          e(exp(x)),
          n(e * (e + Vector<T>::all(T(2)))),
          d(n + Vector<T>::all(T(2))) {}
    Vector<T> x, e, n, d;
  };
};

/// y_j = e^(x_j - m) / sum_k e^(x_k - m), m = max x, over the features of a row
struct Softmax {
  template <class T>
  static void value(const T* x, T* y, Index n) {
    const auto shift = Vector<T>::all(row_max(x, n));
    const T sum = row_sum<T>(n, [&](Index j, Index rest) {
      const auto e = exp(Vector<T>::load(x + j, rest) - shift);
      e.store(y + j, rest);
      return e;
    });
    for_each_vector<T>(n, [&](Index j, auto load, auto store) { store(y + j, load(y + j) / Vector<T>::all(sum)); });
  }
  // dx_j = y_j (dy_j - sum_k dy_k y_k)
  template <class T>
  static void delta(const T*, const T* y, const T* dy, T* dx, Index n) {
    const T sum = row_sum<T>(
        n, [&](Index j, Index rest) { return Vector<T>::load(dy + j, rest) * Vector<T>::load(y + j, rest); });
    for_each_vector<T>(
        n, [&](Index j, auto load, auto store) { store(dx + j, load(y + j) * (load(dy + j) - Vector<T>::all(sum))); });
  }
};

/// y_j = x_j - m - log sum_k e^(x_k - m), m = max x, over the features of a row
struct LogSoftmax {
  template <class T>
  static void value(const T* x, T* y, Index n) {
    const auto shift = Vector<T>::all(row_max(x, n));
    const T sum = row_sum<T>(n, [&](Index j, Index rest) { return exp(Vector<T>::load(x + j, rest) - shift); });
    const auto log_sum = log(Vector<T>::all(sum));
    for_each_vector<T>(n, [&](Index j, auto load, auto store) { store(y + j, (load(x + j) - shift) - log_sum); });
  }
  // dx_j = dy_j - e^(y_j) sum_k dy_k
  template <class T>
  static void delta(const T*, const T* y, const T* dy, T* dx, Index n) {
    const T sum = row_sum<T>(n, [&](Index j, Index rest) { return Vector<T>::load(dy + j, rest); });
    for_each_vector<T>(n, [&](Index j, auto load, auto store) {
      store(dx + j, load(dy + j) - exp(load(y + j)) * Vector<T>::all(sum));
    });
  }
};

/// A formula of each element. The call is taken apart before the loop: what a store may have changed is read again.
template <class F, class T>
Activation<T> elementwise(const char* name, OptionList options = {}) {
  static constexpr auto in_lanes = [](const T* numbers) {
    return std::array{Vector<T>::all(numbers[0]), Vector<T>::all(numbers[1]), Vector<T>::all(numbers[2])};
  };
  static_assert(OptionList::kMax == 3);
  return {.name = name,
          .options = options,
          .from_output =
              [](const double* numbers) {
                if constexpr (requires { F::from_output(numbers); }) return F::from_output(numbers);
                return false;
              },
          .forward =
              [](const ActivationForward<T>& call) {
                const auto [rows, cols, x, y, numbers] = call;
                const auto o = in_lanes(numbers);
                for_each_vector<T>(rows * cols, [&, x, y](Index i, auto load, auto store) {
                  store(y + i, F::value(load(x + i), o.data()));
                });
              },
          .backward =
              [](const ActivationBackward<T>& call) {
                const auto [rows, cols, x, y, dy, dx, numbers] = call;
                const auto o = in_lanes(numbers);
                for_each_vector<T>(rows * cols, [&, x, y, dy, dx](Index i, auto load, auto store) {
                  store(dx + i, F::delta(load(x + i), load(y + i), load(dy + i), o.data()));
                });
              }};
}

/// A formula of each row.
template <class F, class T>
Activation<T> rowwise(const char* name) {
  return {.name = name,
          .options = {},
          .from_output = [](const double*) { return false; },
          .forward =
              [](const ActivationForward<T>& c) {
                // No turn for a row without features, which has no largest one.
                for (Index i = 0; i < c.rows * c.cols; i += c.cols) F::value(c.x + i, c.y + i, c.cols);
              },
          .backward =
              [](const ActivationBackward<T>& c) {
                for (Index i = 0; i < c.rows * c.cols; i += c.cols) {
                  F::delta(c.x + i, c.y + i, c.dy + i, c.dx + i, c.cols);
                }
              }};
}

/// Every activation of the library, by its name: a line here makes it known to all the rest.
template <class T>
const auto& activations() {
  static const std::array list{
      elementwise<Identity, T>("Identity"),
      elementwise<Sigmoid, T>("Sigmoid"),
      elementwise<LogSigmoid, T>("LogSigmoid"),
      elementwise<Hardsigmoid, T>("Hardsigmoid"),
      elementwise<Tanh, T>("Tanh"),
      elementwise<Tanhshrink, T>("Tanhshrink"),
      elementwise<Hardtanh, T>("Hardtanh", {{"min_val", -1}, {"max_val", 1}}),
      elementwise<Softsign, T>("Softsign"),
      elementwise<Softplus, T>("Softplus", {{"beta", 1, &domains::above_zero}, {"threshold", 20}}),
      elementwise<ReLU, T>("ReLU"),
      elementwise<ReLU6, T>("ReLU6"),
      elementwise<LeakyReLU, T>("LeakyReLU", {{"negative_slope", 0.01}}),
      elementwise<ELU, T>("ELU", {{"alpha", 1}}),
      elementwise<CELU, T>("CELU", {{"alpha", 1, &domains::not_zero}}),
      elementwise<SELU, T>("SELU"),
      elementwise<GELU, T>("GELU"),
      elementwise<GELUTanh, T>("GELUTanh"),
      elementwise<SiLU, T>("SiLU"),
      elementwise<Mish, T>("Mish"),
      elementwise<Hardswish, T>("Hardswish"),
      rowwise<Softmax, T>("Softmax"),
      rowwise<LogSoftmax, T>("LogSoftmax"),
  };
  return list;
}

}  // namespace deltaprop::kernels
