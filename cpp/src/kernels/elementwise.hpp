#pragma once

#include <array>

#include "deltaprop/kernels/table.hpp"
#include "functions.hpp"

/// Activations: a formula y = f(x) and its derivative, side by side.
namespace deltaprop::kernels {

struct Identity {
  template <class T>
  static Vector<T> value(Vector<T> x) {
    return x;
  }
  template <class T>
  static Vector<T> delta(Vector<T>, Vector<T>, Vector<T> dy) {
    return dy;
  }
};

struct Sigmoid {
  template <class T>
  static Vector<T> value(Vector<T> x) {
    return sigmoid(x);
  }
  // f' = y (1 - y)
  template <class T>
  static Vector<T> delta(Vector<T>, Vector<T> y, Vector<T> dy) {
    return dy * (y * (Vector<T>::all(T(1)) - y));
  }
};

struct Tanh {
  template <class T>
  static Vector<T> value(Vector<T> x) {
    return tanh(x);
  }
  // f' = 1 - y^2 = (1 - y) (1 + y)
  template <class T>
  static Vector<T> delta(Vector<T>, Vector<T> y, Vector<T> dy) {
    const auto one = Vector<T>::all(T(1));
    return dy * ((one - y) * (one + y));
  }
};

struct ReLU {
  // NaN is not below 0 and passes.
  template <class T>
  static Vector<T> value(Vector<T> x) {
    return select(x < Vector<T>::zero(), Vector<T>::zero(), x);
  }
  // f'(0) = 0, and NaN passes here too, as PyTorch has it
  template <class T>
  static Vector<T> delta(Vector<T> x, Vector<T>, Vector<T> dy) {
    return select(x <= Vector<T>::zero(), Vector<T>::zero(), dy);
  }
};

template <class F, class T>
Activation<T> activation(const char* name) {
  return {.name = name,
          .forward =
              [](const T* x, T* y, Index n) {
                for_each_vector<T>(n, [&](Index i, auto load, auto store) { store(y + i, F::value(load(x + i))); });
              },
          .backward =
              [](const T* x, const T* y, const T* dy, T* dx, Index n) {
                for_each_vector<T>(n, [&](Index i, auto load, auto store) {
                  store(dx + i, F::delta(load(x + i), load(y + i), load(dy + i)));
                });
              }};
}

/// Every activation of the library, by its public name: a line here makes it known to all the rest.
template <class T>
const std::array<Activation<T>, 4>& activations() {
  static const std::array<Activation<T>, 4> list{{
      activation<Identity, T>("Identity"),
      activation<Sigmoid, T>("Sigmoid"),
      activation<Tanh, T>("Tanh"),
      activation<ReLU, T>("ReLU"),
  }};
  return list;
}

}  // namespace deltaprop::kernels
