#pragma once

#include <span>

namespace deltaprop::train {

/// How partial sums over the rows of a batch become those of the whole batch where several processes hold a part of
/// its rows each. Every process calls the same functions in the same order; each sum is formed in the order of the
/// parts, so that its bits do not depend on which process asks.
template <class T>
class Reduction {
 public:
  virtual ~Reduction() = default;
  /// Replaces this process's partial sums by the totals.
  virtual void sum_values(std::span<double> partial) = 0;
  virtual void sum_gradient(std::span<T> partial) = 0;
};

}  // namespace deltaprop::train
