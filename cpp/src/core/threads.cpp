#include "deltaprop/core/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::threads {
namespace {

/// Polls of an idle thread before it sleeps: the stages of a training step follow each other within microseconds.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

class Pool {
 public:
  /// False if another call occupies the pool.
  bool run(Index pieces, Index threads, const Piece& work) {
    if (in_use_.exchange(true, std::memory_order_acquire)) return false;
    grow(threads - 1);
    work_ = &work;
    failed_piece_ = pieces;
    threads_ = threads;
    for (Index t = 0; t < threads; ++t) {
      Portion& portion = portions_[static_cast<std::size_t>(t)];
      portion.next.store(t * pieces / threads, std::memory_order_relaxed);
      portion.end = (t + 1) * pieces / threads;
    }
    active_helpers_.store(0, std::memory_order_release);
    wake_helpers();
    {
      const Limit serial(1);  // no nested parallelism
      run_pieces(0);
    }
    // Once no helper is active, later ones find the job closed.
    for (Index none = 0; !active_helpers_.compare_exchange_weak(none, kClosed, std::memory_order_acquire); none = 0) {
      pause();
    }
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    in_use_.store(false, std::memory_order_release);
    if (failure) std::rethrow_exception(failure);
    return true;
  }

 private:
  static constexpr Index kClosed = -1;

  /// The pieces that a thread runs before it steals from other threads. They are the same in each step, so their data
  /// stays in that thread's cache.
  struct alignas(64) Portion {
    std::atomic<Index> next{0};
    Index end = 0;
  };

  void grow(Index helpers) {
    while (static_cast<Index>(portions_.size()) <= helpers) portions_.emplace_back();
    // Helpers block all signals: the application's own threads handle them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (; helpers_ < helpers; ++helpers_) {
        std::thread([this, own = helpers_ + 1, seen = generation_.load()] { helper_loop(own, seen); }).detach();
      }
    } catch (const std::system_error&) {
      // Fewer helpers are slower, but give the same result.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void wake_helpers() {
    generation_.fetch_add(1);
    if (sleepers_.load() == 0) return;
    const std::lock_guard lock(sleep_);
    wake_.notify_all();
  }

  /// Returns the generation once it differs from `seen`.
  std::uint64_t wait_for_job(std::uint64_t seen) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (const auto now = generation_.load(std::memory_order_acquire); now != seen) return now;
      pause();
    }
    std::unique_lock lock(sleep_);
    ++sleepers_;
    wake_.wait(lock, [&] { return generation_.load() != seen; });
    --sleepers_;
    return generation_.load();
  }

  [[noreturn]] void helper_loop(Index own, std::uint64_t seen) {
    const Limit serial(1);
    while (true) {
      seen = wait_for_job(seen);
      Index active = active_helpers_.load(std::memory_order_acquire);
      while (active != kClosed &&
             !active_helpers_.compare_exchange_weak(active, active + 1, std::memory_order_acq_rel)) {
      }
      if (active == kClosed) continue;
      if (own < threads_) run_pieces(own);
      active_helpers_.fetch_sub(1, std::memory_order_release);
    }
  }

  void run_pieces(Index thread) {
    for (Index t = 0; t < threads_; ++t) {
      Portion& portion = portions_[static_cast<std::size_t>((thread + t) % threads_)];
      for (Index i = 0; (i = portion.next.fetch_add(1, std::memory_order_relaxed)) < portion.end;) {
        if (i < failed_piece_.load(std::memory_order_relaxed)) run_piece(i, thread);
      }
    }
  }

  void run_piece(Index i, Index thread) {
    try {
      (*work_)(i, thread);
    } catch (...) {
      const std::lock_guard lock(failing_);
      if (i >= failed_piece_) return;
      failure_ = std::current_exception();
      failed_piece_ = i;
    }
  }

  std::atomic<bool> in_use_{false};
  Index helpers_ = 0;
  // The current job:
  const Piece* work_ = nullptr;
  Index threads_ = 0;
  std::deque<Portion> portions_;                // by thread
  std::atomic<Index> active_helpers_{kClosed};  // kClosed between jobs
  std::mutex failing_;
  std::atomic<Index> failed_piece_{0};
  std::exception_ptr failure_;
  // Wake-up of the helpers:
  std::atomic<std::uint64_t> generation_{0};  // number of jobs so far
  std::atomic<int> sleepers_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
};

/// Never destroyed, as its threads may outlive static objects. A forked child has no threads and gets a new pool.
Pool*& pool() {
  static Pool* current = [] {
    pthread_atfork(nullptr, nullptr, [] { pool() = new Pool; });
    return new Pool;
  }();
  return current;
}

/// The positive integer at the start of `text` (OMP_NUM_THREADS may be a list), or 0.
Index leading_number(const char* text) {
  char* end = nullptr;
  const long long number = std::strtoll(text, &end, 10);
  return end != text && number > 0 ? static_cast<Index>(number) : 0;
}

Index processors() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(CPU_COUNT(&set), 1);
#endif
  return std::max<Index>(std::thread::hardware_concurrency(), 1);
}

Index initial_count() {
  if (const char* own = std::getenv("DELTAPROP_NUM_THREADS"); own != nullptr && *own != '\0') {
    const Index number = leading_number(own);
    if (number > 0 && number <= kMax) return number;
    throw ValueError("DELTAPROP_NUM_THREADS: expected a number from 1 to " + std::to_string(kMax) + ", got '" + own +
                     "'");
  }
  const Index available = std::min(processors(), kMax);
  const char* openmp = std::getenv("OMP_NUM_THREADS");
  const Index cap = openmp == nullptr ? 0 : leading_number(openmp);
  return cap > 0 ? std::min(cap, available) : available;
}

std::atomic<Index>& current_count() {
  static std::atomic<Index> current{initial_count()};
  return current;
}

thread_local Index limit = 0;
std::atomic<double> operations_per_thread{2e6};

}  // namespace

Index count() { return current_count().load(std::memory_order_relaxed); }

void set_count(Index count) {
  if (count < 1 || count > kMax) {
    throw ValueError("set_num_threads: expected 1 to " + std::to_string(kMax) + ", got " + std::to_string(count));
  }
  current_count().store(count, std::memory_order_relaxed);
}

Limit::Limit(Index max_threads) : previous_(std::exchange(limit, max_threads)) {}
Limit::~Limit() { limit = previous_; }

Index suggested_threads(double operations) {
  const double threads = operations / operations_per_thread.load(std::memory_order_relaxed);
  if (threads < 2) return 1;
  const Index max_threads = limit > 0 ? limit : count();
  return threads < static_cast<double>(max_threads) ? static_cast<Index>(threads) : max_threads;
}

void set_operations_per_thread(double operations) {
  operations_per_thread.store(operations, std::memory_order_relaxed);
}

void Trial::took(double seconds, double work) {
  if (!trying()) {
    seconds_ += seconds;
    work_ += work;
    if (seconds < kLong || serial_) ++runs_;
    return;
  }
  best_ = tries_ == 0 ? seconds / work : std::min(best_, seconds / work);
  if (++tries_ < kTries) return;
  if (best_ < kBetter * seconds_ / work_) serial_ = !serial_;
  interval_ = std::min(2 * interval_, kMaxInterval);
  runs_ = tries_ = 0;
  seconds_ = work_ = 0;
}

void parallel_for_pooled(Index pieces, Index threads, const Piece& work) {
  if (pool()->run(pieces, std::min(pieces, threads), work)) return;
  for (Index i = 0; i < pieces; ++i) work(i, 0);
}

}  // namespace deltaprop::threads
