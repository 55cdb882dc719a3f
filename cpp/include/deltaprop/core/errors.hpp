#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// A wrong shape or value; ValueError in Python.
struct ValueError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A wrong kind of thing; TypeError in Python.
struct TypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A loss or a delta that is not finite; FloatingPointError in Python.
struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "(2, 3)", "(3,)": a shape as Python prints it.
std::string shape_text(const std::vector<Index>& shape);

/// The shortest text that reads back as this number: "0.1", "1.0", "1e-09".
std::string number_text(double value);

}  // namespace deltaprop
