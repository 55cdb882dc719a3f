#include "deltaprop/optim/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::optim {

template <class T>
Optimizer<T>::Optimizer(const Rule& rule, std::shared_ptr<Parameters<T>> parameters, std::vector<Group> groups)
    : rule_(rule),
      parameters_(std::move(parameters)),
      groups_(std::move(groups)),
      planned_(groups_.size()),
      slots_(parameters_->list.size()),
      states_(rule.states.size()) {
  for (Index g = 0; g < this->groups(); ++g) {
    rule_.check(group(g).options);
    for (const Index p : group(g).parameters) {
      if (slot(p).group != -1) {
        throw ValueError(std::string(rule_.name) + ": parameter '" + parameter(p).shape.name + "' is listed twice");
      }
      slot(p).group = g;
    }
  }
}

template <class T>
void Optimizer<T>::set_options(Index group, Options options) {
  const nn::Access access(nn::Call::lr, guards());
  rule_.check(options);
  groups_.at(static_cast<std::size_t>(group)).options = std::move(options);
  prepared_ = false;
}

template <class T>
void Optimizer<T>::set_option(Index group, Index option, double value) {
  const nn::Access access(nn::Call::lr, guards());
  Options& options = groups_.at(static_cast<std::size_t>(group)).options;
  std::swap(options.at(static_cast<std::size_t>(option)), value);
  try {
    rule_.check(options);
  } catch (...) {
    options[static_cast<std::size_t>(option)] = value;
    throw;
  }
  prepared_ = false;
}

template <class T>
void Optimizer<T>::set_global_options(const GlobalOptions& options) {
  const nn::Access access(nn::Call::options, guards());
  const auto check = [this](const std::optional<double>& value, const char* domain, bool holds) {
    if (value && !holds) {
      throw ValueError(std::string(rule_.name) + ": expected " + domain + " or None, got " + number_text(*value));
    }
  };
  check(options.clip_norm, "clip_norm > 0", options.clip_norm > 0.0);
  check(options.clip_value, "clip_value > 0", options.clip_value > 0.0);
  check(options.ema_decay, "0 <= ema_decay < 1", options.ema_decay >= 0.0 && options.ema_decay < 1.0);
  global_options_ = options;
  prepared_ = false;
}

template <class T>
void Optimizer<T>::prepare() {
  std::fill(planned_.begin(), planned_.end(), Planned{});
  has_end_updates_ = global_options_.ema_decay.has_value();
  for (Slot& s : slots_) {
    if (s.group == -1) continue;
    has_end_updates_ = has_end_updates_ || std::isfinite(option(s, max_norm));
    s.states = {};
    std::size_t count = 0;
    for (std::size_t k = 0; k < states_.size(); ++k) {
      if (!rule_.states[k].needed(group(s.group).options)) continue;
      states_[k].reserve(parameters_->size());
      s.states[count++] = states_[k].data();
    }
  }
  prepared_ = true;
}

template <class T>
void Optimizer<T>::fill_states(const Slot& slot, Range range) {
  const Options& options = group(slot.group).options;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    const State& state = rule_.states[k];
    if (!state.needed(options)) continue;
    std::fill_n(states_[k].data() + range.begin, range.size(), static_cast<T>(state.initial(options)));
  }
}

template <class T>
void Optimizer<T>::make_plan(Slot& slot) {
  const StepPlan plan = rule_.plan(group(slot.group).options, slot.step_state);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  kernels::UpdateTerms<T>& t = slot.terms;
  slot.formula = plan.formula;
  std::transform(plan.coefficients.begin(), plan.coefficients.end(), t.coefficients,
                 [](double c) { return static_cast<T>(c); });
  t.sign = option(slot, maximize) != 0 ? T(-1) : T(1);
  t.l1 = static_cast<T>(option(slot, l1));
  t.l2 = static_cast<T>(option(slot, l2));
  t.scale = 1;
  t.bound = static_cast<T>(global_options_.clip_value.value_or(infinity));
  t.decay = static_cast<T>(plan.decay);
  t.shrink = static_cast<T>(plan.shrink);
  t.floor = option(slot, nonnegative) != 0 ? T(0) : static_cast<T>(-infinity);
  const bool plain =
      t.sign == 1 && t.l1 == 0 && t.l2 == 0 && !needs_all_gradients() && !global_options_.clip_value && t.floor != 0;
  t.preprocessing = !plain                          ? kernels::Preprocessing::everything
                    : t.decay != 0 || t.shrink != 1 ? kernels::Preprocessing::decay
                                                    : kernels::Preprocessing::nothing;
}

template <class T>
void Optimizer<T>::begin_step() {
  if (!prepared_) prepare();
  ++steps_;
  for (Index p = 0; p < size(); ++p) {
    Slot& s = slots_[static_cast<std::size_t>(p)];
    s.plan = nullptr;
    if (s.group == -1 || parameter(p).frozen) continue;
    if (s.states[0] != nullptr && ++s.step_state.step == 1) fill_states(s, parameter(p).range);
    Planned& planned = planned_[static_cast<std::size_t>(s.group)];
    if (planned.slot != nullptr && planned.before == s.step_state) {
      s.step_state = planned.slot->step_state;
    } else {
      planned = {&s, s.step_state};
      make_plan(s);
    }
    s.plan = planned.slot;
  }
  if (global_options_.clip_norm) scale_to_norm(*global_options_.clip_norm);
}

