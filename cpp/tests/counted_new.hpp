#pragma once

#include <atomic>

namespace deltaprop::testing {

/// How often the program has called any operator new.
extern std::atomic<long> allocations;

}  // namespace deltaprop::testing
