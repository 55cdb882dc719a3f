#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "deltaprop/kernels/table.hpp"
#include "vector.hpp"

/// Update rules over any run of a flat buffer. A formula takes parameters p, gradients g, the states s, which it
/// changes, and the coefficients c of the step; it gives the new parameters. The driver below does the rest.
namespace deltaprop::kernels {

template <class T, std::size_t N>
using Vectors = std::array<Vector<T>, N>;

/// The larger; b where one is NaN.
template <class T>
Vector<T> larger(Vector<T> a, Vector<T> b) {
  return select(b < a, a, b);
}

template <class T>
Vector<T> sgd(Vector<T> p, Vector<T> g, Vectors<T, 0>&, const Vectors<T, 1>& c) {
  const auto& [lr] = c;
  return fma(-lr, g, p);
}

/// Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), in PyTorch's form:
/// b <- momentum b + (1 - dampening) g, the first b being g itself.
template <class T>
Vector<T> momentum(Vector<T> p, Vector<T> g, Vectors<T, 1>& s, const Vectors<T, 3>& c) {
  auto& [b] = s;
  const auto& [lr, kept, fresh] = c;
  b = fma(kept, b, fresh * g);
  return fma(-lr, b, p);
}
template <class T>
Vector<T> nesterov(Vector<T> p, Vector<T> g, Vectors<T, 1>& s, const Vectors<T, 4>& c) {
  auto& [b] = s;
  const auto& [lr, kept, fresh, momentum] = c;
  b = fma(kept, b, fresh * g);
  return fma(-lr, fma(momentum, b, g), p);
}

/// The running means m of g and v of g^2 of Adam and its variants.
template <class T>
void moments(Vector<T> g, Vector<T>& m, Vector<T>& v, Vector<T> beta1, Vector<T> rest1, Vector<T> beta2,
             Vector<T> rest2) {
  m = fma(beta1, m, rest1 * g);
  v = fma(beta2, v, rest2 * g * g);
}

/// Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1, epsilon outside the corrected
/// root: p <- p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon).
template <class T>
Vector<T> adam(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 7>& c) {
  auto& [m, v] = s;
  const auto& [rate, beta1, rest1, beta2, rest2, correction, epsilon] = c;
  moments(g, m, v, beta1, rest1, beta2, rest2);
  return p - rate * (m / fma(sqrt(v), correction, epsilon));
}
/// Reddi et al., "On the convergence of Adam and beyond" (2018), algorithm 2: the largest v so far in v's place.
template <class T>
Vector<T> amsgrad(Vector<T> p, Vector<T> g, Vectors<T, 3>& s, const Vectors<T, 7>& c) {
  auto& [m, v, largest] = s;
  const auto& [rate, beta1, rest1, beta2, rest2, correction, epsilon] = c;
  moments(g, m, v, beta1, rest1, beta2, rest2);
  largest = larger(largest, v);
  return p - rate * (m / fma(sqrt(largest), correction, epsilon));
}
/// RAdam while the variance of its rate is not tractable; then it is Adam with rates of its own.
template <class T>
Vector<T> unrectified(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 5>& c) {
  auto& [m, v] = s;
  const auto& [rate, beta1, rest1, beta2, rest2] = c;
  moments(g, m, v, beta1, rest1, beta2, rest2);
  return fma(-rate, m, p);
}
/// Dozat, "Incorporating Nesterov momentum into Adam" (2016), algorithm 2.
template <class T>
Vector<T> nadam(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 8>& c) {
  auto& [m, v] = s;
  const auto& [rate, ahead, beta1, rest1, beta2, rest2, correction, epsilon] = c;
  moments(g, m, v, beta1, rest1, beta2, rest2);
  return p - fma(rate, g, ahead * m) / fma(sqrt(v), correction, epsilon);
}
/// Kingma and Ba (2015), algorithm 2, epsilon beside |g| as PyTorch has it: u <- max(beta2 u, |g| + epsilon).
template <class T>
Vector<T> adamax(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 5>& c) {
  auto& [m, u] = s;
  const auto& [rate, beta1, rest1, beta2, epsilon] = c;
  m = fma(beta1, m, rest1 * g);
  u = larger(beta2 * u, abs(g) + epsilon);
  return p - rate * (m / u);
}

/// Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization" (2011).
template <class T>
Vector<T> adagrad(Vector<T> p, Vector<T> g, Vectors<T, 1>& s, const Vectors<T, 2>& c) {
  auto& [sum] = s;
  const auto& [rate, epsilon] = c;
  sum = fma(g, g, sum);
  return p - rate * (g / (sqrt(sum) + epsilon));
}
/// Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1.
template <class T>
Vector<T> adadelta(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 4>& c) {
  auto& [squares, deltas] = s;
  const auto& [lr, rho, rest, epsilon] = c;
  squares = fma(rho, squares, rest * g * g);
  const auto delta = sqrt(deltas + epsilon) / sqrt(squares + epsilon) * g;
  deltas = fma(rho, deltas, rest * delta * delta);
  return fma(-lr, delta, p);
}

/// Hinton, "Neural networks for machine learning", lecture 6e (2012); centered: Graves, "Generating sequences with
/// recurrent neural networks" (2013), equations 38 to 41.
template <class T>
Vector<T> rmsprop_mean(Vector<T> g, Vector<T>& squares, Vector<T> alpha, Vector<T> rest) {
  squares = fma(alpha, squares, rest * g * g);
  return squares;
}
/// Less the square of the mean of g. Rounding may put that below 0, whose root is none.
template <class T>
Vector<T> rmsprop_variance(Vector<T> g, Vector<T>& squares, Vector<T>& mean, Vector<T> alpha, Vector<T> rest) {
  mean = fma(alpha, mean, rest * g);
  return larger(Vector<T>::zero(), fma(-mean, mean, rmsprop_mean(g, squares, alpha, rest)));
}
template <class T>
Vector<T> rmsprop(Vector<T> p, Vector<T> g, Vectors<T, 1>& s, const Vectors<T, 4>& c) {
  const auto& [lr, alpha, rest, epsilon] = c;
  return p - lr * (g / (sqrt(rmsprop_mean(g, s[0], alpha, rest)) + epsilon));
}
template <class T>
Vector<T> rmsprop_momentum(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 5>& c) {
  auto& [squares, b] = s;
  const auto& [lr, alpha, rest, epsilon, momentum] = c;
  b = fma(momentum, b, g / (sqrt(rmsprop_mean(g, squares, alpha, rest)) + epsilon));
  return fma(-lr, b, p);
}
template <class T>
Vector<T> rmsprop_centered(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 4>& c) {
  const auto& [lr, alpha, rest, epsilon] = c;
  return p - lr * (g / (sqrt(rmsprop_variance(g, s[0], s[1], alpha, rest)) + epsilon));
}
template <class T>
Vector<T> rmsprop_centered_momentum(Vector<T> p, Vector<T> g, Vectors<T, 3>& s, const Vectors<T, 5>& c) {
  auto& [squares, mean, b] = s;
  const auto& [lr, alpha, rest, epsilon, momentum] = c;
  b = fma(momentum, b, g / (sqrt(rmsprop_variance(g, squares, mean, alpha, rest)) + epsilon));
  return fma(-lr, b, p);
}

/// Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm" (1993):
/// where the gradient's sign has turned, a smaller step and none now.
template <class T>
Vector<T> rprop(Vector<T> p, Vector<T> g, Vectors<T, 2>& s, const Vectors<T, 4>& c) {
  auto& [previous, size] = s;
  const auto& [shrinking, growing, least, most] = c;
  const auto zero = Vector<T>::zero(), agreement = g * previous;
  size = size * select(zero < agreement, growing, select(agreement < zero, shrinking, Vector<T>::all(T(1))));
  size = min(max(size, least), most);
  previous = select(agreement < zero, zero, g);
  return fma(-sign(previous), size, p);
}

/// Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992): s is the average.
template <class T>
Vector<T> asgd(Vector<T> p, Vector<T> g, Vectors<T, 1>& s, const Vectors<T, 3>& c) {
  const auto& [eta, mu, kept] = c;
  p = fma(-eta, g, p);
  s[0] = fma(mu, p, kept * s[0]);
  return p;
}

/// Chen et al., "Symbolic discovery of optimization algorithms" (2023), algorithm 2.
template <class T>
Vector<T> lion(Vector<T> p, Vector<T> g, Vectors<T, 1>& s, const Vectors<T, 5>& c) {
  auto& [m] = s;
  const auto& [lr, beta1, rest1, beta2, rest2] = c;
  const auto direction = sign(fma(beta1, m, rest1 * g));
  m = fma(beta2, m, rest2 * g);
  return fma(-lr, direction, p);
}

/// 0 where a is subnormal. The mean of gradients that have become 0 decays into subnormal numbers, on which the CPU is
/// many times slower.
template <class T>
Vector<T> without_tiny(Vector<T> a) {
  return select(abs(a) < Vector<T>::all(std::numeric_limits<T>::min()), Vector<T>::zero(), a);
}

/// The terms, as vectors.
template <class T>
struct BroadcastTerms {
  explicit BroadcastTerms(const UpdateTerms<T>& t)
      : sign(Vector<T>::all(t.sign)),
        l2(Vector<T>::all(t.l2)),
        l1(Vector<T>::all(t.l1)),
        scale(Vector<T>::all(t.scale)),
        bound(Vector<T>::all(t.bound)),
        decay(Vector<T>::all(t.decay)),
        shrink(Vector<T>::all(t.shrink)),
        floor(Vector<T>::all(t.floor)) {}
  Vector<T> sign, l2, l1, scale, bound, decay, shrink, floor;

