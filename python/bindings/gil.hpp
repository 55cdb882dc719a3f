#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <utility>

/// The GIL, as pybind11's guards hold it, but for one thing: a daemon thread that wants it back while the interpreter
/// ends never returns. Before 3.14 CPython ends such a thread by unwinding it, which no destructor survives that
/// touches Python or may not throw.
namespace deltaprop::python {

inline void wait_for_the_end_if_near() {
#if PY_VERSION_HEX >= 0x030d0000
  const bool ending = Py_IsFinalizing() != 0;
#else
  const bool ending = _Py_IsFinalizing() != 0;
#endif
  while (ending && PyGILState_Check() == 0) pause();
}

/// Releases it for a scope.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() noexcept(false) {
    wait_for_the_end_if_near();
    PyEval_RestoreThread(state_);
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

/// Holds it for a scope.
class WithGil {
 public:
  WithGil() {
    wait_for_the_end_if_near();
    state_ = PyGILState_Ensure();
  }
  ~WithGil() {
    wait_for_the_end_if_near();
    PyGILState_Release(state_);
  }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
};

/// Looks at signals, twenty times a second at the most; to be called, without the GIL, from work that takes long.
/// Throws what a handler raises: KeyboardInterrupt for Ctrl-C.
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

/// f(args..., **options), with the GIL held.
template <class... Args>
pybind11::object call(const pybind11::object& f, const pybind11::dict& options, Args&&... args) {
  const pybind11::tuple positional = pybind11::make_tuple(std::forward<Args>(args)...);
  PyObject* result = nullptr;
  {
    // The innermost destructor, so the first one that an ending thread would come to.
    struct Guard {
      ~Guard() { wait_for_the_end_if_near(); }
    } guard;
    result = PyObject_Call(f.ptr(), positional.ptr(), options.ptr());
  }
  if (result == nullptr) throw pybind11::error_already_set();
  return pybind11::reinterpret_steal<pybind11::object>(result);
}

}  // namespace deltaprop::python
