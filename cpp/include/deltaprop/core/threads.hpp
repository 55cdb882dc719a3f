#pragma once

#include <algorithm>
#include <functional>

#include "deltaprop/core/types.hpp"

/// A few threads that share numbered pieces of work. What a piece computes depends on its number alone, so results
/// never depend on how many there are.
namespace deltaprop::threads {

/// A larger number is a mistake: each thread is one of the system's, with a stack, and some take down what runs beside.
inline constexpr Index kMax = 1024;

/// How many may work on what one call asks for; at first DELTAPROP_NUM_THREADS, or else as many as the process has
/// processors, OMP_NUM_THREADS at the most.
Index count();
/// ValueError for less than 1 and more than kMax.
void set_count(Index count);

/// The most for calls of this thread, for a scope. 0: as many as there are.
class Limit {
 public:
  explicit Limit(Index most);
  ~Limit();
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  Index before_;
};

/// How many are worth waking for this many multiplications and additions.
Index suggested_threads(double operations);
/// So many operations a thread make it worth it, from now on; for tests.
void set_operations_per_thread(double operations);

/// Whether threads help with work that is done again and again, found by trying: others may want the processors, or
/// their caches lie far apart. What is computed does not depend on it.
class Trial {
 public:
  /// How many to take the next time, of so many that are worth it.
  Index threads(Index worth) const { return alone_ != trying() ? 1 : worth; }
  /// What the last time took, for so much work. Only times with more than one thread to choose from count.
  void took(double seconds, double work);

 private:
  static constexpr Index kFirst = 16, kLast = 256;  // times before the other way is tried
  static constexpr Index kTries = 3;                // the first finds nothing in the cache
  static constexpr double kLong = 5e-3;             // seconds: so much work is always shared
  static constexpr double kBetter = 0.95;

  bool trying() const { return times_ == due_; }

  bool alone_ = false;
  Index due_ = kFirst, times_ = 0, tries_ = 0;
  double seconds_ = 0, work_ = 0;  // of the way taken, since the last trial
  double best_ = 0;                // of the trial, for each unit of work
};

/// A piece of work: its number, and that of the thread, 0 for the one that asked for it.
using Piece = std::function<void(Index piece, Index thread)>;
void parallel_for_pooled(Index pieces, Index threads, const Piece& work);

/// work(piece, thread) for each piece, by so many threads at the most; returns when all are done. Of the exceptions,
/// that of the first piece is thrown, and pieces not begun are left out. While others share, the calling thread works
/// alone.
template <class F>
void parallel_for(Index pieces, Index threads, F&& work) {
  if (threads > 1 && pieces > 1) return parallel_for_pooled(pieces, threads, std::ref(work));
  for (Index i = 0; i < pieces; ++i) work(i, Index{0});
}

}  // namespace deltaprop::threads
