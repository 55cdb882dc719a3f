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

/// Parameters, by index in the network's list, that share options.
struct Group {
  std::vector<Index> parameters;
  Options options;
};

/// Options of the whole optimizer.
struct GlobalOptions {
  std::optional<double> clip_norm;   // upper bound of the norm of all gradients together
  std::optional<double> clip_value;  // bound of the absolute value of each element of the gradients
  std::optional<double> ema_decay;   // enables exponential moving averages of the parameters
};

/// Applies an update rule to a network's flat buffers: groups, state arrays, and a StepState per parameter.
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
  /// Number of calls of begin_step().
  std::int64_t steps() const { return steps_; }
  /// ValueError for values out of range, without any change. New options take effect at the next step.
  void set_options(Index group, Options options);
  void set_option(Index group, Index option, double value);
  void set_global_options(const GlobalOptions& options);

  /// For nn::Access.
  nn::Guards guards() { return {parameters_->access, parameters_->averages, nullptr, &access_, rule_.name}; }

  /// Updates all its parameters that are not frozen.
  void step();
  /// Zeroes the gradients of its parameters.
  void zero_grad();
  /// step() in parts: begin_step(), update() for ranges that together cover all parameters (`parameter` contains the
  /// start of the range), end_step().
  void begin_step();
  void update(Index parameter, Range run);
  void end_step();
  /// Whether begin_step() reads the gradients.
  bool needs_all_gradients() const { return global_options_.clip_norm.has_value(); }

  /// Replaces the parameters by their moving averages until swap_out_ema(). RuntimeError if they are replaced already.
  void swap_in_ema();
  void swap_out_ema();

  /// The contents of state dictionaries. A buffer is empty until a step needs it; `make` allocates it.
  const StepState& step_state(Index parameter) const { return slot(parameter).step_state; }
  bool averaged(Index parameter) const { return slot(parameter).averaged; }
  void set_step_state(Index parameter, const StepState& step_state, bool averaged);
  const Buffer<T>& state(Index state, bool make = false);
  const Buffer<T>& averages(bool make = false);

 private:
  /// State of one parameter.
  struct Slot {
    Index group = -1;
    StepState step_state;
    bool averaged = false;                         // its moving average has been initialised
    std::array<T*, kernels::kMaxStates> states{};  // state arrays in the order of the formula
    // The slot that holds formula and terms of this step: the first of the group with an equal step_state; null if the
    // parameter is not updated.
    const Slot* plan = nullptr;
    kernels::Formula formula{};
    kernels::UpdateTerms<T> terms{};
  };
  /// The last plan of a group: its slot, and the step_state for which it was made. Parameters with an equal step_state
  /// reuse it.
  struct Planned {
    const Slot* slot = nullptr;
    StepState before;
  };
  /// The parameters while their moving averages replace them.
  struct SwappedParameters {
    explicit SwappedParameters(Optimizer& optimizer)
        : access(nn::Call::averaged, optimizer.guards()), values(optimizer.parameters_->size()) {
      std::copy_n(optimizer.parameters_->values.data(), values.size(), values.data());
    }
    nn::Access access;
    Buffer<T> values;
  };

  Slot& slot(Index parameter) { return slots_.at(static_cast<std::size_t>(parameter)); }
  const Slot& slot(Index parameter) const { return slots_.at(static_cast<std::size_t>(parameter)); }
  const Parameter& parameter(Index i) const { return parameters_->list[static_cast<std::size_t>(i)]; }
  double option(const Slot& slot, int common) const { return group(slot.group).options[rule_.common(common)]; }
  Index size() const { return static_cast<Index>(slots_.size()); }
  /// Allocates the state arrays that the options require.
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
  std::unique_ptr<SwappedParameters> swapped_;
  std::int64_t steps_ = 0;
  bool prepared_ = false;         // since the options changed
  bool has_end_updates_ = false;  // end_step() has work to do
  AccessGuard access_;
};

}  // namespace deltaprop::optim
