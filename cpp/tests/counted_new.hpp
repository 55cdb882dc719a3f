#pragma once

#include <atomic>

namespace deltaprop::testing {

/// Number of calls of any operator new.
extern std::atomic<long> allocations;

}  // namespace deltaprop::testing
