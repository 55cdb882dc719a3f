#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "deltaprop/core/options.hpp"
#include "deltaprop/core/types.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::optim {

/// The options of a group, in the order of Rule::options.
using Options = std::vector<double>;

/// Where a parameter stands in time: its steps, counted while its rule keeps states of it, and what a rule knows
/// beside.
struct StepState {
  std::int64_t step = 0;
  std::array<double, 2> scalars{};
  bool operator==(const StepState&) const = default;
};

/// What one step needs of the options, in double: found once a step, not once a tile.
struct StepPlan {
  kernels::Formula formula;
  std::array<double, kernels::kMaxCoefficients> coefficients{};
  double decay = 0;   // coupled weight decay: g + decay p
  double shrink = 1;  // decoupled: shrink p
};

/// An array that a rule keeps, of the shape of the parameter.
struct State {
  const char* name;
  bool (*needed)(const Options&);
  double (*initial)(const Options&);
};

/// An update rule: one line of the table in rules.cpp. It sees numbers of a step, never layers or tiles.
struct Rule {
  const char* name;
  std::vector<Option> options;             // the first one is "lr", the last ones are those of all rules (CommonOption)
  std::vector<State> states;               // in the order in which the formula takes those that are needed
  std::vector<const char*> scalars;        // how state dictionaries name the step and StepState::scalars; may name none
  void (*check_together)(const Options&);  // or null
  StepPlan (*plan)(const Options&, StepState&);

  /// ValueError for a value out of range.
  void check(const Options&) const;
  /// The place of an option of all rules.
  std::size_t common(int option) const;
};

/// Options that all rules have, after their own. A max_norm of infinity is none.
enum CommonOption { maximize, l1, l2, max_norm, nonnegative, common_options };

std::vector<std::string> rule_names();

/// By name: "SGD", "Adam", ...
const Rule& find_rule(const std::string& name);

}  // namespace deltaprop::optim
