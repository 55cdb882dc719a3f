#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/core/source.hpp"

namespace deltaprop::train {

/// The inputs of a network, most often one.
using Inputs = std::vector<Source>;

/// What one output is compared with. `check_rows`: look for NaN and infinity as rows are gathered; for files mapped
/// into memory, which are not read whole first.
struct Answers {
  Source y;
  std::optional<Source> weights;  // (rows, 1)
  bool check_rows = false;
  std::string name = "y";         // in messages
  std::optional<Source> numbers;  // y again, where it is raw and its rows are to be checked
};

/// What a network learns from, or is judged by: inputs, and answers to each output. Read in place, row by row.
struct Data {
  Inputs x;
  std::vector<Answers> answers;
  bool check_x_rows = false;
  std::string x_name = "X";

  Index rows() const { return x[0].rows; }
};

/// Called once a chunk of rows; may throw.
using Poll = std::function<void()>;

/// ValueError where the source, called `name`, holds NaN or infinity once converted to T; `first`: what messages call
/// its first row.
template <class T>
void check_finite(const Source& source, const std::string& name, const Poll& poll = [] {}, Index first = 0);

/// ValueError unless a class is below `classes`, or the one whose rows count for nothing; names its row.
void check_class(std::int64_t c, Index classes, std::int64_t ignored, const std::string& name, Index row);
void check_classes(
    const Source& source, Index classes, const std::string& name, std::int64_t ignored, const Poll& poll = [] {});

/// ValueError where a weight is negative or not finite once converted to T, naming its row.
template <class T>
void check_weights(const Source& source, const Poll& poll = [] {});

}  // namespace deltaprop::train
