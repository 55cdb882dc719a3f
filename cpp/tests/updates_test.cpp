#include <doctest/doctest.h>

#include "chains.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

// The length and offset of a run are the executor's choice: the numbers must not show it.
constexpr Index kLengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 40};

template <class T>
kernels::Adam<T> adam_step(Index n, const Guarded<T>& p, const Guarded<T>& g, const Guarded<T>& m,
                           const Guarded<T>& v) {
  return {.n = n,
          .values = p.data(),
          .gradients = g.data(),
          .first_moment = m.data(),
          .second_moment = v.data(),
          .beta1 = T(0.9),
          .one_minus_beta1 = T(0.1),
          .beta2 = T(0.999),
          .one_minus_beta2 = T(0.001),
          .epsilon = T(1e-8),
          .weight_decay = T(0),
          .step_size = T(0.01),
          .inverse_root_correction = T(1.5)};
}

template <class T>
std::vector<T> positive(Index n, std::uint64_t seed) {
  auto v = numbers<T>(n, seed);
  for (T& x : v) x = x * x;
  return v;
}

}  // namespace

TEST_CASE_TEMPLATE("sgd is its formula to the bit", T, float, double) {
  for (const bool momentum : {false, true}) {
    for (const bool nesterov : {false, true}) {
      for (const bool first : {false, true}) {
        for (const T decay : {T(0), T(0.01)}) {
          for (const Index n : kLengths) {
            const auto p0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2), b0 = numbers<T>(n, 3);
            const Guarded<T> p(p0), g(g0), b(b0);
            const T lr = T(0.1), mu = T(0.9), damp = nesterov ? T(0) : T(0.3);
            kernels::get<T>().sgd({.n = n,
                                   .values = p.data(),
                                   .gradients = g.data(),
                                   .momentum_buffer = momentum ? b.data() : nullptr,
                                   .lr = lr,
                                   .momentum = mu,
                                   .one_minus_dampening = T(1) - damp,
                                   .weight_decay = decay,
                                   .nesterov = nesterov,
                                   .first_step = first});
            for (Index i = 0; i < n; ++i) {
              T d = g0[at(i)], buffer = b0[at(i)];
              if (decay != 0) d = fused(decay, p0[at(i)], d);
              if (momentum) {
                buffer = first ? d : fused(mu, buffer, (1 - damp) * d);
                d = nesterov ? fused(mu, buffer, d) : buffer;
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
}

TEST_CASE_TEMPLATE("adam is its formula to the bit", T, float, double) {
  for (const T decay : {T(0), T(0.01)}) {
    for (const Index n : kLengths) {
      const auto p0 = numbers<T>(n, 1), g0 = numbers<T>(n, 2), m0 = numbers<T>(n, 3), v0 = positive<T>(n, 4);
      const Guarded<T> p(p0), g(g0), m(m0), v(v0);
      auto s = adam_step(n, p, g, m, v);
      s.weight_decay = decay;
      kernels::get<T>().adam(s);
      for (Index i = 0; i < n; ++i) {
        const T d = decay != 0 ? fused(decay, p0[at(i)], g0[at(i)]) : g0[at(i)];
        const T m1 = fused(s.beta1, m0[at(i)], s.one_minus_beta1 * d);
        const T v1 = fused(s.beta2, v0[at(i)], s.one_minus_beta2 * d * d);
        REQUIRE(same_bits(m[i], m1));
        REQUIRE(same_bits(v[i], v1));
        const T root = fused(std::sqrt(v1), s.inverse_root_correction, s.epsilon);
        REQUIRE(same_bits(p[i], p0[at(i)] - s.step_size * (m1 / root)));
      }
      REQUIRE((p.intact() && g.intact() && m.intact() && v.intact()));
    }
  }
}

// An approximate reciprocal root differs from one maker of CPUs to the next, and fails at both ends of the range.
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
  auto s = adam_step(n, p, g, m, v);
  s.beta1 = s.beta2 = 1;
  s.epsilon = 0;
  s.step_size = -1;
  s.inverse_root_correction = 1;
  kernels::get<T>().adam(s);
  Index wrong = 0;
  T first = -1;
  for (Index i = n; i-- > 0;) {
    if (!same_bits(p[i], 1 / std::sqrt(v0[at(i)]))) ++wrong, first = v0[at(i)];
  }
  CAPTURE(first);
  CHECK(wrong == 0);
}
