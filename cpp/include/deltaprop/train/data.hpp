#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/core/strided_view.hpp"

namespace deltaprop::train {

/// The inputs of a network, usually one.
using Inputs = std::vector<StridedView>;

/// Targets of one output. `check_rows`: check for NaN and infinity as rows are gathered, for memory-mapped files, which
/// are not read completely in advance.
struct Targets {
  StridedView y;
  std::optional<StridedView> weights;  // (rows, 1)
  bool check_rows = false;
  std::string name = "y";              // in messages
  std::optional<StridedView> numbers;  // y as numbers if it is passed as bytes and its rows are to be checked
};

/// A training or validation set: inputs, and targets of each output. Read in place, row by row.
struct Data {
  Inputs x;
  std::vector<Targets> targets;
  bool check_x_rows = false;
  std::string x_name = "X";

  Index rows() const { return x[0].rows; }
};

/// ValueError, naming the row, unless each class is below `classes` or is the ignored class.
void check_class(std::int64_t c, Index classes, std::int64_t ignored, const std::string& name, Index row);
void check_classes(
    const StridedView& source, Index classes, const std::string& name, std::int64_t ignored,
    const InterruptCheck& check_interrupt = [] {});

/// ValueError, naming the row, if a weight is negative or not finite after conversion to T.
template <class T>
void check_weights(const StridedView& source, const InterruptCheck& check_interrupt = [] {});

}  // namespace deltaprop::train
