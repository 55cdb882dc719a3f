#include "deltaprop/nn/initialise.hpp"

#include <Eigen/QR>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

/// The array to fill.
struct Target {
  const char* name;  // of the initialiser
  const Random& random;
  const std::vector<Index>& shape;
  Index n;
  double* values;

  /// values[i] = f(i)
  template <class F>
  void each(F&& f) const {
    for (Index i = 0; i < n; ++i) values[i] = f(static_cast<std::uint64_t>(i));
  }
};

using Options = std::vector<double>;

/// Uniform on [low, high): the midpoint plus a fraction of the half width, which is exact for [0, 1) and +-bound.
void fill_uniform(const Target& t, double low, double high, std::uint64_t first = 0) {
  const double half = high / 2 - low / 2, middle = high / 2 + low / 2;
  t.each([&](std::uint64_t i) {
    return std::min(std::max(middle + (2 * t.random.uniform(first + i) - 1) * half, low), high);
  });
}

void fill_normal(const Target& t, double mean, double deviation) {
  t.each([&](std::uint64_t i) { return mean + t.random.normal(i) * deviation; });
}

/// fan_in and fan_out of a shape (out, in, ...); further axes are a receptive field, which multiplies both.
struct Fans {
  double in, out;

  explicit Fans(const Target& t) {
    if (t.shape.size() < 2) {
      throw ValueError(std::string(t.name) +
                       "_: expected an array of 2 dimensions or more, (fan_out, fan_in, ...), got " +
                       shape_text(t.shape));
    }
    double field = 1;
    for (std::size_t i = 2; i < t.shape.size(); ++i) field *= static_cast<double>(t.shape[i]);
    in = static_cast<double>(t.shape[1]) * field;
    out = static_cast<double>(t.shape[0]) * field;
  }
};

void uniform(const Target& t, const Options& o) { fill_uniform(t, o[0], o[1]); }

void normal(const Target& t, const Options& o) { fill_normal(t, o[0], o[1]); }

/// Normal truncated to [a, b], by inversion of the distribution function.
void trunc_normal(const Target& t, const Options& o) {
  const double mean = o[0], deviation = o[1], a = o[2], b = o[3];
  const double low = (a - mean) / deviation, high = (b - mean) / deviation;
  // By symmetry in the lower tail: in the upper one, probabilities are close to 1 and lose digits.
  const double sign = low > 0 ? -1 : 1;
  const double first = normal_cdf(sign > 0 ? low : -high), last = normal_cdf(sign > 0 ? high : -low);
  t.each([&](std::uint64_t i) {
    const double p = first + t.random.open_uniform(i) * (last - first);
    // If the probability of [a, b] underflows to 0, all of it is at the end next to the mean.
    const double z = last > first ? normal_quantile(std::max(p, std::numeric_limits<double>::min())) : 0;
    return std::min(std::max(mean + sign * z * deviation, a), b);
  });
}

void constant(const Target& t, const Options& o) { std::fill_n(t.values, t.n, o[0]); }

void eye(const Target& t, const Options&) {
  if (t.shape.size() != 2) throw ValueError("eye_: expected an array of 2 dimensions, got " + shape_text(t.shape));
  const auto rows = static_cast<std::uint64_t>(t.shape[0]);
  t.each([&](std::uint64_t i) { return i % rows == i / rows ? 1.0 : 0.0; });
}

/// As torch.nn.Linear: draws `first`, first + 1, ... for its weight, then its bias.
void fill_standard(const Target& t, Index first) {
  const double bound = 1 / std::sqrt(Fans(t).in);
  fill_uniform(t, -bound, bound, static_cast<std::uint64_t>(first));
}

void standard(const Target& t, const Options&) { fill_standard(t, 0); }

/// Glorot and Bengio, 2010, equation 16
void xavier_uniform(const Target& t, const Options& o) {
  const Fans fans(t);
  const double bound = o[0] * std::sqrt(6 / (fans.in + fans.out));
  fill_uniform(t, -bound, bound);
}

void xavier_normal(const Target& t, const Options& o) {
  const Fans fans(t);
  fill_normal(t, 0, o[0] * std::sqrt(2 / (fans.in + fans.out)));
}

/// gain^2 / fan, the variance of He et al., "Delving deep into rectifiers", 2015, equations 10 and 14
double kaiming_variance(const Target& t, const Options& o) {
  const Fans fans(t);
  return o[0] / (o[1] == 0 ? fans.in : fans.out);
}

void kaiming_uniform(const Target& t, const Options& o) {
  const double bound = std::sqrt(3 * kaiming_variance(t, o));
  fill_uniform(t, -bound, bound);
}

void kaiming_normal(const Target& t, const Options& o) { fill_normal(t, 0, std::sqrt(kaiming_variance(t, o))); }

