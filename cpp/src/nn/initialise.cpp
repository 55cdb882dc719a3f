#include "deltaprop/nn/initialise.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

constexpr std::array<std::pair<const char*, Initialiser>, 9> kNames{{
    {"default", Initialiser::standard},
    {"kaiming_uniform", Initialiser::kaiming_uniform},
    {"kaiming_normal", Initialiser::kaiming_normal},
    {"xavier_uniform", Initialiser::xavier_uniform},
    {"xavier_normal", Initialiser::xavier_normal},
    {"he_uniform", Initialiser::kaiming_uniform},
    {"he_normal", Initialiser::kaiming_normal},
    {"glorot_uniform", Initialiser::xavier_uniform},
    {"glorot_normal", Initialiser::xavier_normal},
}};

void uniform(const Random& random, double bound, Index first, Index n, double* out) {
  for (Index i = 0; i < n; ++i) out[i] = (2 * random.uniform(static_cast<std::uint64_t>(first + i)) - 1) * bound;
}

void normal(const Random& random, double deviation, Index n, double* out) {
  for (Index i = 0; i < n; ++i) out[i] = random.normal(static_cast<std::uint64_t>(i)) * deviation;
}

}  // namespace

Initialiser initialiser(const std::string& name) {
  std::string known;
  for (const auto& [text, value] : kNames) {
    if (name == text) return value;
    known += (known.empty() ? "'" : ", '") + std::string(text) + "'";
  }
  throw ValueError("init: expected one of " + known + ", got '" + name + "'");
}

void initialise(Initialiser how, const Random& random, Index fan_in, Index fan_out, double* weight, double* bias) {
  const Index n = fan_in * fan_out;
  const auto in = static_cast<double>(fan_in);
  const auto both = static_cast<double>(fan_in + fan_out);
  std::fill_n(bias, fan_out, 0.0);
  switch (how) {
    case Initialiser::standard:
      uniform(random, 1 / std::sqrt(in), 0, n, weight);
      return uniform(random, 1 / std::sqrt(in), n, fan_out, bias);
    case Initialiser::kaiming_uniform: return uniform(random, std::sqrt(6 / in), 0, n, weight);
    case Initialiser::kaiming_normal: return normal(random, std::sqrt(2 / in), n, weight);
    case Initialiser::xavier_uniform: return uniform(random, std::sqrt(6 / both), 0, n, weight);
    case Initialiser::xavier_normal: return normal(random, std::sqrt(2 / both), n, weight);
  }
}

}  // namespace deltaprop::nn
