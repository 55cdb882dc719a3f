#include <doctest/doctest.h>

#include "chains.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

// The executor chooses length and offset of the ranges: results must not depend on them.
constexpr Index kLengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 40};

/// Terms without preprocessing.
template <class T>
kernels::UpdateTerms<T> plain(std::initializer_list<T> coefficients) {
  kernels::UpdateTerms<T> t{};
  std::copy(coefficients.begin(), coefficients.end(), t.coefficients);
  t.preprocessing = kernels::Preprocessing::nothing;
  t.sign = t.scale = t.shrink = 1;
  t.bound = std::numeric_limits<T>::infinity();
  t.floor = -t.bound;
  return t;
}

template <class T>
void run(kernels::Formula formula, const kernels::UpdateTerms<T>& terms, Index n, const Guarded<T>& p,
         const Guarded<T>& g, std::initializer_list<T*> states) {
  kernels::Update<T> u{.n = n, .values = p.data(), .gradients = g.data(), .states = {}, .terms = &terms};
  std::copy(states.begin(), states.end(), u.states);
  kernels::get<T>().updates[static_cast<int>(formula)].run(u);
}

template <class T>
kernels::UpdateTerms<T> adam_terms() {
  return plain<T>({T(0.01), T(0.9), T(0.1), T(0.999), T(0.001), T(1.5), T(1e-8)});
}

template <class T>
std::vector<T> positive(Index n, std::uint64_t seed) {
  auto v = numbers<T>(n, seed);
  for (T& x : v) x = x * x;
  return v;
}

}  // namespace