/// gain Q of the QR decomposition of a normal matrix, columns multiplied by the signs of R's diagonal, so that Q is
/// Haar distributed: Saxe, McClelland and Ganguli, 2014; Mezzadri, "How to generate random matrices from the classical
/// compact groups", 2007, section 5
void orthogonal(const Target& t, const Options& o) {
  const Fans needed(t);
  fill_normal(t, 0, 1);
  if (t.n == 0) return;
  using Matrix = Eigen::MatrixXd;
  const Index rows = t.shape[0], cols = t.n / rows;
  Eigen::Map<Matrix> w(t.values, rows, cols);
  const Eigen::HouseholderQR<Matrix> qr(rows < cols ? Matrix(w.transpose()) : Matrix(w));
  const Index rank = std::min(rows, cols);
  Matrix q = qr.householderQ() * Matrix::Identity(std::max(rows, cols), rank);
  for (Index j = 0; j < rank; ++j) q.col(j) *= qr.matrixQR()(j, j) < 0 ? -o[0] : o[0];
  if (rows < cols) {
    w = q.transpose();
  } else {
    w = q;
  }
}

constexpr double kNoDefault = std::numeric_limits<double>::quiet_NaN();

}  // namespace

struct InitialiserEntry {
  const char* name;
  Options defaults;
  void (*fill)(const Target&, const Options&);

  bool by_name() const {
    return std::none_of(defaults.begin(), defaults.end(), [](double v) { return std::isnan(v); });
  }
};

namespace {

const std::array<InitialiserEntry, 13>& entries() {
  static const std::array<InitialiserEntry, 13> list{{
      {"default", {}, standard},
      {"uniform", {/* a */ 0, /* b */ 1}, uniform},
      {"normal", {/* mean */ 0, /* std */ 1}, normal},
      {"trunc_normal", {/* mean */ 0, /* std */ 1, /* a */ -2, /* b */ 2}, trunc_normal},
      {"constant", {/* val */ kNoDefault}, constant},
      {"zeros", {0}, constant},
      {"ones", {1}, constant},
      {"eye", {}, eye},
      {"xavier_uniform", {/* gain */ 1}, xavier_uniform},
      {"xavier_normal", {/* gain */ 1}, xavier_normal},
      {"kaiming_uniform", {/* gain^2 */ 2, /* 0 for fan_in, 1 for fan_out */ 0}, kaiming_uniform},
      {"kaiming_normal", {/* gain^2 */ 2, /* 0 for fan_in, 1 for fan_out */ 0}, kaiming_normal},
      {"orthogonal", {/* gain */ 1}, orthogonal},
  }};
  return list;
}

/// Keras's names.
constexpr std::array<std::pair<const char*, const char*>, 4> kAliases{{
    {"he_uniform", "kaiming_uniform"},
    {"he_normal", "kaiming_normal"},
    {"glorot_uniform", "xavier_uniform"},
    {"glorot_normal", "xavier_normal"},
}};

const InitialiserEntry* find(const std::string& name) {
  const auto same = [&](const InitialiserEntry& entry) { return name == entry.name; };
  const auto found = std::find_if(entries().begin(), entries().end(), same);
  return found == entries().end() ? nullptr : &*found;
}

const InitialiserEntry* find_by_name(const std::string& name) {
  std::string known;
  const auto is = [&](const char* text) {
    known += (known.empty() ? "'" : ", '") + std::string(text) + "'";
    return name == text;
  };
  for (const InitialiserEntry& entry : entries()) {
    if (entry.by_name() && is(entry.name)) return &entry;
  }
  for (const auto& [alias, entry] : kAliases) {
    if (is(alias)) return find(entry);
  }
  throw ValueError("init: expected one of " + known + ", got '" + name + "'");
}

}  // namespace

Initialiser::Initialiser(const std::string& name) : entry_(find_by_name(name)), options_(entry_->defaults) {}

Initialiser::Initialiser(const std::string& name, std::vector<double> options)
    : entry_(find(name)), options_(std::move(options)) {
  if (entry_ == nullptr || options_.size() != entry_->defaults.size()) {
    throw ValueError("init: expected an initialiser and its options, got '" + name + "' and " +
                     std::to_string(options_.size()) + " numbers");
  }
}

void Initialiser::fill(const Random& random, const std::vector<Index>& shape, double* values) const {
  entry_->fill({entry_->name, random, shape, element_count(shape), values}, options_);
}

void Initialiser::fill_linear(const Random& random, Index fan_in, Index fan_out, double* weight, double* bias) const {
  const std::vector<Index> shape{fan_out, fan_in};
  fill(random, shape, weight);
  if (bias == nullptr) return;
  std::fill_n(bias, fan_out, 0.0);
  if (entry_->fill == standard) fill_standard({entry_->name, random, shape, fan_out, bias}, fan_in * fan_out);
}

}  // namespace deltaprop::nn
