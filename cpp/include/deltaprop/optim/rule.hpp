#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "deltaprop/core/types.hpp"

namespace deltaprop::optim {

inline constexpr int kMaxStates = 2;

/// The options of a group, in the order of Rule::options().
using Options = std::vector<double>;
/// What a rule derives from the options and the step count, once a step instead of once a tile.
using Coefficients = std::array<double, 2>;

/// One update of a run of parameters.
template <class T>
struct Update {
  Index n;
  T* values;
  const T* gradients;
  std::array<T*, kMaxStates> states;  // runs of the optimizer's state, aligned with the parameters
  const Options& options;
  const Coefficients& coefficients;
  bool first_step;  // the group's states hold nothing yet
};

/// An update rule. It sees runs of flat buffers, never layers, and knows nothing of tiles.
class Rule {
 public:
  virtual ~Rule() = default;
  virtual const char* name() const = 0;
  /// The names of the options; the first one is always "lr".
  virtual const std::vector<std::string>& options() const = 0;
  /// ValueError for values out of range.
  virtual void check(const Options&) const = 0;
  /// How many state buffers these options need.
  virtual int states(const Options&) const = 0;
  virtual Coefficients coefficients(const Options&, std::int64_t) const { return {}; }
  virtual void update(const Update<float>&) const = 0;
  virtual void update(const Update<double>&) const = 0;
};

/// By name: "SGD", "Adam".
std::unique_ptr<Rule> make_rule(const std::string& name);

}  // namespace deltaprop::optim
