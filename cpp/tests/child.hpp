#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace deltaprop::testing {

/// Whether f returns true in a forked process, so that a crash fails one assertion instead of the whole run.
template <class F>
bool true_in_child(F f) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int s : {SIGFPE, SIGSEGV, SIGABRT}) std::signal(s, SIG_DFL);
    bool result = false;
    try {
      result = f();
    } catch (...) {
    }
    _exit(result ? 0 : 1);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace deltaprop::testing
