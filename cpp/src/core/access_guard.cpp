#include "deltaprop/core/access_guard.hpp"

#include <pthread.h>

namespace deltaprop {

std::uint64_t ThreadNumbers::next() { return ++last_; }

void ThreadNumbers::after_fork() {
  survivor_ = own();
  ended_ = last_;
  ++generation_;
}

namespace {

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, ThreadNumbers::after_fork);

}  // namespace

}  // namespace deltaprop
