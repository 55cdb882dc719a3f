#include "deltaprop/optim/optimizer.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::optim {

template <class T>
Optimizer<T>::Optimizer(std::unique_ptr<Rule> rule, std::shared_ptr<Parameters<T>> parameters,
                        std::vector<Group> groups)
    : rule_(std::move(rule)), parameters_(std::move(parameters)), group_of_(parameters_->list.size(), -1) {
  for (Group& group : groups) {
    rule_->check(group.options);
    for (const Index p : group.parameters) {
      Index& owner = group_of_.at(static_cast<std::size_t>(p));
      if (owner != -1) {
        throw ValueError(std::string(rule_->name()) + ": parameter '" +
                         parameters_->list[static_cast<std::size_t>(p)].shape.name + "' is listed twice");
      }
      owner = static_cast<Index>(groups_.size());
    }
    groups_.push_back({std::move(group)});
  }
}

template <class T>
void Optimizer<T>::set_options(Index group, Options options) {
  const Busy::Claim claim(busy, true);  // a callback of fit may
  rule_->check(options);
  groups_.at(static_cast<std::size_t>(group)).group.options = std::move(options);
}

template <class T>
void Optimizer<T>::begin_step() {
  for (State& g : groups_) {
    const int needed = rule_->states(g.group.options);
    for (int i = 0; i < needed; ++i) states_[static_cast<std::size_t>(i)].reserve(parameters_->size());
    if (needed > 0 && g.first_step == 0) g.first_step = steps_ + 1;
    g.coefficients = rule_->coefficients(g.group.options, steps_ + 1);
  }
  ++steps_;
}

template <class T>
void Optimizer<T>::update(Index parameter, Range run) {
  const Index owner = group_of_[static_cast<std::size_t>(parameter)];
  if (owner == -1) return;
  const State& g = groups_[static_cast<std::size_t>(owner)];
  std::array<T*, kMaxStates> states{};
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states_[i].size() > 0) states[i] = states_[i].data() + run.begin;
  }
  rule_->update(Update<T>{.n = run.size(),
                          .values = parameters_->values.data() + run.begin,
                          .gradients = parameters_->gradients.data() + run.begin,
                          .states = states,
                          .options = g.group.options,
                          .coefficients = g.coefficients,
                          .first_step = g.first_step == steps_});
}

template <class T>
void Optimizer<T>::step() {
  const Busy::Claim claim(busy);
  const Busy::Visit visit(parameters_->busy);
  begin_step();
  for (std::size_t p = 0; p < parameters_->list.size(); ++p) {
    update(static_cast<Index>(p), parameters_->list[p].range);
  }
}

template <class T>
void Optimizer<T>::zero_grad() {
  parameters_->busy.check();
  for (std::size_t p = 0; p < parameters_->list.size(); ++p) {
    const Range run = parameters_->list[p].range;
    if (group_of_[p] != -1) std::fill_n(parameters_->gradients.data() + run.begin, run.size(), T(0));
  }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace deltaprop::optim