/// Like torch.nn.utils.clip_grad_norm_, applied to the gradients including l1 and l2 penalties.
template <class T>
void Optimizer<T>::scale_to_norm(double limit) {
  const auto set_scale = [this](double scale) {
    for (Slot& s : slots_) s.terms.scale = static_cast<T>(scale);
  };
  set_scale(1);
  double squares = 0;
  for (Index p = 0; p < size(); ++p) {
    if (slot(p).plan != nullptr) squares += kernels::get<T>().square_sum(run_of(slot(p), parameter(p).range));
  }
  set_scale(std::min(1.0, limit / (std::sqrt(squares) + 1e-6)));
}

template <class T>
kernels::Update<T> Optimizer<T>::run_of(const Slot& slot, Range run) const {
  kernels::Update<T> update{.n = run.size(),
                            .values = parameters_->values.data() + run.begin,
                            .gradients = parameters_->gradients.data() + run.begin,
                            .states = {},
                            .terms = &slot.plan->terms};
  for (std::size_t k = 0; k < slot.states.size() && slot.states[k] != nullptr; ++k) {
    update.states[k] = slot.states[k] + run.begin;
  }
  return update;
}

template <class T>
void Optimizer<T>::update(Index p, Range run) {
  while (run.size() > 0) {
    const Slot& s = slots_[static_cast<std::size_t>(p)];
    // One call for consecutive parameters with the same plan.
    Index end = parameter(p++).range.end;
    for (; end < run.end && slots_[static_cast<std::size_t>(p)].plan == s.plan; ++p) end = parameter(p).range.end;
    const Range part{run.begin, std::min(end, run.end)};
    if (s.plan != nullptr) kernels::get<T>().updates[static_cast<int>(s.plan->formula)].run(run_of(s, part));
    run.begin = part.end;
  }
}

template <class T>
void Optimizer<T>::end_step() {
  for (Index p = 0; has_end_updates_ && p < size(); ++p) {
    if (slot(p).plan != nullptr) end_update(slot(p), parameter(p));
  }
}

template <class T>
void Optimizer<T>::end_update(Slot& slot, const Parameter& parameter) {
  const ParameterShape& p = parameter.shape;
  T* const values = parameters_->values.data() + parameter.range.begin;
  const double limit = option(slot, max_norm);
  if (std::isfinite(limit) && p.shape.size() == 2) {
    const Index rows = p.shape[0], cols = p.shape[1];
    kernels::get<T>().limit_norms({.units = p.transposed ? cols : rows,
                                   .inputs = p.transposed ? rows : cols,
                                   .unit_stride = p.transposed ? 1 : cols,
                                   .input_stride = p.transposed ? cols : 1,
                                   .values = values,
                                   .limit = limit});
  }
  if (!global_options_.ema_decay) return;
  kernels::get<T>().average({.n = parameter.range.size(),
                             .values = values,
                             .average = averages(true).data() + parameter.range.begin,
                             .decay = slot.averaged ? *global_options_.ema_decay : 0});
  slot.averaged = true;
}

template <class T>
void Optimizer<T>::step() {
  const nn::Access access(nn::Call::step, guards());
  begin_step();
  update(0, {0, parameters_->size()});
  end_step();
}

template <class T>
void Optimizer<T>::zero_grad() {
  const nn::Access access(nn::Call::zero_grad, guards());
  for (Index p = 0; p < size(); ++p) {
    const Range run = parameter(p).range;
    if (slot(p).group != -1) std::fill_n(parameters_->gradients.data() + run.begin, run.size(), T(0));
  }
}

template <class T>
void Optimizer<T>::swap_in_ema() {
  swapped_ = std::make_unique<SwappedParameters>(*this);
  for (Index p = 0; p < size(); ++p) {
    const Range run = parameter(p).range;
    if (averaged(p)) std::copy_n(averages_.data() + run.begin, run.size(), parameters_->values.data() + run.begin);
  }
}

template <class T>
void Optimizer<T>::swap_out_ema() {
  if (!swapped_) throw std::runtime_error(std::string(rule_.name) + ": the averages are not shown");
  for (Index p = 0; p < size(); ++p) {
    const Range run = parameter(p).range;
    if (slot(p).group != -1) {
      std::copy_n(swapped_->values.data() + run.begin, run.size(), parameters_->values.data() + run.begin);
    }
  }
  swapped_.reset();
}

template <class T>
void Optimizer<T>::set_step_state(Index parameter, const StepState& step_state, bool averaged) {
  const nn::Access access(nn::Call::load_optimizer_state_dict, guards());
  slot(parameter).step_state = step_state;
  slot(parameter).averaged = averaged;
  prepared_ = false;
}

template <class T>
const Buffer<T>& Optimizer<T>::state(Index state, bool make) {
  Buffer<T>& buffer = states_.at(static_cast<std::size_t>(state));
  if (make) buffer.reserve(parameters_->size());
  return buffer;
}

template <class T>
const Buffer<T>& Optimizer<T>::averages(bool make) {
  if (make) averages_.reserve(parameters_->size());
  return averages_;
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace deltaprop::optim
