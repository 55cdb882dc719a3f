#pragma once

#include <functional>

namespace deltaprop {

/// Called at safe points of long work; stops it by throwing (Ctrl-C from Python).
using InterruptCheck = std::function<void()>;

}  // namespace deltaprop
