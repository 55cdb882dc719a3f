#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// Invalid shape or value; ValueError in Python.
struct ValueError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Invalid type; TypeError in Python.
struct TypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Loss or delta that is not finite; FloatingPointError in Python.
struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A shape as Python prints it: "(2, 3)", "(3,)".
std::string shape_text(const std::vector<Index>& shape);

/// The shortest decimal text that parses to the same double: "0.1", "1.0", "1e-09".
std::string number_text(double value);

}  // namespace deltaprop
