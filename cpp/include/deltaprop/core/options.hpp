#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace deltaprop {

/// The values that an option may have, and how messages name them: an update rule in symbols, "expected " + before +
/// the option's name + after; a loss or an activation in words.
struct Domain {
  const char* before;
  const char* after;
  const char* words;
  bool (*holds)(double);
};

namespace domains {
inline constexpr Domain finite{"a finite ", "", "", [](double x) { return std::isfinite(x); }};
inline constexpr Domain at_least_zero{"", " >= 0", "of 0 or more", [](double x) { return x >= 0 && std::isfinite(x); }};
inline constexpr Domain above_zero{"", " > 0", "above 0", [](double x) { return x > 0 && std::isfinite(x); }};
inline constexpr Domain above_zero_or_none{"", " > 0 or None", "above 0 or None", [](double x) { return x > 0; }};
inline constexpr Domain above_one{"", " > 1", "above 1", [](double x) { return x > 1 && std::isfinite(x); }};
inline constexpr Domain not_zero{"", " != 0", "other than 0", [](double x) { return x != 0 && std::isfinite(x); }};
inline constexpr Domain below_one{"0 <= ", " < 1", "from 0, below 1", [](double x) { return x >= 0 && x < 1; }};
inline constexpr Domain inside_one{"0 < ", " < 1", "above 0 and below 1", [](double x) { return x > 0 && x < 1; }};
inline constexpr Domain up_to_one{"0 <= ", " <= 1", "from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
inline constexpr Domain flag{"", " to be True or False", "", [](double x) { return x == 0 || x == 1; }};
}  // namespace domains

/// How users write an option.
enum class OptionKind : std::int8_t {
  number,
  flag,
  optional,  // a number or None, which is infinity here
  columns,   // one number for all columns of the outputs, one for each, or None
  classes,   // a number for each class, or None
  outputs,   // a number for each output that a target has
  label,     // a class: an integer of 64 bits
};

/// An option of an update rule, a loss or an activation, described once: the bindings, Python's checks and defaults,
/// state dictionaries and tests read it here.
struct Option {
  const char* name = "";
  double fallback = 0;  // its default
  const Domain* domain = &domains::finite;
  OptionKind kind = OptionKind::number;
  const char* tuple = "";  // users write neighbours with one name here as a tuple of that name
};

/// The options of one loss or activation.
class OptionList {
 public:
  static constexpr std::size_t kMax = 3;

  constexpr OptionList(std::initializer_list<Option> options) : size_(options.size()) {
    for (std::size_t i = 0; i < size_; ++i) list_[i] = options.begin()[i];
  }
  constexpr std::size_t size() const { return size_; }
  constexpr const Option* begin() const { return list_; }
  constexpr const Option* end() const { return list_ + size_; }

 private:
  Option list_[kMax]{};
  std::size_t size_;
};

}  // namespace deltaprop
