#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/core/strided_view.hpp"

namespace deltaprop::train {

/// The inputs of a network, most often one.
using Inputs = std::vector<StridedView>;

/// What one output is compared with. `check_rows`: look for NaN and infinity as rows are gathered; for files mapped
/// into memory, which are not read whole first.
struct Targets {
  StridedView y;
  std::optional<StridedView> weights;  // (rows, 1)
  bool check_rows = false;
  std::string name = "y";              // in messages
  std::optional<StridedView> numbers;  // y again, where it is raw and its rows are to be checked
};

/// What a network learns from, or is judged by: inputs, and answers to each output. Read in place, row by row.
struct Data {
  Inputs x;
  std::vector<Targets> targets;
  bool check_x_rows = false;
  std::string x_name = "X";

  Index rows() const { return x[0].rows; }
};

/// ValueError unless a class is below `classes`, or the one whose rows count for nothing; names its row.
void check_class(std::int64_t c, Index classes, std::int64_t ignored, const std::string& name, Index row);
void check_classes(
    const StridedView& source, Index classes, const std::string& name, std::int64_t ignored,
    const InterruptCheck& check_interrupt = [] {});

/// ValueError where a weight is negative or not finite once converted to T, naming its row.
template <class T>
void check_weights(const StridedView& source, const InterruptCheck& check_interrupt = [] {});

}  // namespace deltaprop::train
