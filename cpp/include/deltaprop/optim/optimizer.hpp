#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/parameters.hpp"
#include "deltaprop/nn/access.hpp"
#include "deltaprop/optim/rule.hpp"

namespace deltaprop::optim {

/// Parameters (by their place in the network's list) that share options.
struct Group {
  std::vector<Index> parameters;
  Options options;
};

/// Options of the whole optimizer.
struct GlobalOptions {
  std::optional<double> clip_norm;   // the norm of all gradients together is at most this
  std::optional<double> clip_value;  // each element of a gradient is at most this
  std::optional<double> ema_decay;   // averages of the parameters are kept
};

/// An update rule at work on a network's flat buffers: groups, states, and a step_state for each parameter.
template <class T>
class Optimizer {
 public:
  /// ValueError for options out of range, and for a parameter listed twice.
  Optimizer(const Rule& rule, std::shared_ptr<Parameters<T>> parameters, std::vector<Group> groups);

  const Rule& rule() const { return rule_; }
  const std::shared_ptr<Parameters<T>>& parameters() const { return parameters_; }
  Index groups() const { return static_cast<Index>(groups_.size()); }
  const Group& group(Index i) const { return groups_[static_cast<std::size_t>(i)]; }
  const GlobalOptions& global_options() const { return global_options_; }
  /// How many steps it has begun itself.
  std::int64_t steps() const { return steps_; }
  /// ValueError for values out of range; then nothing has changed. They take effect at the next step.
  void set_options(Index group, Options options);
  void set_option(Index group, Index option, double value);
  void set_global_options(const GlobalOptions& options);

  /// For nn::Access.
  nn::Guards guards() { return {parameters_->access, parameters_->averages, nullptr, &access_, rule_.name}; }

  /// One update of all its parameters that are not frozen.
  void step();
  /// Zeroes the gradients of its parameters.
  void zero_grad();
  /// The same as step() in parts: begin_step() once, update() for runs that each begin in this parameter and together
  /// make up all of them, then end_step().
  void begin_step();
  void update(Index parameter, Range run);
  void end_step();
  /// Whether begin_step() reads the gradients.
  bool needs_all_gradients() const { return global_options_.clip_norm.has_value(); }

  /// The averages take the place of the parameters until swap_out_ema(). RuntimeError where they do already.
  void swap_in_ema();
  void swap_out_ema();

  /// What state dictionaries hold. A buffer is empty until a step needs it, unless `make`.
  const StepState& step_state(Index parameter) const { return slot(parameter).step_state; }
  bool averaged(Index parameter) const { return slot(parameter).averaged; }
  void set_step_state(Index parameter, const StepState& step_state, bool averaged);
  const Buffer<T>& state(Index state, bool make = false);
  const Buffer<T>& averages(bool make = false);

 private:
  /// What is kept of a parameter.
  struct Slot {
    Index group = -1;
    StepState step_state;
    bool averaged = false;                         // its average has begun
    std::array<T*, kernels::kMaxStates> states{};  // the buffers that its formula takes, in order
    // Where formula and terms of this step are: with the first of the group at the same step_state, or nowhere if it is
    // not updated.
    const Slot* plan = nullptr;
    kernels::Formula formula{};
    kernels::UpdateTerms<T> terms{};
  };
  /// Where the last plan of a group was made, and for which step_state; the next one of that step_state takes it over.
  struct Planned {
    const Slot* slot = nullptr;
    StepState before;
  };
  /// What the parameters were before their averages took their place.
  struct Shown {
    explicit Shown(Optimizer& optimizer)
        : access(nn::Call::averaged, optimizer.guards()), own(optimizer.parameters_->size()) {
      std::copy_n(optimizer.parameters_->values.data(), own.size(), own.data());
    }
    nn::Access access;
    Buffer<T> own;
  };

  Slot& slot(Index parameter) { return slots_.at(static_cast<std::size_t>(parameter)); }
  const Slot& slot(Index parameter) const { return slots_.at(static_cast<std::size_t>(parameter)); }
  const Parameter& parameter(Index i) const { return parameters_->list[static_cast<std::size_t>(i)]; }
  double option(const Slot& slot, int common) const { return group(slot.group).options[rule_.common(common)]; }
  Index size() const { return static_cast<Index>(slots_.size()); }
  /// What follows from the options alone: which states there are, with room for them.
  void prepare();
  void fill_states(const Slot& slot, Range range);
  void make_plan(Slot& slot);
  void scale_to_norm(double limit);
  void end_update(Slot& slot, const Parameter& parameter);
  kernels::Update<T> run_of(const Slot& slot, Range run) const;

  const Rule& rule_;
  std::shared_ptr<Parameters<T>> parameters_;
  std::vector<Group> groups_;
  std::vector<Planned> planned_;  // by group
  std::vector<Slot> slots_;       // by parameter
  GlobalOptions global_options_;
  std::vector<Buffer<T>> states_;
  Buffer<T> averages_;
  std::unique_ptr<Shown> shown_;
  std::int64_t steps_ = 0;
  bool prepared_ = false;  // since the options changed
  bool ends_ = false;      // whether end_step() has anything to do
  AccessGuard access_;
};

}  // namespace deltaprop::optim
