#pragma once

#include <cmath>

#include "deltaprop/kernels/table.hpp"
#include "reductions.hpp"

/// Normalisation over rows and over columns: formula and derivative side by side.
namespace deltaprop::kernels {

/// y = xhat weight + bias with xhat = (x - m) r, r = 1 / sqrt(mean((x - m)^2) + epsilon) over each row; m is its mean
/// (Ba, Kiros and Hinton, "Layer normalization", 2016, equations 3 and 4) or 0 (Zhang and Sennrich, "Root mean square
/// layer normalization", 2019, equation 4).
template <bool centred, class T>
void row_norm(const RowNorm<T>& s) {
  const T count = static_cast<T>(s.cols);
  for (Index i = 0; i < s.rows; ++i) {
    const T* x = s.x + i * s.cols;
    T mean = 0;
    if constexpr (centred) {
      mean = row_sum<T>(s.cols, [&](Index j, Index rest) { return Vector<T>::load(x + j, rest); }) / count;
    }
    const auto shift = Vector<T>::all(mean);
    const T squares = row_sum<T>(s.cols, [&](Index j, Index rest) {
      const auto d = Vector<T>::load(x + j, rest) - shift;
      return d * d;
    });
    const T inverse = T(1) / std::sqrt(squares / count + s.epsilon);
    const auto factor = Vector<T>::all(inverse);
    for_each_vector<T>(s.cols, [&](Index j, auto load, auto store) {
      const auto normal = (load(x + j) - shift) * factor;
      if (s.normal != nullptr) store(s.normal + i * s.cols + j, normal);
      auto y = normal;
      if (s.weight != nullptr) y = y * load(s.weight + j);
      if (s.bias != nullptr) y = y + load(s.bias + j);
      store(s.y + i * s.cols + j, y);
    });
    if (s.inverse_deviation != nullptr) s.inverse_deviation[i] = inverse;
  }
}

/// dx = r (g - mean(g) - xhat mean(g xhat)), g = dy weight; without mean(g) if the row was not centred.
template <bool centred, class T>
void row_norm_delta(const RowNormDelta<T>& s) {
  const T count = static_cast<T>(s.cols);
  const auto g = [&](const T* dy, Index j, auto load) {
    return s.weight == nullptr ? load(dy + j) : load(dy + j) * load(s.weight + j);
  };
  for (Index i = 0; i < s.rows; ++i) {
    const T* dy = s.delta_y + i * s.cols;
    const T* normal = s.normal + i * s.cols;
    const auto mean_of = [&](auto f) {
      return Vector<T>::all(row_sum<T>(s.cols,
                                       [&](Index j, Index rest) {
                                         return f(j, [rest](const T* from) { return Vector<T>::load(from, rest); });
                                       }) /
                            count);
    };
    auto mean = Vector<T>::zero();
    if constexpr (centred) mean = mean_of([&](Index j, auto load) { return g(dy, j, load); });
    const auto along = mean_of([&](Index j, auto load) { return g(dy, j, load) * load(normal + j); });
    const auto factor = Vector<T>::all(s.inverse_deviation[i]);
    for_each_vector<T>(s.cols, [&](Index j, auto load, auto store) {
      store(s.delta_x + i * s.cols + j, factor * fma(-along, load(normal + j), g(dy, j, load) - mean));
    });
  }
}

/// mean = sum x / n, variance = sum (x - mean)^2 / n
template <class T>
void column_moments(const ColumnMoments<T>& s) {
  const auto count = Vector<T>::all(static_cast<T>(s.rows));
  for_each_vector<T>(s.cols, [&](Index j, auto load, auto store) {
    const auto mean_of = [&](auto add) { return sum_over_rows(s.rows, Vector<T>::zero(), add) / count; };
    const auto x = [&](Index i) { return load(s.x + i * s.cols + j); };
    const auto mean = mean_of([&](auto block, Index i) { return block + x(i); });
    const auto variance = mean_of([&](auto block, Index i) {
      const auto d = x(i) - mean;
      return fma(d, d, block);
    });
    store(s.mean + j, mean);
    store(s.variance + j, variance);
  });
}

/// y = xhat weight + bias, xhat = (x - mean) r: Ioffe and Szegedy, "Batch normalization" (2015), algorithm 1.
template <class T>
void column_norm(const ColumnNorm<T>& s) {
  for (Index i = 0; i < s.rows; ++i) {
    const Index row = i * s.cols;
    for_each_vector<T>(s.cols, [&](Index j, auto load, auto store) {
      const auto normal = (load(s.x + row + j) - load(s.mean + j)) * load(s.inverse_deviation + j);
      if (s.normal != nullptr) store(s.normal + row + j, normal);
      auto y = normal;
      if (s.weight != nullptr) y = y * load(s.weight + j);
      if (s.bias != nullptr) y = y + load(s.bias + j);
      store(s.y + row + j, y);
    });
  }
}

/// dx = weight r (dy - (sum dy + xhat sum(dy xhat)) / n), sums over the batch; weight r dy with running moments, which
/// do not depend on x.
template <class T>
void column_norm_delta(const ColumnNormDelta<T>& s) {
  const auto share = Vector<T>::all(T(1) / static_cast<T>(s.batch));
  for (Index i = 0; i < s.rows; ++i) {
    const Index row = i * s.cols;
    for_each_vector<T>(s.cols, [&](Index j, auto load, auto store) {
      auto d = load(s.delta_y + row + j);
      if (s.delta_sums != nullptr) {
        const auto along = load(s.product_sums + j) * load(s.normal + row + j);
        d = fma(-share, load(s.delta_sums + j) + along, d);
      }
      d = d * load(s.inverse_deviation + j);
      if (s.weight != nullptr) d = d * load(s.weight + j);
      store(s.delta_x + row + j, d);
    });
  }
}

template <class T>
void inverse_deviation(const InverseDeviation<T>& s) {
  for_each_vector<T>(s.n, [&](Index i, auto load, auto store) {
    const auto deviation = sqrt(load(s.variance + i) + Vector<T>::all(s.epsilon));
    store(s.inverse_deviation + i, Vector<T>::all(T(1)) / deviation);
  });
}

template <class T>
void blend(const Axpby<T>& s) {
  const auto keep = Vector<T>::all(s.keep), take = Vector<T>::all(s.take);
  for_each_vector<T>(s.n, [&](Index i, auto load, auto store) {
    store(s.values + i, fma(take, load(s.fresh + i), keep * load(s.values + i)));
  });
}

}  // namespace deltaprop::kernels