TEST_CASE_TEMPLATE("sgd equals its formula bit for bit", T, float, double) {
  using kernels::Formula;
  for (const Formula formula : {kernels::formula("sgd"), kernels::formula("momentum"), kernels::formula("nesterov")}) {
    for (const bool first : {false, true}) {
      for (const T decay : {T(0), T(0.01)}) {
        for (const Index n : kLengths) {
          const auto p0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2), b0 = numbers<T>(n, 3);
          const Guarded<T> p(p0), g(g0), b(b0);
          const T lr = T(0.1), mu = T(0.9), fresh = first ? T(1) : T(0.7);
          auto terms = plain<T>({lr, first ? T(0) : mu, fresh, mu});
          terms.decay = decay;
          terms.preprocessing = decay == 0 ? kernels::Preprocessing::nothing : kernels::Preprocessing::decay;
          run<T>(formula, terms, n, p, g, {b.data()});
          for (Index i = 0; i < n; ++i) {
            T d = g0[at(i)], buffer = b0[at(i)];
            if (decay != 0) d = fused(decay, p0[at(i)], d);
            if (formula != kernels::formula("sgd")) {
              buffer = first ? d : fused(mu, buffer, fresh * d);
              d = formula == kernels::formula("nesterov") ? fused(mu, buffer, d) : buffer;
            }
            REQUIRE(same_bits(p[i], fused(-lr, d, p0[at(i)])));
            REQUIRE(same_bits(b[i], buffer));
          }
          REQUIRE((p.intact() && b.intact() && g.intact()));
          REQUIRE(first_difference(g.values(), g0) == -1);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("adam equals its formula bit for bit", T, float, double) {
  for (const T decay : {T(0), T(0.01)}) {
    for (const Index n : kLengths) {
      const auto p0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2), m0 = numbers<T>(n, 3), v0 = positive<T>(n, 4);
      const Guarded<T> p(p0), g(g0), m(m0), v(v0);
      auto terms = adam_terms<T>();
      terms.decay = decay;
      terms.preprocessing = decay == 0 ? kernels::Preprocessing::nothing : kernels::Preprocessing::decay;
      run<T>(kernels::formula("adam"), terms, n, p, g, {m.data(), v.data()});
      const auto& [rate, beta1, rest1, beta2, rest2, correction, epsilon, none] = terms.coefficients;
      for (Index i = 0; i < n; ++i) {
        const T d = decay != 0 ? fused(decay, p0[at(i)], g0[at(i)]) : g0[at(i)];
        const T m1 = fused(beta1, m0[at(i)], rest1 * d);
        const T v1 = fused(beta2, v0[at(i)], rest2 * d * d);
        REQUIRE(same_bits(m[i], m1));
        REQUIRE(same_bits(v[i], v1));
        REQUIRE(same_bits(p[i], p0[at(i)] - rate * (m1 / fused(std::sqrt(v1), correction, epsilon))));
      }
      REQUIRE((p.intact() && g.intact() && m.intact() && v.intact()));
    }
  }
}

TEST_CASE_TEMPLATE("preprocessing equals its formula bit for bit", T, float, double) {
  for (const Index n : kLengths) {
    auto p0 = numbers<T>(n, 1);
    const auto g0 = numbers<T>(n, 2);
    if (n > 2) p0[2] = 0;
    const Guarded<T> p(p0), g(g0);
    auto t = plain<T>({T(0.1)});
    t.preprocessing = kernels::Preprocessing::everything;
    t.sign = -1;
    t.l2 = T(0.3);
    t.l1 = T(0.2);
    t.scale = T(0.7);
    t.bound = T(0.4);
    t.decay = T(0.05);
    t.shrink = T(0.99);
    t.floor = 0;
    run<T>(kernels::formula("sgd"), t, n, p, g, {});
    for (Index i = 0; i < n; ++i) {
      const T w = p0[at(i)], sign = w == 0 ? T(0) : w < 0 ? T(-1) : T(1);
      T d = t.scale * (fused(t.l2, w, t.sign * g0[at(i)]) + t.l1 * sign);
      d = std::min(std::max(d, -t.bound), t.bound);
      d = fused(t.decay, w, d);
      REQUIRE(same_bits(p[i], std::max(T(0), fused(T(-0.1), d, t.shrink * w))));
    }
    REQUIRE((p.intact() && g.intact()));
  }
}

// Results must not depend on how the executor splits ranges, and no formula may write outside its range.
TEST_CASE_TEMPLATE("the bits of an element do not depend on its position in a range", T, float, double) {
  for (int formula = 0; formula < kernels::get<T>().update_count; ++formula) {
    for (const auto common :
         {kernels::Preprocessing::nothing, kernels::Preprocessing::decay, kernels::Preprocessing::everything}) {
      CAPTURE(formula);
      auto terms = plain<T>({T(0.5), T(1.5), T(0.25), T(0.75), T(0.125), T(1), T(0.5), T(0.25)});
      terms.preprocessing = common;
      const Index n = 40;
      const auto p0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2);
      const std::vector<T> s0[] = {positive<T>(n, 3), positive<T>(n, 4), positive<T>(n, 5)};
      const Guarded<T> p(p0), g(g0), a(s0[0]), b(s0[1]), c(s0[2]);
      run<T>(static_cast<kernels::Formula>(formula), terms, n, p, g, {a.data(), b.data(), c.data()});
      for (const Index length : kLengths) {
        const Index first = n - length;
        const auto tail = [&](const std::vector<T>& v) { return std::vector<T>(v.begin() + first, v.end()); };
        const Guarded<T> q(tail(p0)), h(tail(g0)), x(tail(s0[0])), y(tail(s0[1])), z(tail(s0[2]));
        run<T>(static_cast<kernels::Formula>(formula), terms, length, q, h, {x.data(), y.data(), z.data()});
        REQUIRE(first_difference(q.values(), tail(p.values())) == -1);
        REQUIRE(first_difference(x.values(), tail(a.values())) == -1);
        REQUIRE(first_difference(y.values(), tail(b.values())) == -1);
        REQUIRE(first_difference(z.values(), tail(c.values())) == -1);
        REQUIRE((q.intact() && h.intact() && x.intact() && y.intact() && z.intact()));
      }
      REQUIRE(first_difference(p.values(), p0) != -1);
    }
  }
}

// An approximate reciprocal square root differs between CPU vendors and fails at both ends of the range.
TEST_CASE_TEMPLATE("adam's square root is correctly rounded for every second moment", T, float, double) {
  using Limits = std::numeric_limits<T>;
  std::vector<T> v0 = positive<T>(5000, 5);
  for (int e = Limits::min_exponent - Limits::digits; e < Limits::max_exponent; ++e) {
    v0.push_back(std::ldexp(T(1), e));
    v0.push_back(std::ldexp(T(1.7), e));
  }
  v0.insert(v0.end(), {Limits::max(), Limits::infinity()});
  const auto n = static_cast<Index>(v0.size());
  const Guarded<T> p(n), g(n), m(n, T(1)), v(v0);
  run<T>(kernels::formula("adam"), plain<T>({-1, 1, T(0.1), 1, T(0.001), 1, 0}), n, p, g, {m.data(), v.data()});
  Index wrong = 0;
  T first = -1;
  for (Index i = n; i-- > 0;) {
    if (!same_bits(p[i], 1 / std::sqrt(v0[at(i)]))) ++wrong, first = v0[at(i)];
  }
  CAPTURE(first);
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("moments of zero gradients decay to exactly 0", T, float, double) {
  for (const Index n : kLengths) {
    const Guarded<T> p(numbers<T>(n, 1)), g(n, T(0)), m(n, -std::numeric_limits<T>::min()), v(positive<T>(n, 4));
    run<T>(kernels::formula("adam"), adam_terms<T>(), n, p, g, {m.data(), v.data()});
    for (Index i = 0; i < n; ++i) REQUIRE(same_bits(m[i], T(0)));
  }
}