  /// scale (sign g + l2 p + l1 sign(p))
  Vector<T> penalised(Vector<T> p, Vector<T> g) const { return scale * (fma(l2, p, sign * g) + l1 * kernels::sign(p)); }
  Vector<T> clamped(Vector<T> g) const { return select(bound < g, bound, select(g < -bound, -bound, g)); }
};

template <Preprocessing preprocessing, class T, std::size_t S, std::size_t C, class F>
[[gnu::always_inline]] inline void run_update(const Update<T>& u,
                                              Vector<T> (*)(Vector<T>, Vector<T>, Vectors<T, S>&, const Vectors<T, C>&),
                                              F formula) {
  static_assert(S <= kMaxStates && C <= kMaxCoefficients);
  const BroadcastTerms<T> t(*u.terms);
  Vectors<T, C> c;
  for (std::size_t k = 0; k < C; ++k) c[k] = Vector<T>::all(u.terms->coefficients[k]);
  for_each_vector<T>(u.n, [&](Index i, auto load, auto store) {
    Vectors<T, S> s;
    unroll<S>([&](Index k) INLINED { s[k] = load(u.states[k] + i); });
    auto p = load(u.values + i), g = load(u.gradients + i);
    if constexpr (preprocessing == Preprocessing::everything) g = t.clamped(t.penalised(p, g));
    if constexpr (preprocessing != Preprocessing::nothing) {
      g = fma(t.decay, p, g);
      p = t.shrink * p;
    }
    p = formula(p, g, s, c);
    if constexpr (preprocessing == Preprocessing::everything) p = select(p < t.floor, t.floor, p);
    unroll<S>([&](Index k) INLINED { store(u.states[k] + i, without_tiny(s[k])); });
    store(u.values + i, p);
  });
}

/// The one driver of all formulas.
template <class T, auto formula>
[[gnu::flatten]] void update(const Update<T>& u) {
  const auto call = [](auto&&... args) { return formula(args...); };
  switch (u.terms->preprocessing) {
    case Preprocessing::nothing: return run_update<Preprocessing::nothing>(u, formula, call);
    case Preprocessing::decay: return run_update<Preprocessing::decay>(u, formula, call);
    case Preprocessing::everything: return run_update<Preprocessing::everything>(u, formula, call);
  }
}

/// Every formula, by the name that rules.cpp knows: a line here makes it known to all the rest.
template <class T>
const auto& updates() {
  static constexpr auto list = std::to_array<UpdateFormula<T>>({
      {"sgd", update<T, sgd<T>>},
      {"momentum", update<T, momentum<T>>},
      {"nesterov", update<T, nesterov<T>>},
      {"adam", update<T, adam<T>>},
      {"amsgrad", update<T, amsgrad<T>>},
      {"unrectified", update<T, unrectified<T>>},
      {"nadam", update<T, nadam<T>>},
      {"adamax", update<T, adamax<T>>},
      {"adagrad", update<T, adagrad<T>>},
      {"adadelta", update<T, adadelta<T>>},
      {"rmsprop", update<T, rmsprop<T>>},
      {"rmsprop_momentum", update<T, rmsprop_momentum<T>>},
      {"rmsprop_centered", update<T, rmsprop_centered<T>>},
      {"rmsprop_centered_momentum", update<T, rmsprop_centered_momentum<T>>},
      {"rprop", update<T, rprop<T>>},
      {"asgd", update<T, asgd<T>>},
      {"lion", update<T, lion<T>>},
  });
  return list;
}

/// In 16 chains, element i in chain i mod 16, then added in order.
template <class T>
double square_sum(const Update<T>& u) {
  constexpr Index chains = 16, width = Vector<T>::size;
  double sums[chains] = {};
  const BroadcastTerms<T> t(*u.terms);
  for_each_vector<T>(u.n, [&](Index i, auto load, auto) {
    alignas(64) T g[width];
    t.penalised(load(u.values + i), load(u.gradients + i)).store(g);
    for (Index lane = 0; lane < width; ++lane) {
      sums[(i + lane) % chains] += static_cast<double>(g[lane]) * static_cast<double>(g[lane]);
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <class T>
void average(const Average<T>& a) {
  const auto kept = Vector<T>::all(static_cast<T>(a.decay)), rest = Vector<T>::all(static_cast<T>(1 - a.decay));
  for_each_vector<T>(a.n, [&](Index i, auto load, auto store) {
    store(a.average + i, fma(kept, load(a.average + i), rest * load(a.values + i)));
  });
}

/// w <- w limit / (|w| + 1e-7) for each unit with |w| > limit, as torch.renorm; the norm in float64.
template <class T>
void limit_norms(const UnitNorms<T>& u) {
  constexpr Index block = 64;  // units side by side, so that a weight stored across them is read in order
  for (Index first = 0; first < u.units; first += block) {
    const Index count = std::min(block, u.units - first);
    const auto at = [&](Index unit, Index input) -> T& {
      return u.values[(first + unit) * u.unit_stride + input * u.input_stride];
    };
    double squares[block] = {};
    for (Index i = 0; i < u.inputs; ++i) {
      for (Index j = 0; j < count; ++j) squares[j] += static_cast<double>(at(j, i)) * static_cast<double>(at(j, i));
    }
    for (Index j = 0; j < count; ++j) {
      const double norm = std::sqrt(squares[j]);
      if (!(norm > u.limit)) continue;
      const T factor = static_cast<T>(u.limit / (norm + 1e-7));
      for (Index i = 0; i < u.inputs; ++i) at(j, i) *= factor;
    }
  }
}

}  // namespace deltaprop::kernels
