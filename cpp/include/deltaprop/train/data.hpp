#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/source.hpp"

namespace deltaprop::train {

/// What a network learns from, or is judged by. Sources are read in place, row by row.
struct Data {
  Source x;
  Source y;
  std::optional<Source> weights;  // (rows, 1)
  /// Look for NaN and infinity as rows are gathered: for files mapped into memory, which are not read whole first.
  bool check_x_rows = false, check_y_rows = false;
};

/// Rows converted at once where a whole set is looked through.
inline Index chunk_rows(Index cols) { return std::clamp<Index>((Index{1} << 20) / std::max<Index>(cols, 1), 1, 4096); }

/// Called once a chunk of rows; may throw.
using Poll = std::function<void()>;

/// Calls f(converted rows, number of the first) for chunks of the source.
template <class T, class F>
void for_each_chunk(const Source& source, const Poll& poll, F&& f) {
  const Index chunk = std::min(chunk_rows(source.cols), source.rows);
  const Buffer<T> rows(checked_size(chunk, source.cols));
  for (Index first = 0; first < source.rows; first += chunk) {
    poll();
    const Matrix<T> part{rows.data(), std::min(chunk, source.rows - first), source.cols};
    gather<T>(source, nullptr, first, part);
    f(part, first);
  }
}

/// ValueError where the source, called `name`, holds NaN or infinity once converted to T.
template <class T>
void check_finite(const Source& source, const std::string& name, const Poll& poll = [] {});

/// ValueError unless a class is below `classes`, or the one whose rows count for nothing; names its row.
void check_class(std::int64_t c, Index classes, std::int64_t ignored, const std::string& name, Index row);
void check_classes(
    const Source& source, Index classes, const std::string& name, std::int64_t ignored, const Poll& poll = [] {});

/// ValueError where a weight is negative or not finite once converted to T, naming its row.
template <class T>
void check_weights(const Source& source, const Poll& poll = [] {});

}  // namespace deltaprop::train
