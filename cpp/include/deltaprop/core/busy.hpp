#pragma once

#include <atomic>
#include <stdexcept>
#include <thread>

namespace deltaprop {

/// Marks something as held by one thread, or as visited by any number. Nobody ever waits: whoever comes second is told
/// so.
class Busy {
 public:
  explicit Busy(const char* message) : message_(message) {}

  /// Whether this thread holds it.
  bool mine() const { return owner_.load() == std::this_thread::get_id(); }
  /// RuntimeError where another thread holds it.
  void check() const {
    if (state_.load() == kHeld && !mine()) throw std::runtime_error(message_);
  }

  /// Is there for a scope, beside other visitors; RuntimeError where another thread holds it.
  class Visit {
   public:
    explicit Visit(Busy& busy) : busy_(busy), counted_(!busy.mine()) {
      int visitors = busy_.state_.load();
      do {
        if (counted_ && visitors == kHeld) throw std::runtime_error(busy_.message_);
      } while (counted_ && !busy_.state_.compare_exchange_weak(visitors, visitors + 1));
    }
    ~Visit() {
      if (counted_) --busy_.state_;
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    Busy& busy_;
    bool counted_;
  };

  /// Holds it for a scope. RuntimeError where anyone visits, where another thread holds it already, and where this one
  /// does, unless `again` says that it may.
  class Claim {
   public:
    explicit Claim(Busy& busy, bool again = false) : busy_(busy), claimed_(!(again && busy.mine())) {
      int nobody = 0;
      if (!claimed_) return;
      if (!busy_.state_.compare_exchange_strong(nobody, kHeld)) throw std::runtime_error(busy_.message_);
      busy_.owner_.store(std::this_thread::get_id());
    }
    ~Claim() {
      if (!claimed_) return;
      busy_.owner_.store(std::thread::id{});
      busy_.state_.store(0);
    }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    Busy& busy_;
    bool claimed_;
  };

 private:
  static constexpr int kHeld = -1;

  const char* message_;
  std::atomic<int> state_{0};  // visitors, or kHeld
  std::atomic<std::thread::id> owner_{};
};

}  // namespace deltaprop
