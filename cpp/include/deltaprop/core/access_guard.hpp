#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>

namespace deltaprop {

/// Numbers of threads, never reused, unlike thread ids; and the generation of processes, as a fork ends all threads but
/// the one that forked.
struct ThreadNumbers {
  static std::uint64_t own() { return own_ != 0 ? own_ : own_ = next(); }
  static bool alive(std::uint64_t thread) { return thread > ended_ || thread == survivor_; }
  /// Forks since the first process.
  static std::uint64_t generation() { return generation_; }
  /// Called in the child of a fork, where only this thread exists.
  static void after_fork();

 private:
  // Defined beside the handler of forks, which the linker would drop from the static library alone.
  static std::uint64_t next();

  static inline constinit thread_local std::uint64_t own_ = 0;
  static inline std::atomic<std::uint64_t> last_{0};
  // Written only while the process has a single thread.
  static inline std::uint64_t ended_ = 0, survivor_ = 0, generation_ = 0;
};

/// Guards a resource for one thread (ExclusiveAccess) or for several readers (SharedAccess). Never blocks: conflicting
/// access fails with RuntimeError. In the child of a fork only exclusive accesses of the thread that forked remain.
class AccessGuard {
 public:
  bool free() const { return current(state_) == none(); }
  /// Whether a thread has exclusive access, and whether this one has.
  bool exclusive() const { return is_exclusive(current(state_)); }
  bool mine() const { return state_ == own(); }
  /// Phase set by the thread with exclusive access.
  int phase() const { return phase_; }
  /// Number of exclusive accesses begun so far.
  std::uint64_t count() const { return count_; }

 private:
  friend class SharedAccess;
  friend class ExclusiveAccess;
  friend class PhaseScope;

  // Exclusive: the highest bit and the thread's number. Otherwise the generation of processes (32 bits) and the number
  // of shared accesses.
  static constexpr std::uint64_t kExclusive = std::uint64_t{1} << 63;
  static bool is_exclusive(std::uint64_t state) { return (state & kExclusive) != 0; }
  static std::uint64_t own() { return kExclusive | ThreadNumbers::own(); }
  static std::uint64_t none() { return ThreadNumbers::generation() << 32; }
  /// The state without the accesses that a fork ended.
  static std::uint64_t current(std::uint64_t state) {
    const bool valid = is_exclusive(state) ? ThreadNumbers::alive(state & ~kExclusive) : state >= none();
    return valid ? state : none();
  }

  std::atomic<std::uint64_t> state_{0};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<int> phase_{0};
};

/// Scoped access that permits other shared accesses and may nest in exclusive access of the same thread.
class SharedAccess {
 public:
  /// RuntimeError(refusal) if another thread has exclusive access.
  SharedAccess(AccessGuard& guard, const char* refusal) {
    if (guard.mine()) return;
    std::uint64_t state = guard.state_, current;
    do {
      current = AccessGuard::current(state);
      if (AccessGuard::is_exclusive(current)) throw std::runtime_error(refusal);
    } while (!guard.state_.compare_exchange_weak(state, current + 1));
    guard_ = &guard;
    generation_ = ThreadNumbers::generation();
  }
  ~SharedAccess() {
    if (guard_ != nullptr && generation_ == ThreadNumbers::generation()) --guard_->state_;
  }
  SharedAccess(const SharedAccess&) = delete;
  SharedAccess& operator=(const SharedAccess&) = delete;

 private:
  AccessGuard* guard_ = nullptr;  // null if nested in exclusive access
  std::uint64_t generation_ = 0;
};

/// Scoped access that permits no other.
class ExclusiveAccess {
 public:
  /// RuntimeError(refusal) if there is any other access. `nested`: it may nest in exclusive access of the same thread.
  ExclusiveAccess(AccessGuard& guard, const char* refusal, bool nested = false) {
    if (nested && guard.mine()) return;
    std::uint64_t state = guard.state_;
    const std::uint64_t own = AccessGuard::own();
    const bool free = AccessGuard::current(state) == AccessGuard::none();
    if (!free || !guard.state_.compare_exchange_strong(state, own)) throw std::runtime_error(refusal);
    ++guard.count_;
    guard.phase_ = 0;
    guard_ = &guard;
    state_ = own;
  }
  ~ExclusiveAccess() {
    // In a child the access of another thread may have ended already, and a new one begun.
    if (guard_ != nullptr) guard_->state_.compare_exchange_strong(state_, AccessGuard::none());
  }
  ExclusiveAccess(const ExclusiveAccess&) = delete;
  ExclusiveAccess& operator=(const ExclusiveAccess&) = delete;

 private:
  AccessGuard* guard_ = nullptr;  // null if nested
  std::uint64_t state_ = 0;
};

/// Scoped change of the phase of this thread's exclusive access.
class PhaseScope {
 public:
  PhaseScope(AccessGuard& guard, int phase) : guard_(guard), before_(guard.phase_.load(std::memory_order_relaxed)) {
    set(phase);
  }
  ~PhaseScope() { set(before_); }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  void set(int phase) { guard_.phase_.store(phase, std::memory_order_relaxed); }

  AccessGuard& guard_;
  int before_;
};

}  // namespace deltaprop
