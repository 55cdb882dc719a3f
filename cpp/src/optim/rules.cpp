#include <algorithm>
#include <cmath>
#include <limits>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/math.hpp"
#include "deltaprop/optim/rule.hpp"

namespace deltaprop::optim {
namespace {

using kernels::Formula;
using kernels::formula;

/// base^n by squaring: std::pow differs from one C library to the next.
double power(double base, std::int64_t n) {
  double result = 1;
  for (; n > 0; n /= 2, base *= base) result *= n % 2 == 1 ? base : 1;  // no branch that cannot be foreseen
  return result;
}

using domains::at_least_zero;

Option flag(const char* name, bool fallback = false) {
  return {name, fallback ? 1.0 : 0.0, &domains::flag, OptionKind::flag};
}
const Option first_beta{"beta1", 0.9, &domains::below_one, OptionKind::number, "betas"};
const Option second_beta{"beta2", 0.999, &domains::below_one, OptionKind::number, "betas"};

/// A rule's own options and then those of all.
std::vector<Option> with_common(std::vector<Option> own) {
  own.insert(own.end(),
             {flag("maximize"),
              {"l1", 0, &at_least_zero},
              {"l2", 0, &at_least_zero},
              {"max_norm", std::numeric_limits<double>::infinity(), &domains::above_zero_or_none, OptionKind::optional},
              flag("nonnegative")});
  return own;
}

bool always(const Options&) { return true; }
double zero(const Options&) { return 0; }

StepPlan with_decay(StepPlan plan, double weight_decay, bool decoupled, double lr) {
  if (decoupled) {
    plan.shrink = 1 - lr * weight_decay;
  } else {
    plan.decay = weight_decay;
  }
  return plan;
}

// Each rule: the order of its options, its table of states, and the coefficients in the order of its formula.

namespace sgd {
enum { lr, momentum, dampening, weight_decay, nesterov };
const std::vector<Option> options = with_common({{"lr", 1e-3, &at_least_zero},
                                                 {"momentum", 0, &at_least_zero},
                                                 {"dampening", 0, &domains::finite},
                                                 {"weight_decay", 0, &at_least_zero},
                                                 flag("nesterov")});
bool has_momentum(const Options& o) { return o[momentum] != 0; }
void check(const Options& o) {
  if (o[nesterov] != 0 && (o[momentum] <= 0 || o[dampening] != 0)) {
    throw ValueError("SGD: nesterov expected momentum > 0 and dampening = 0, got momentum = " +
                     number_text(o[momentum]) + " and dampening = " + number_text(o[dampening]));
  }
}
StepPlan plan(const Options& o, StepState& t) {
  const bool first = t.step == 1;  // the buffer takes the gradient itself
  static const Formula plain = formula("sgd"), heavy_ball = formula("momentum"), ahead = formula("nesterov");
  return {.formula = !has_momentum(o)     ? plain
                     : o[nesterov] == 0.0 ? heavy_ball
                                          : ahead,
          .coefficients = {o[lr], first ? 0 : o[momentum], first ? 1 : 1 - o[dampening], o[momentum]},
          .decay = o[weight_decay]};
}
}  // namespace sgd

namespace adam {
enum { lr, beta1, beta2, eps, weight_decay, amsgrad, decoupled };
const std::vector<Option> options = with_common({{"lr", 1e-3, &at_least_zero},
                                                 first_beta,
                                                 second_beta,
                                                 {"eps", 1e-8, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero},
                                                 flag("amsgrad"),
                                                 flag("decoupled_weight_decay")});
/// AdamW's.
const std::vector<Option> decoupled_options = with_common({{"lr", 1e-3, &at_least_zero},
                                                           first_beta,
                                                           second_beta,
                                                           {"eps", 1e-8, &at_least_zero},
                                                           {"weight_decay", 1e-2, &at_least_zero},
                                                           flag("amsgrad"),
                                                           flag("decoupled_weight_decay", true)});
const std::vector<State> states{{"exp_avg", always, zero},
                                {"exp_avg_sq", always, zero},
                                {"max_exp_avg_sq", [](const Options& o) { return o[amsgrad] != 0; }, zero}};
StepPlan plan(const Options& o, StepState& t) {
  static const Formula plain = formula("adam"), with_largest = formula("amsgrad");
  const double rate = o[lr] / (1 - power(o[beta1], t.step));
  const double correction = 1 / std::sqrt(1 - power(o[beta2], t.step));
  return with_decay({.formula = o[amsgrad] != 0 ? with_largest : plain,
                     .coefficients = {rate, o[beta1], 1 - o[beta1], o[beta2], 1 - o[beta2], correction, o[eps]}},
                    o[weight_decay], o[decoupled] != 0, o[lr]);
}
}  // namespace adam

const std::vector<State> moments{{"exp_avg", always, zero}, {"exp_avg_sq", always, zero}};

namespace nadam {
enum { lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled };
const std::vector<Option> options = with_common({{"lr", 2e-3, &at_least_zero},
                                                 first_beta,
                                                 second_beta,
                                                 {"eps", 1e-8, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero},
                                                 {"momentum_decay", 4e-3, &at_least_zero},
                                                 flag("decoupled_weight_decay")});
StepPlan plan(const Options& o, StepState& t) {
  static const Formula update = formula("nadam");
  const auto mu_at = [&](std::int64_t step) {
    return o[beta1] * (1 - 0.5 * portable_power(0.96, static_cast<double>(step) * o[momentum_decay]));
  };
  const double mu = mu_at(t.step), next = mu_at(t.step + 1);
  double& product = t.scalars[0];
  product = (t.step == 1 ? 1 : product) * mu;
  return with_decay(
      {.formula = update,
       .coefficients = {o[lr] * (1 - mu) / (1 - product), o[lr] * next / (1 - product * next), o[beta1], 1 - o[beta1],
                        o[beta2], 1 - o[beta2], 1 / std::sqrt(1 - power(o[beta2], t.step)), o[eps]}},
      o[weight_decay], o[decoupled] != 0, o[lr]);
}
}  // namespace nadam

namespace radam {
enum { lr, beta1, beta2, eps, weight_decay, decoupled };
const std::vector<Option> options = with_common({{"lr", 1e-3, &at_least_zero},
                                                 first_beta,
                                                 second_beta,
                                                 {"eps", 1e-8, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero},
                                                 flag("decoupled_weight_decay")});
/// Liu et al., "On the variance of the adaptive learning rate and beyond" (2020), algorithm 2: Adam, its rate
/// rectified, once the variance of that is tractable.
StepPlan plan(const Options& o, StepState& t) {
  static const Formula rectified = formula("adam"), unrectified = formula("unrectified");
  const double decayed = power(o[beta2], t.step), rest = 1 - decayed;
  const double limit = 2 / (1 - o[beta2]) - 1;
  const double rho = limit - 2 * static_cast<double>(t.step) * decayed / rest;
  const bool tractable = rho > 5;
  double rate = o[lr] / (1 - power(o[beta1], t.step));
  if (tractable) {
    rate *= std::sqrt(rest) * std::sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
  }
  return with_decay({.formula = tractable ? rectified : unrectified,
                     .coefficients = {rate, o[beta1], 1 - o[beta1], o[beta2], 1 - o[beta2], 1, o[eps]}},
                    o[weight_decay], o[decoupled] != 0, o[lr]);
}
}  // namespace radam

namespace adamax {
enum { lr, beta1, beta2, eps, weight_decay };
const std::vector<Option> options = with_common({{"lr", 2e-3, &at_least_zero},
                                                 first_beta,
                                                 second_beta,
                                                 {"eps", 1e-8, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero}});
const std::vector<State> states{{"exp_avg", always, zero}, {"exp_inf", always, zero}};
StepPlan plan(const Options& o, StepState& t) {
  static const Formula update = formula("adamax");
  return {.formula = update,
          .coefficients = {o[lr] / (1 - power(o[beta1], t.step)), o[beta1], 1 - o[beta1], o[beta2], o[eps]},
          .decay = o[weight_decay]};
}
}  // namespace adamax

namespace adagrad {
enum { lr, lr_decay, weight_decay, initial_accumulator_value, eps };
const std::vector<Option> options = with_common({{"lr", 1e-2, &at_least_zero},
                                                 {"lr_decay", 0, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero},
                                                 {"initial_accumulator_value", 0, &at_least_zero},
                                                 {"eps", 1e-10, &at_least_zero}});
const std::vector<State> states{{"sum", always, [](const Options& o) { return o[initial_accumulator_value]; }}};
StepPlan plan(const Options& o, StepState& t) {
  static const Formula update = formula("adagrad");
  return {.formula = update,
          .coefficients = {o[lr] / (1 + static_cast<double>(t.step - 1) * o[lr_decay]), o[eps]},
          .decay = o[weight_decay]};
}
}  // namespace adagrad

namespace adadelta {
enum { lr, rho, eps, weight_decay };
const std::vector<Option> options = with_common({{"lr", 1, &at_least_zero},
                                                 {"rho", 0.9, &domains::up_to_one},
                                                 {"eps", 1e-6, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero}});
const std::vector<State> states{{"square_avg", always, zero}, {"acc_delta", always, zero}};
StepPlan plan(const Options& o, StepState&) {
  static const Formula update = formula("adadelta");
  return {.formula = update, .coefficients = {o[lr], o[rho], 1 - o[rho], o[eps]}, .decay = o[weight_decay]};
}
}  // namespace adadelta

namespace rmsprop {
enum { lr, alpha, eps, weight_decay, momentum, centered };
const std::vector<Option> options = with_common({{"lr", 1e-2, &at_least_zero},
                                                 {"alpha", 0.99, &at_least_zero},
                                                 {"eps", 1e-8, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero},
                                                 {"momentum", 0, &at_least_zero},
                                                 flag("centered")});
const std::vector<State> states{{"square_avg", always, zero},
                                {"grad_avg", [](const Options& o) { return o[centered] != 0; }, zero},
                                {"momentum_buffer", [](const Options& o) { return o[momentum] != 0; }, zero}};
StepPlan plan(const Options& o, StepState&) {
  static const Formula formulas[2][2] = {{formula("rmsprop"), formula("rmsprop_momentum")},
                                         {formula("rmsprop_centered"), formula("rmsprop_centered_momentum")}};
  return {.formula = formulas[o[centered] != 0][o[momentum] != 0],
          .coefficients = {o[lr], o[alpha], 1 - o[alpha], o[eps], o[momentum]},
          .decay = o[weight_decay]};
}
}  // namespace rmsprop

namespace rprop {
enum { lr, etaminus, etaplus, step_size_min, step_size_max };
const std::vector<Option> options =
    with_common({{"lr", 1e-2, &at_least_zero},
                 {"etaminus", 0.5, &domains::inside_one, OptionKind::number, "etas"},
                 {"etaplus", 1.2, &domains::above_one, OptionKind::number, "etas"},
                 {"step_size_min", 1e-6, &at_least_zero, OptionKind::number, "step_sizes"},
                 {"step_size_max", 50, &at_least_zero, OptionKind::number, "step_sizes"}});
const std::vector<State> states{{"prev", always, zero}, {"step_size", always, [](const Options& o) { return o[lr]; }}};
void check(const Options& o) {
  if (o[step_size_min] > o[step_size_max]) {
    throw ValueError("Rprop: expected step_sizes in order, got " + number_text(o[step_size_min]) + " and " +
                     number_text(o[step_size_max]));
  }
}
StepPlan plan(const Options& o, StepState&) {
  static const Formula update = formula("rprop");
  return {.formula = update, .coefficients = {o[etaminus], o[etaplus], o[step_size_min], o[step_size_max]}};
}
}  // namespace rprop

namespace asgd {
enum { lr, lambd, alpha, t0, weight_decay };
const std::vector<Option> options = with_common({{"lr", 1e-2, &at_least_zero},
                                                 {"lambd", 1e-4, &at_least_zero},
                                                 {"alpha", 0.75, &at_least_zero},
                                                 {"t0", 1e6, &at_least_zero},
                                                 {"weight_decay", 0, &at_least_zero}});
const std::vector<State> states{{"ax", always, zero}};
/// eta and mu are those of the last step, as in PyTorch: a new lr takes effect a step later.
StepPlan plan(const Options& o, StepState& t) {
  static const Formula update = formula("asgd");
  auto& [next_eta, next_mu] = t.scalars;
  const double eta = t.step == 1 ? o[lr] : next_eta, mu = t.step == 1 ? 1 : next_mu;
  const auto step = static_cast<double>(t.step);
  next_eta = o[lr] / portable_power(1 + o[lambd] * o[lr] * step, o[alpha]);
  next_mu = 1 / std::max(1.0, step - o[t0]);
  return {.formula = update, .coefficients = {eta, mu, 1 - mu}, .decay = o[weight_decay], .shrink = 1 - o[lambd] * eta};
}
}  // namespace asgd

namespace lion {
enum { lr, beta1, beta2, weight_decay };
const std::vector<Option> options = with_common({{"lr", 1e-4, &at_least_zero},
                                                 first_beta,
                                                 {"beta2", 0.99, &domains::below_one, OptionKind::number, "betas"},
                                                 {"weight_decay", 0, &at_least_zero}});
const std::vector<State> states{{"exp_avg", always, zero}};
StepPlan plan(const Options& o, StepState&) {
  static const Formula update = formula("lion");
  return with_decay({.formula = update, .coefficients = {o[lr], o[beta1], 1 - o[beta1], o[beta2], 1 - o[beta2]}},
                    o[weight_decay], true, o[lr]);
}
}  // namespace lion

/// Every rule, by its public name: a line here makes it known to all the rest.
const std::vector<Rule>& rules() {
  static const std::vector<Rule> list{
      {"SGD", sgd::options, {{"momentum_buffer", sgd::has_momentum, zero}}, {}, sgd::check, sgd::plan},
      {"Adam", adam::options, adam::states, {"step"}, nullptr, adam::plan},
      {"AdamW", adam::decoupled_options, adam::states, {"step"}, nullptr, adam::plan},
      {"NAdam", nadam::options, moments, {"step", "mu_product"}, nullptr, nadam::plan},
      {"RAdam", radam::options, moments, {"step"}, nullptr, radam::plan},
      {"Adamax", adamax::options, adamax::states, {"step"}, nullptr, adamax::plan},
      {"Adagrad", adagrad::options, adagrad::states, {"step"}, nullptr, adagrad::plan},
      {"Adadelta", adadelta::options, adadelta::states, {"step"}, nullptr, adadelta::plan},
      {"RMSprop", rmsprop::options, rmsprop::states, {"step"}, nullptr, rmsprop::plan},
      {"Rprop", rprop::options, rprop::states, {"step"}, rprop::check, rprop::plan},
      {"ASGD", asgd::options, asgd::states, {"step", "eta", "mu"}, nullptr, asgd::plan},
      {"Lion", lion::options, lion::states, {"step"}, nullptr, lion::plan},
  };
  return list;
}

}  // namespace

void Rule::check(const Options& o) const {
  if (o.size() != options.size()) throw ValueError(std::string(name) + ": wrong number of options");
  for (std::size_t i = 0; i < o.size(); ++i) {
    const Domain& domain = *options[i].domain;
    if (!domain.holds(o[i])) {
      throw ValueError(std::string(name) + ": expected " + domain.before + options[i].name + domain.after + ", got " +
                       number_text(o[i]));
    }
  }
  if (check_together != nullptr) check_together(o);
}

std::size_t Rule::common(int option) const {
  return options.size() - static_cast<std::size_t>(common_options) + static_cast<std::size_t>(option);
}

std::vector<std::string> rule_names() {
  std::vector<std::string> names;
  for (const Rule& rule : rules()) names.emplace_back(rule.name);
  return names;
}

const Rule& find_rule(const std::string& name) {
  const auto& list = rules();
  const auto found = std::find_if(list.begin(), list.end(), [&](const Rule& rule) { return rule.name == name; });
  if (found == list.end()) throw ValueError("optimizer: expected the name of a rule, got '" + name + "'");
  return *found;
}

}  // namespace deltaprop::optim
