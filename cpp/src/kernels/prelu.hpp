#pragma once

#include "activations.hpp"
#include "deltaprop/kernels/table.hpp"
#include "reductions.hpp"

/// LeakyReLU with learned slopes w, one for all features or one per feature.
namespace deltaprop::kernels {

/// Calls f(element, load, store, w) over all elements.
template <class T, class F>
[[gnu::always_inline]] inline void for_each_slope(const Prelu<T>& p, F&& f) {
  if (p.shared) {
    const auto w = Vector<T>::all(*p.weight);
    for_each_vector<T>(p.rows * p.cols, [&](Index i, auto load, auto store) { f(i, load, store, w); });
    return;
  }
  for (Index first = 0; first < p.rows * p.cols; first += p.cols) {
    for_each_vector<T>(p.cols, [&](Index j, auto load, auto store) { f(first + j, load, store, load(p.weight + j)); });
  }
}

template <class T>
void prelu_forward(const Prelu<T>& p) {
  for_each_slope(
      p, [&](Index i, auto load, auto store, Vector<T> w) { store(p.y + i, LeakyReLU::value(load(p.x + i), &w)); });
}

template <class T>
void prelu_backward(const Prelu<T>& p) {
  for_each_slope(p, [&](Index i, auto load, auto store, Vector<T> w) {
    const auto x = load(p.x + i);
    store(p.dx + i, LeakyReLU::delta(x, x, load(p.dy + i), &w));
  });
}

/// Sums of dy min(x, 0) over rows; for a shared slope, each row is summed over its features first.
template <class T>
void prelu_gradient(const Prelu<T>& p) {
  const auto term = [&](Index i, auto load) {
    const auto x = load(p.x + i);
    return select(Vector<T>::zero() < x, Vector<T>::zero(), load(p.dy + i) * x);
  };
  if (p.shared) {
    *p.gradient = sum_over_rows(p.rows, p.accumulate ? *p.gradient : T(0), [&](T block, Index i) {
      return block + row_sum<T>(p.cols, [&](Index j, Index rest) {
               return term(i * p.cols + j, [&](const T* from) { return Vector<T>::load(from, rest); });
             });
    });
    return;
  }
  for_each_vector<T>(p.cols, [&](Index j, auto load, auto store) {
    const auto before = p.accumulate ? load(p.gradient + j) : Vector<T>::zero();
    store(p.gradient + j,
          sum_over_rows(p.rows, before, [&](auto block, Index i) { return block + term(i * p.cols + j, load); }));
  });
}

}  // namespace deltaprop::kernels
