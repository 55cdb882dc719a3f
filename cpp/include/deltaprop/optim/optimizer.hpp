#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/busy.hpp"
#include "deltaprop/core/parameters.hpp"
#include "deltaprop/optim/rule.hpp"

namespace deltaprop::optim {

/// Parameters (by their place in the network's list) that share options.
struct Group {
  std::vector<Index> parameters;
  Options options;
};

/// An update rule at work on a network's flat buffers: groups, states and one step count for all of them.
template <class T>
class Optimizer {
 public:
  /// ValueError for options out of range, and for a parameter listed twice.
  Optimizer(std::unique_ptr<Rule> rule, std::shared_ptr<Parameters<T>> parameters, std::vector<Group> groups);

  const Rule& rule() const { return *rule_; }
  const std::shared_ptr<Parameters<T>>& parameters() const { return parameters_; }
  Index groups() const { return static_cast<Index>(groups_.size()); }
  const Group& group(Index i) const { return groups_[static_cast<std::size_t>(i)].group; }
  std::int64_t steps() const { return steps_; }
  void set_options(Index group, Options options);

  /// Held by whoever steps.
  Busy busy{"the optimizer is in use: expected no other call while it steps or fit runs"};

  /// One update of all its parameters.
  void step();
  /// Zeroes the gradients of its parameters.
  void zero_grad();
  /// The same in parts: begin_step() once, then update() for runs that each lie inside one parameter.
  void begin_step();
  void update(Index parameter, Range run);

 private:
  struct State {
    Group group;
    Coefficients coefficients{};
    std::int64_t first_step = 0;  // 0: has not begun
  };

  std::unique_ptr<Rule> rule_;
  std::shared_ptr<Parameters<T>> parameters_;
  std::vector<State> groups_;
  std::vector<Index> group_of_;  // a parameter's group, or -1
  std::array<Buffer<T>, kMaxStates> states_;
  std::int64_t steps_ = 0;
};

}  // namespace deltaprop::optim
