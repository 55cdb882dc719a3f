#pragma once

#include <algorithm>
#include <functional>

#include "deltaprop/core/types.hpp"

/// A thread pool that runs numbered pieces of work. What a piece computes depends on its number alone, so results do
/// not depend on the number of threads.
namespace deltaprop::threads {

/// Upper bound of set_count(): each thread is an operating system thread with its own stack, so a larger number is a
/// mistake.
inline constexpr Index kMax = 1024;

/// Maximum number of threads for one call. Initially DELTAPROP_NUM_THREADS, else the number of processors in the
/// affinity mask of the process, capped by OMP_NUM_THREADS.
Index count();
/// ValueError for less than 1 and more than kMax.
void set_count(Index count);

/// Caps the number of threads for calls from this thread within a scope; 0 lifts the cap.
class Limit {
 public:
  explicit Limit(Index max_threads);
  ~Limit();
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  Index previous_;
};

/// Number of threads for a job of this many multiplications and additions.
Index suggested_threads(double operations);
/// Sets the minimum number of operations per thread for parallel execution to pay off; for tests.
void set_operations_per_thread(double operations);

/// Chooses between one thread and several for repeated work by measuring both: several are slower where other
/// processes occupy the processors or where their caches are far apart. Affects speed only, never results.
class Trial {
 public:
  /// Threads for the next run, given the suggested number.
  Index threads(Index suggested) const { return serial_ != trying() ? 1 : suggested; }
  /// Records the time of the last run. To be called only where more than one thread was suggested.
  void took(double seconds, double work);

 private:
  static constexpr Index kFirstInterval = 16, kMaxInterval = 256;  // runs between trials of the other mode
  static constexpr Index kTries = 3;                               // the first one has a cold cache
  static constexpr double kLong = 5e-3;  // seconds; a parallel run that takes longer is not compared with a serial one
  static constexpr double kBetter = 0.95;

  bool trying() const { return runs_ == interval_; }

  bool serial_ = false;
  Index interval_ = kFirstInterval, runs_ = 0, tries_ = 0;
  double seconds_ = 0, work_ = 0;  // of the current mode since the last trial
  double best_ = 0;                // seconds per unit of work in the trial
};

/// A piece of work: its number, and the number of the thread that runs it, 0 for the calling thread.
using Piece = std::function<void(Index piece, Index thread)>;
void parallel_for_pooled(Index pieces, Index threads, const Piece& work);

/// Calls work(piece, thread) for each piece on at most `threads` threads and returns when all are done. Rethrows the
/// exception of the lowest-numbered piece that failed; pieces not yet started are skipped. If another call occupies
/// the pool, the calling thread runs all pieces itself.
template <class F>
void parallel_for(Index pieces, Index threads, F&& work) {
  if (threads > 1 && pieces > 1) return parallel_for_pooled(pieces, threads, std::ref(work));
  for (Index i = 0; i < pieces; ++i) work(i, Index{0});
}

}  // namespace deltaprop::threads
