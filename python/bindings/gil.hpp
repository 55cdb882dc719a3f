#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <utility>

/// GIL guards like pybind11's, except that a daemon thread which requests the GIL while the interpreter shuts down
/// blocks forever. Before 3.14, CPython terminates such a thread by unwinding its stack, which aborts in destructors
/// that are noexcept or use Python.
namespace deltaprop::python {

inline void block_if_finalizing() {
#if PY_VERSION_HEX >= 0x030d0000
  const bool finalizing = Py_IsFinalizing() != 0;
#else
  const bool finalizing = _Py_IsFinalizing() != 0;
#endif
  while (finalizing && PyGILState_Check() == 0) pause();
}

/// Releases the GIL for a scope.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() noexcept(false) {
    block_if_finalizing();
    PyEval_RestoreThread(state_);
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

/// Holds the GIL for a scope.
class WithGil {
 public:
  WithGil() {
    block_if_finalizing();
    state_ = PyGILState_Ensure();
  }
  ~WithGil() {
    block_if_finalizing();
    PyGILState_Release(state_);
  }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
};

/// Checks for signals, at most twenty times a second; to be called without the GIL from long-running work. Throws the
/// exception of a signal handler: KeyboardInterrupt for Ctrl-C.
class SignalCheck {
 public:
  void operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    const WithGil gil;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Calls f(args..., **options); the caller holds the GIL.
template <class... Args>
pybind11::object call(const pybind11::object& f, const pybind11::dict& options, Args&&... args) {
  const pybind11::tuple positional = pybind11::make_tuple(std::forward<Args>(args)...);
  PyObject* result = nullptr;
  {
    // The innermost destructor: a thread that is unwound blocks here before it reaches any other.
    struct Guard {
      ~Guard() { block_if_finalizing(); }
    } guard;
    result = PyObject_Call(f.ptr(), positional.ptr(), options.ptr());
  }
  if (result == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::object>(result);
}

}  // namespace deltaprop::python
