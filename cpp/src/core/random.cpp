#include "deltaprop/core/random.hpp"

#include <cmath>
#include <numeric>
#include <utility>

#include "deltaprop/core/math.hpp"
#include "deltaprop/core/philox.hpp"

namespace deltaprop {
namespace {

/// The high 64 bits of a * n: for uniform 64-bit `a`, a uniform integer below n with bias below n / 2^64.
std::uint64_t below(std::uint64_t a, std::uint64_t n) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(a) * n) >> 64);
}

template <std::size_t N>
double polynomial(const std::array<double, N>& c, double x) {
  double sum = c[N - 1];
  for (std::size_t i = N - 1; i-- > 0;) sum = sum * x + c[i];
  return sum;
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) {
  PhiloxWords<1> words{{{c[0]}, {c[1]}, {c[2]}, {c[3]}}};
  philox_rounds(words, k);
  return {words[0][0], words[1][0], words[2][0], words[3][0]};
}

Random::Random(std::uint64_t seed, Purpose purpose, std::uint32_t step, std::uint32_t layer) {
  // One more Philox call hashes purpose, step and layer into the key, so the whole counter is free for the element.
  const auto mixed = philox({static_cast<std::uint32_t>(purpose), step, layer, 0x64656c74u},
                            {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  key_ = {mixed[0], mixed[1]};
  stream_ = mixed[2];
}

std::uint64_t Random::bits(std::uint64_t element) const {
  const auto block =
      philox({static_cast<std::uint32_t>(element), static_cast<std::uint32_t>(element >> 32), stream_, 0}, key_);
  return (std::uint64_t{block[1]} << 32) | block[0];
}

double Random::uniform(std::uint64_t element) const { return static_cast<double>(bits(element) >> 11) * 0x1p-53; }

double Random::open_uniform(std::uint64_t element) const {
  return (static_cast<double>(bits(element) >> 12) + 0.5) * 0x1p-52;
}

double Random::normal(std::uint64_t element) const { return normal_quantile(open_uniform(element)); }

double normal_quantile(double p) {
  const double q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    const double r = 0.180625 - q * q;
    return q *
           polynomial<8>(
               {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
                4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3},
               r) /
           polynomial<8>(
               {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
                3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3},
               r);
  }
  double r = std::sqrt(-portable_log(q < 0 ? p : 1 - p));
  double x = 0;
  if (r <= 5) {
    r -= 1.6;
    x = polynomial<8>(
            {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
             1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4},
            r) /
        polynomial<8>({1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                       1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                       1.05075007164441684324e-9},
                      r);
  } else {
    r -= 5;
    x = polynomial<8>({6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
                       2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                       2.71155556874348757815e-5, 2.01033439929228813265e-7},
                      r) /
        polynomial<8>({1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
                       7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
                       2.04426310338993978564e-15},
                      r);
  }
  return q < 0 ? -x : x;
}

double normal_cdf(double x) {
  if (x > 1) return 1 - normal_cdf(-x);
  const double density = 0.3989422804014327 * portable_exp(-0.5 * x * x);
  if (x < -1) {
    // Abramowitz and Stegun, "Handbook of mathematical functions" (1964), 26.2.14: a continued fraction
    double fraction = -x;
    for (int k = 300; k >= 1; --k) fraction = k / fraction - x;
    return density / fraction;
  }
  // 26.2.11: a series
  double term = x, sum = x;
  for (int k = 3; k <= 33; k += 2) sum += term *= x * x / k;
  return 0.5 + density * sum;
}

void permutation(const Random& random, std::vector<Index>& order, const InterruptCheck& check_interrupt) {
  std::iota(order.begin(), order.end(), Index{0});
  for (std::size_t i = order.size(); i-- > 1;) {
    if (i % (1 << 16) == 0) check_interrupt();
    std::swap(order[i], order[below(random.bits(i), i + 1)]);
  }
}

}  // namespace deltaprop
