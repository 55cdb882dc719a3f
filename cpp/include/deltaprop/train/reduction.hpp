#pragma once

#include <span>

namespace deltaprop::train {

/// Sums over a batch whose rows are divided among processes. Every process calls the same functions in the same order;
/// partial sums are added in the order of the processes, so that all get the same bits.
template <class T>
class Reduction {
 public:
  virtual ~Reduction() = default;
  /// Replaces this process's partial sums by the totals.
  virtual void sum_values(std::span<double> partial) = 0;
  virtual void sum_gradient(std::span<T> partial) = 0;
};

}  // namespace deltaprop::train
