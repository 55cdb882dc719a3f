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

/// Step count of a parameter, which is counted if its rule has state arrays, and scalar state of the rule.
struct StepState {
  std::int64_t step = 0;
  std::array<double, 2> scalars{};
  bool operator==(const StepState&) const = default;
};

/// Coefficients of one step in float64, computed once per step from the options, not once per tile.
struct StepPlan {
  kernels::Formula formula;
  std::array<double, kernels::kMaxCoefficients> coefficients{};
  double decay = 0;   // coupled weight decay: g + decay p
  double shrink = 1;  // decoupled: shrink p
};

/// A state array of a rule, of the shape of the parameter.
struct State {
  const char* name;
  bool (*needed)(const Options&);
  double (*initial)(const Options&);
};

/// An update rule: one entry of the table in rules.cpp. It knows the options and coefficients of a step, not layers or
/// tiles.
struct Rule {
  const char* name;
  std::vector<Option> options;       // the first is "lr", the last are those of all rules (CommonOption)
  std::vector<State> states;         // the formula gets those that are needed, in this order
  std::vector<const char*> scalars;  // names of the step and StepState::scalars in state dictionaries; may be empty
  void (*check_together)(const Options&);  // or null
  StepPlan (*plan)(const Options&, StepState&);

  /// ValueError for a value out of range.
  void check(const Options&) const;
  /// Index of a common option.
  std::size_t common(int option) const;
};

/// Options of all rules, after their own. A max_norm of infinity means no limit.
enum CommonOption { maximize, l1, l2, max_norm, nonnegative, common_options };

std::vector<std::string> rule_names();

/// By name: "SGD", "Adam", ...
const Rule& find_rule(const std::string& name);

}  // namespace deltaprop::optim
