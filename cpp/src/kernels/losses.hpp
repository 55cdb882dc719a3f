#pragma once

#include "deltaprop/core/math.hpp"
#include "deltaprop/kernels/table.hpp"
#include "functions.hpp"
#include "reductions.hpp"

/// Losses row by row: value and delta side by side.
namespace deltaprop::kernels {

/// l = (a - y)^2, dl/da = 2 (a - y)
template <class T>
void squared_error(const LossRows<T>& l) {
  for (Index i = 0; i < l.rows; ++i) {
    const T* a = l.outputs + i * l.cols;
    const T* y = l.targets + i * l.cols;
    const T weight = l.weights == nullptr ? T(1) : l.weights[i];
    const auto scale = Vector<T>::all(static_cast<T>(2 * l.scale * static_cast<double>(weight)));
    if (l.deltas != nullptr) {
      for_each_vector<T>(l.cols, [&](Index j, auto load, auto store) {
        store(l.deltas + i * l.cols + j, (load(a + j) - load(y + j)) * scale);
      });
    }
    if (l.elements != nullptr) {
      for_each_vector<T>(l.cols, [&](Index j, auto load, auto store) {
        const auto e = load(a + j) - load(y + j);
        store(l.elements + i * l.cols + j, e * e * Vector<T>::all(weight));
      });
    }
    if (l.values != nullptr) {
      double sum = 0;
      for (Index j = 0; j < l.cols; ++j) {
        const double e = static_cast<double>(a[j]) - static_cast<double>(y[j]);
        sum += e * e;
      }
      l.values[i] = sum * static_cast<double>(weight);
    }
  }
}

/// l = log sum_j e^(a_j - m) - (a_t - m), m = max a, so that no exponential overflows;
/// dl/da_j = softmax(a)_j - [j = t]
template <class T>
void cross_entropy(const LossRows<T>& l) {
  for (Index i = 0; i < l.rows; ++i) {
    const T* a = l.outputs + i * l.cols;
    const T weight = l.weights == nullptr ? T(1) : l.weights[i];
    const Index target = static_cast<Index>(l.classes[i]);
    const T largest = row_max(a, l.cols);
    const auto shift = Vector<T>::all(largest);
    T* d = l.deltas == nullptr ? nullptr : l.deltas + i * l.cols;
    const T sum = row_sum<T>(l.cols, [&](Index j, Index rest) {
      const auto e = exp(Vector<T>::load(a + j, rest) - shift);
      if (d != nullptr) e.store(d + j, rest);
      return e;
    });
    if (d != nullptr) {
      const T scale = static_cast<T>(l.scale * static_cast<double>(weight));
      const auto factor = Vector<T>::all(scale);
      const auto inverse = Vector<T>::all(T(1) / sum);
      for_each_vector<T>(l.cols, [&](Index j, auto load, auto store) { store(d + j, load(d + j) * inverse); });
      d[target] -= T(1);
      for_each_vector<T>(l.cols, [&](Index j, auto load, auto store) { store(d + j, load(d + j) * factor); });
    }
    const double value =
        (portable_log(static_cast<double>(sum)) + (static_cast<double>(largest) - static_cast<double>(a[target]))) *
        static_cast<double>(weight);
    if (l.values != nullptr) l.values[i] = value;
    if (l.elements != nullptr) l.elements[i] = static_cast<T>(value);
  }
}

}  // namespace deltaprop::kernels
