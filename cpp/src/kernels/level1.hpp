#pragma once

#include <cmath>

#include "deltaprop/core/types.hpp"

/// Vector operations, as of level 1 of the BLAS.
namespace deltaprop::kernels {

template <class T>
void add(const T* a, const T* b, T* c, Index n) {
  for (Index i = 0; i < n; ++i) c[i] = a[i] + b[i];
}

template <class T>
double norm(const T* a, Index n) {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  return std::sqrt(sum);
}

}  // namespace deltaprop::kernels
