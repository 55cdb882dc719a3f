#include <algorithm>
#include <cmath>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"
#include "deltaprop/optim/rule.hpp"

namespace deltaprop::optim {
namespace {

/// base^n by squaring: std::pow differs from one C library to the next.
double power(double base, std::int64_t n) {
  double result = 1;
  for (; n > 0; n /= 2, base *= base) {
    if (n % 2 == 1) result *= base;
  }
  return result;
}

/// Gives Derived, which writes its update once as a template, both precisions, and the checks of ranges.
template <class Derived>
class BothPrecisions : public Rule {
 public:
  void update(const Update<float>& u) const final { self().run(u); }
  void update(const Update<double>& u) const final { self().run(u); }

 protected:
  void at_least_zero(const Options& o, int i) const {
    const auto k = static_cast<std::size_t>(i);
    if (!(o[k] >= 0) || !std::isfinite(o[k])) {
      throw ValueError(std::string(name()) + ": expected " + options()[k] + " >= 0, got " + number_text(o[k]));
    }
  }
  void below_one(const Options& o, int i) const {
    const auto k = static_cast<std::size_t>(i);
    if (!(o[k] >= 0 && o[k] < 1)) {
      throw ValueError(std::string(name()) + ": expected 0 <= " + options()[k] + " < 1, got " + number_text(o[k]));
    }
  }

 private:
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

class Sgd final : public BothPrecisions<Sgd> {
 public:
  enum { lr, momentum, dampening, weight_decay, nesterov };

  const char* name() const override { return "SGD"; }
  const std::vector<std::string>& options() const override {
    static const std::vector<std::string> names{"lr", "momentum", "dampening", "weight_decay", "nesterov"};
    return names;
  }
  void check(const Options& o) const override {
    at_least_zero(o, lr);
    at_least_zero(o, momentum);
    at_least_zero(o, weight_decay);
    if (!std::isfinite(o[dampening]))
      throw ValueError("SGD: expected a finite dampening, got " + number_text(o[dampening]));
    if (o[nesterov] != 0 && (o[momentum] <= 0 || o[dampening] != 0)) {
      throw ValueError("SGD: nesterov expected momentum > 0 and dampening = 0, got momentum = " +
                       number_text(o[momentum]) + " and dampening = " + number_text(o[dampening]));
    }
  }
  int states(const Options& o) const override { return o[momentum] != 0 ? 1 : 0; }

  template <class T>
  void run(const Update<T>& u) const {
    const Options& o = u.options;
    kernels::get<T>().sgd({.n = u.n,
                           .values = u.values,
                           .gradients = u.gradients,
                           .momentum_buffer = o[momentum] != 0 ? u.states[0] : nullptr,
                           .lr = static_cast<T>(o[lr]),
                           .momentum = static_cast<T>(o[momentum]),
                           .one_minus_dampening = static_cast<T>(1 - o[dampening]),
                           .weight_decay = static_cast<T>(o[weight_decay]),
                           .nesterov = o[nesterov] != 0,
                           .first_step = u.first_step});
  }
};

class Adam final : public BothPrecisions<Adam> {
 public:
  enum { lr, beta1, beta2, eps, weight_decay };

  const char* name() const override { return "Adam"; }
  const std::vector<std::string>& options() const override {
    static const std::vector<std::string> names{"lr", "beta1", "beta2", "eps", "weight_decay"};
    return names;
  }
  void check(const Options& o) const override {
    at_least_zero(o, lr);
    below_one(o, beta1);
    below_one(o, beta2);
    at_least_zero(o, eps);
    at_least_zero(o, weight_decay);
  }
  int states(const Options&) const override { return 2; }
  Coefficients coefficients(const Options& o, std::int64_t step) const override {
    return {o[lr] / (1 - power(o[beta1], step)), 1 / std::sqrt(1 - power(o[beta2], step))};
  }

  template <class T>
  void run(const Update<T>& u) const {
    const Options& o = u.options;
    kernels::get<T>().adam({.n = u.n,
                            .values = u.values,
                            .gradients = u.gradients,
                            .first_moment = u.states[0],
                            .second_moment = u.states[1],
                            .beta1 = static_cast<T>(o[beta1]),
                            .one_minus_beta1 = static_cast<T>(1 - o[beta1]),
                            .beta2 = static_cast<T>(o[beta2]),
                            .one_minus_beta2 = static_cast<T>(1 - o[beta2]),
                            .epsilon = static_cast<T>(o[eps]),
                            .weight_decay = static_cast<T>(o[weight_decay]),
                            .step_size = static_cast<T>(u.coefficients[0]),
                            .inverse_root_correction = static_cast<T>(u.coefficients[1])});
  }
};

}  // namespace

std::unique_ptr<Rule> make_rule(const std::string& name) {
  if (name == "SGD") return std::make_unique<Sgd>();
  if (name == "Adam") return std::make_unique<Adam>();
  throw ValueError("optimizer: expected 'SGD' or 'Adam', got '" + name + "'");
}

}  // namespace deltaprop::optim
