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

  /// RuntimeError where another thread holds it.
  void check() const {
    const auto owner = owner_.load();
    if (owner != std::thread::id{} && owner != std::this_thread::get_id()) throw std::runtime_error(message_);
  }

  /// Is there for a scope, beside other visitors; RuntimeError where another thread holds it.
  class Visit {
   public:
    explicit Visit(Busy& busy) : busy_(busy) {
      // First counted, then checked; a claim is first made, then checked: one of two at the same time sees the other.
      ++busy_.visitors_;
      try {
        busy_.check();
      } catch (...) {
        --busy_.visitors_;
        throw;
      }
    }
    ~Visit() { --busy_.visitors_; }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    Busy& busy_;
  };

  /// Holds it for a scope. RuntimeError where anyone visits, where another thread holds it already, and where this one
  /// does, unless `again` says that it may.
  class Claim {
   public:
    explicit Claim(Busy& busy, bool again = false) : busy_(busy) {
      std::thread::id owner{};
      const auto here = std::this_thread::get_id();
      claimed_ = busy_.owner_.compare_exchange_strong(owner, here);
      const bool visited = claimed_ && busy_.visitors_ > 0;
      if (visited) busy_.owner_.store(std::thread::id{});
      if (visited || (!claimed_ && !(again && owner == here))) throw std::runtime_error(busy_.message_);
    }
    ~Claim() {
      if (claimed_) busy_.owner_.store(std::thread::id{});
    }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    Busy& busy_;
    bool claimed_;
  };

 private:
  const char* message_;
  std::atomic<std::thread::id> owner_{};
  std::atomic<int> visitors_{0};
};

}  // namespace deltaprop
