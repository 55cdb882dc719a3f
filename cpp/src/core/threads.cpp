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

/// The stages of a step follow each other within microseconds: until then a thread that has nothing to do looks again
/// and again. Then it sleeps.
constexpr int kLooks = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

class Pool {
 public:
  /// False where others share.
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
    inside_.store(0, std::memory_order_release);
    call();
    {
      const Limit alone(1);  // within a piece nothing is worth sharing
      take_pieces(0);
    }
    // Nobody comes in any more; whoever is inside is at a last piece.
    for (Index nobody = 0; !inside_.compare_exchange_weak(nobody, kClosed, std::memory_order_acquire); nobody = 0) {
      pause();
    }
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    in_use_.store(false, std::memory_order_release);
    if (failure) std::rethrow_exception(failure);
    return true;
  }

 private:
  static constexpr Index kClosed = -1;

  /// The pieces that a thread takes before it helps others. They are the same ones in each step, so that what they
  /// read and write is in its cache.
  struct alignas(64) Portion {
    std::atomic<Index> next{0};
    Index end = 0;
  };

  void grow(Index helpers) {
    while (static_cast<Index>(portions_.size()) <= helpers) portions_.emplace_back();
    // Signals are for the threads that others have made.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (; helpers_ < helpers; ++helpers_) {
        std::thread([this, own = helpers_ + 1, seen = calls_.load()] { help(own, seen); }).detach();
      }
    } catch (const std::system_error&) {
      // With fewer it takes longer.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void call() {
    calls_.fetch_add(1);
    if (sleepers_.load() == 0) return;
    const std::lock_guard lock(sleep_);
    wake_.notify_all();
  }

  /// Until there is another call than that.
  std::uint64_t wait(std::uint64_t seen) {
    for (int look = 0; look < kLooks; ++look) {
      if (const auto calls = calls_.load(std::memory_order_acquire); calls != seen) return calls;
      pause();
    }
    std::unique_lock lock(sleep_);
    ++sleepers_;
    wake_.wait(lock, [&] { return calls_.load() != seen; });
    --sleepers_;
    return calls_.load();
  }

  [[noreturn]] void help(Index own, std::uint64_t seen) {
    const Limit alone(1);
    while (true) {
      seen = wait(seen);
      Index inside = inside_.load(std::memory_order_acquire);
      while (inside != kClosed && !inside_.compare_exchange_weak(inside, inside + 1, std::memory_order_acq_rel)) {
      }
      if (inside == kClosed) continue;
      if (own < threads_) take_pieces(own);
      inside_.fetch_sub(1, std::memory_order_release);
    }
  }

  void take_pieces(Index thread) {
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
  // The work:
  const Piece* work_ = nullptr;
  Index threads_ = 0;
  std::deque<Portion> portions_;        // of each thread
  std::atomic<Index> inside_{kClosed};  // helpers
  std::mutex failing_;
  std::atomic<Index> failed_piece_{0};
  std::exception_ptr failure_;
  // How helpers hear of it:
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<int> sleepers_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
};

/// Never destroyed: its threads may outlive whatever is. A child process has none of them, and begins anew.
Pool*& pool() {
  static Pool* current = [] {
    pthread_atfork(nullptr, nullptr, [] { pool() = new Pool; });
    return new Pool;
  }();
  return current;
}

/// The whole number of 1 or more that a variable of the environment begins with, as OMP_NUM_THREADS may be a list; 0
/// where it does not.
Index number_in(const char* text) {
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

Index first_count() {
  if (const char* own = std::getenv("DELTAPROP_NUM_THREADS"); own != nullptr && *own != '\0') {
    const Index number = number_in(own);
    if (number > 0 && number <= kMax) return number;
    throw ValueError("DELTAPROP_NUM_THREADS: expected a number from 1 to " + std::to_string(kMax) + ", got '" + own +
                     "'");
  }
  const Index here = std::min(processors(), kMax);
  const char* common = std::getenv("OMP_NUM_THREADS");
  const Index most = common == nullptr ? 0 : number_in(common);
  return most > 0 ? std::min(most, here) : here;
}

std::atomic<Index>& current_count() {
  static std::atomic<Index> current{first_count()};
  return current;
}

thread_local Index limit = 0;
std::atomic<double> operations_worth_it{2e6};

}  // namespace

Index count() { return current_count().load(std::memory_order_relaxed); }

void set_count(Index count) {
  if (count < 1 || count > kMax) {
    throw ValueError("set_num_threads: expected 1 to " + std::to_string(kMax) + ", got " + std::to_string(count));
  }
  current_count().store(count, std::memory_order_relaxed);
}

Limit::Limit(Index most) : before_(std::exchange(limit, most)) {}
Limit::~Limit() { limit = before_; }

Index suggested_threads(double operations) {
  const double threads = operations / operations_worth_it.load(std::memory_order_relaxed);
  if (threads < 2) return 1;
  const Index most = limit > 0 ? limit : count();
  return threads < static_cast<double>(most) ? static_cast<Index>(threads) : most;
}

void set_operations_per_thread(double operations) { operations_worth_it.store(operations, std::memory_order_relaxed); }

void Trial::took(double seconds, double work) {
  if (!trying()) {
    seconds_ += seconds;
    work_ += work;
    if (seconds < kLong || alone_) ++times_;
    return;
  }
  best_ = tries_ == 0 ? seconds / work : std::min(best_, seconds / work);
  if (++tries_ < kTries) return;
  if (best_ < kBetter * seconds_ / work_) alone_ = !alone_;
  due_ = std::min(2 * due_, kLast);
  times_ = tries_ = 0;
  seconds_ = work_ = 0;
}

void parallel_for_pooled(Index pieces, Index threads, const Piece& work) {
  if (pool()->run(pieces, std::min(pieces, threads), work)) return;
  for (Index i = 0; i < pieces; ++i) work(i, 0);
}

}  // namespace deltaprop::threads
