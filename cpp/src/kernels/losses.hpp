#pragma once

#include <algorithm>
#include <array>
#include <numbers>
#include <type_traits>

#include "deltaprop/kernels/table.hpp"
#include "functions.hpp"
#include "reductions.hpp"

/// Losses: value and delta side by side. First those of single elements, then those of whole rows.
namespace deltaprop::kernels {

/// Inputs of an elementwise loss: an element's output (or two), its target, and its column's weight.
template <class T>
struct Element {
  Vector<T> a, second, y, column;
};

/// Defaults of elementwise losses with one output for each element.
struct OneOutput {
  static constexpr Index outputs = 1;
  static Limits targets(const LossOptions&) { return {}; }
  static Limits bounded_output(const LossOptions&) { return {}; }
};

/// v where x < 0, and so on; NaN goes where x = 0 goes.
template <class T>
Vector<T> by_sign(Vector<T> x, Vector<T> below, Vector<T> at_zero, Vector<T> above) {
  return select(x < Vector<T>::zero(), below, select(Vector<T>::zero() < x, above, at_zero));
}

struct SquaredError : OneOutput {
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions&) {
    return (e.a - e.y) * (e.a - e.y);
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions&) {
    return Vector<T>::all(T(2)) * (e.a - e.y);
  }
};

struct AbsoluteError : OneOutput {
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions&) {
    return abs(e.a - e.y);
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions&) {
    return sign(e.a - e.y);
  }
};

/// (a - y)^2 / (2 beta) within beta of the target, |a - y| - beta / 2 farther off
struct SmoothAbsoluteError : OneOutput {
  enum { kBeta };
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions& o) {
    const auto beta = Vector<T>::all(static_cast<T>(o[kBeta])), half = Vector<T>::all(T(0.5));
    const auto size = abs(e.a - e.y);
    return select(size < beta, half * size * (size / beta), size - half * beta);
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions& o) {
    const auto beta = Vector<T>::all(static_cast<T>(o[kBeta]));
    const auto d = e.a - e.y;
    return select(abs(d) < beta, d / beta, sign(d));
  }
};

/// (a - y)^2 / 2 within delta of the target, delta (|a - y| - delta / 2) farther off
struct Huber : OneOutput {
  enum { kDelta };
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions& o) {
    const auto threshold = Vector<T>::all(static_cast<T>(o[kDelta])), half = Vector<T>::all(T(0.5));
    const auto size = abs(e.a - e.y);
    return select(size < threshold, half * size * size, threshold * (size - half * threshold));
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions& o) {
    const auto threshold = Vector<T>::all(static_cast<T>(o[kDelta]));
    const auto d = e.a - e.y;
    return select(abs(d) < threshold, d, threshold * sign(d));
  }
};

/// max(q (y - a), (q - 1) (y - a)), q the column's quantile
struct Pinball : OneOutput {
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions&) {
    const auto d = e.a - e.y, above = Vector<T>::all(T(1)) - e.column;
    return d * by_sign(d, -e.column, above, above);
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions&) {
    const auto d = e.a - e.y;
    return by_sign(d, -e.column, d, Vector<T>::all(T(1)) - e.column);
  }
};

/// -(y log a + (1 - y) log(1 - a)), neither logarithm below -100
struct BinaryCrossEntropy : OneOutput {
  static Limits targets(const LossOptions&) { return {0, 1}; }
  static Limits bounded_output(const LossOptions&) { return {0, 1}; }
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions&) {
    const auto lowest = Vector<T>::all(T(-100));
    const auto clamped = [&](Vector<T> v) { return select(v < lowest, lowest, v); };
    return -(e.y * clamped(log(e.a)) + (Vector<T>::all(T(1)) - e.y) * clamped(log1p(-e.a)));
  }
  // (a - y) / (a (1 - a)), the denominator at least 1e-12 as PyTorch has it
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions&) {
    return (e.a - e.y) / max(e.a * (Vector<T>::all(T(1)) - e.a), Vector<T>::all(T(1e-12)));
  }
};

/// -(p y log s(a) + (1 - y) log s(-a)), s the sigmoid, p the weight of positive targets: both terms positive, so
/// that they cancel nowhere
struct BinaryCrossEntropyOfLogits : OneOutput {
  static Limits targets(const LossOptions&) { return {0, 1}; }
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions&) {
    return -(e.column * e.y * log_sigmoid(e.a) + (Vector<T>::all(T(1)) - e.y) * log_sigmoid(-e.a));
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions&) {
    return (Vector<T>::all(T(1)) - e.y) * sigmoid(e.a) - e.column * e.y * sigmoid(-e.a);
  }
};

/// a - y log(a + eps), or e^a - y a of the rate's logarithm; "full" adds Stirling's y log y - y + log(2 pi y) / 2
/// for log y! where y > 1
struct Poisson : OneOutput {
  enum { kLogInput, kFull, kEps };
  static Limits bounded_output(const LossOptions& o) { return o[kLogInput] != 0 ? Limits{} : Limits{.lowest = 0}; }
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions& o) {
    const auto eps = Vector<T>::all(static_cast<T>(o[kEps]));
    const auto value = o[kLogInput] != 0 ? exp(e.a) - e.y * e.a : e.a - e.y * log(e.a + eps);
    if (o[kFull] == 0) return value;
    const auto one = Vector<T>::all(T(1)), half = Vector<T>::all(T(0.5));
    const auto y = max(e.y, one);
    const auto stirling = y * log(y) - y + half * log(Vector<T>::all(T(2) * std::numbers::pi_v<T>) * y);
    return select(one < e.y, value + stirling, value);
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions& o) {
    if (o[kLogInput] != 0) return exp(e.a) - e.y;
    return Vector<T>::all(T(1)) - e.y / (e.a + Vector<T>::all(static_cast<T>(o[kEps])));
  }
};

/// (log v + (a - y)^2 / v) / 2, v the variance, at least eps; "full" adds log(2 pi) / 2. As in PyTorch the delta of a
/// variance below eps is the one at eps.
struct Gaussian : OneOutput {
  enum { kFull, kEps };
  static constexpr Index outputs = 2;
  static Limits bounded_output(const LossOptions&) { return {.lowest = 0}; }
  template <class T>
  static Vector<T> variance(const Element<T>& e, const LossOptions& o) {
    const auto eps = Vector<T>::all(static_cast<T>(o[kEps]));
    return select(e.second < eps, eps, e.second);
  }
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions& o) {
    const auto v = variance(e, o), d = e.a - e.y;
    const T constant = o[kFull] != 0 ? T(1.8378770664093453) : T(0);  // log(2 pi)
    return Vector<T>::all(T(0.5)) * (log(v) + d * d / v + Vector<T>::all(constant));
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions& o) {
    return (e.a - e.y) / variance(e, o);
  }
  // dl/dv = (1 - (a - y)^2 / v) / (2 v)
  template <class T>
  static Vector<T> second_delta(const Element<T>& e, const LossOptions& o) {
    const auto v = variance(e, o), d = e.a - e.y;
    return Vector<T>::all(T(0.5)) * (Vector<T>::all(T(1)) - d * d / v) / v;
  }
};

/// y (log y - a), 0 at y = 0, a the logarithm of a probability; or e^y (y - a), y a logarithm too
struct KullbackLeibler : OneOutput {
  enum { kLogTarget };
  static Limits targets(const LossOptions& o) { return o[kLogTarget] != 0 ? Limits{} : Limits{.lowest = 0}; }
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions& o) {
    if (o[kLogTarget] != 0) return exp(e.y) * (e.y - e.a);
    return select(e.y == Vector<T>::zero(), Vector<T>::zero(), e.y * log(e.y)) - e.y * e.a;
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions& o) {
    return -(o[kLogTarget] != 0 ? exp(e.y) : e.y);
  }
};

/// max(0, 1 - y a), y = -1 or 1; its delta is 0 at the kink
struct Hinge : OneOutput {
  static Limits targets(const LossOptions&) { return {.lowest = -1, .highest = 1, .ends_only = true}; }
  template <class T>
  static Vector<T> margin(const Element<T>& e) {
    return Vector<T>::all(T(1)) - e.y * e.a;
  }
  template <class T>
  static Vector<T> value(const Element<T>& e, const LossOptions&) {
    const auto m = margin(e);
    return select(m < Vector<T>::zero(), Vector<T>::zero(), m);
  }
  template <class T>
  static Vector<T> delta(const Element<T>& e, const LossOptions&) {
    return select(margin(e) <= Vector<T>::zero(), Vector<T>::zero(), -e.y);
  }
};

/// The first n numbers, or as many as a vector holds, in float64; the others are 0.
template <class T>
[[gnu::always_inline]] inline Vector<double> in_double(const T* from, Index n) {
  const auto numbers = Vector<T>::load(from, std::min(n, Vector<double>::size));
  if constexpr (std::is_same_v<T, double>) {
    return numbers;
  } else {
    return widen(numbers)[0];
  }
}

template <class T>
double row_weight(const LossRows<T>& l, Index i) {
  return l.weights == nullptr ? 1 : static_cast<double>(l.weights[i]);
}
template <class T>
double column_weight(const LossRows<T>& l, Index j) {
  return l.columns == nullptr ? 1 : static_cast<double>(l.columns[j]);
}

/// Adds to the rows' losses, from row `first` on, those of their elements, in order; as many rows side by side as a
/// vector holds.
template <class T>
void add_rows(const LossRows<T>& l, Index first, Index rows, const double* elements, Index of_row) {
  using V = Vector<double>;
  Index i = 0;
  for (; i + V::size <= rows; i += V::size) {
    const auto weights = l.weights == nullptr ? V::all(1) : in_double(l.weights + first + i, V::size);
    auto sums = V::load(l.values + first + i);
    for (Index j = 0; j < of_row; ++j) sums = sums + V::load_strided(elements + i * of_row + j, of_row) * weights;
    sums.store(l.values + first + i);
  }
  for (; i < rows; ++i) {
    const double weight = row_weight(l, first + i);
    double sum = l.values[first + i];
    for (Index j = 0; j < of_row; ++j) sum += elements[i * of_row + j] * weight;
    l.values[first + i] = sum;
  }
}

/// The driver of all elementwise losses: deltas in T, values by the same formula in float64, added in order.
template <class F, class T>
void elementwise_loss(const LossRows<T>& l) {
  const Index n = l.cols / F::outputs;  // elements in a row
  const auto element = [&](Index i, Index j, auto load) {
    using V = decltype(load(l.outputs));
    const T* a = l.outputs + i * l.cols + j;
    Element e{load(a), load(a + (F::outputs - 1) * n), load(l.targets + i * n + j), V::all(1)};
    if (l.columns != nullptr) e.column = l.cols == 1 ? V::all(l.columns[0]) : load(l.columns + j);
    return e;
  };
  // Where columns are alike, rows are one long row.
  const Index together = F::outputs == 1 && (l.columns == nullptr || l.cols == 1) ? l.rows : 1;

  if (l.deltas != nullptr) {
    const Index rows = l.weights == nullptr ? together : 1;
    for (Index i = 0; i < l.rows; i += rows) {
      const auto factor = Vector<T>::all(static_cast<T>(l.scale * row_weight(l, i)));
      for_each_vector<T>(rows * n, [&](Index j, auto load, auto store) {
        const auto e = element(i, j, load);
        T* d = l.deltas + i * l.cols + j;
        store(d, F::delta(e, l.options) * factor);
        if constexpr (F::outputs == 2) store(d + n, F::second_delta(e, l.options) * factor);
      });
    }
  }

  if (l.values != nullptr) std::fill_n(l.values, l.rows, 0.0);
  if (l.values == nullptr && l.elements == nullptr) return;
  constexpr Index chunk = 256;
  alignas(64) double values[chunk];
  const Index some = std::min(together, std::max<Index>(chunk / std::max<Index>(n, 1), 1));  // rows in a chunk
  for (Index i = 0; i < l.rows; i += some) {
    const Index rows = std::min(some, l.rows - i);
    for (Index first = 0; first < rows * n; first += chunk) {
      const Index count = std::min(chunk, rows * n - first);
      for (Index k = 0; k < count; k += Vector<double>::size) {
        const auto load = [&](const T* from) { return in_double(from, count - k); };
        F::value(element(i, first + k, load), l.options).store(values + k);
      }
      const Index of_row = rows == 1 ? count : n;  // a row alone may go on in the next chunk
      if (l.values != nullptr) add_rows(l, i, rows, values, of_row);
      for (Index k = 0; l.elements != nullptr && k < count; ++k) {
        l.elements[i * n + first + k] = static_cast<T>(values[k] * row_weight(l, i + k / of_row));
      }
    }
  }
}

/// Terms of a row's loss: weight * (times * log(1 + others) + plus). The logarithms of many rows are taken
/// together.
struct RowValue {
  double weight = 0, others = 0, times = 0, plus = 0;
};

/// The driver of all losses of whole rows. `some(first, rows, values)` writes the deltas of a block of
/// rows, and the terms of their losses.
template <class T, class F>
void loss_of_rows(const LossRows<T>& l, F&& some) {
  constexpr Index block = 64, width = Vector<double>::size;
  for (Index first = 0; first < l.rows; first += block) {
    RowValue values[block];
    alignas(64) double logs[block];
    const Index rows = std::min(block, l.rows - first);
    some(first, rows, values);
    for (Index k = 0; k < rows; ++k) logs[k] = values[k].others;
    for (Index k = 0; k < rows; k += width) {
      log1p(Vector<double>::load(logs + k, std::min(width, rows - k))).store(logs + k);
    }
    for (Index k = 0; k < rows; ++k) {
      const double value = (values[k].times * logs[k] + values[k].plus) * values[k].weight;
      if (l.values != nullptr) l.values[first + k] = value;
      if (l.elements != nullptr) l.elements[first + k] = static_cast<T>(value);
    }
  }
}

/// False for a row without a class: its loss and deltas are 0.
template <class T>
bool counts(const LossRows<T>& l, Index i) {
  return l.cols > 0 && (l.classes == nullptr || l.classes[i] >= 0);
}

/// One row after the other. `row(i, d)` writes the delta, but for weights and scale, and gives the value.
template <class T, class F>
void each_row(const LossRows<T>& l, Index first, Index rows, RowValue* values, F&& row) {
  for (Index k = 0; k < rows; ++k) {
    const Index i = first + k;
    T* d = l.deltas == nullptr ? nullptr : l.deltas + i * l.cols;
    if (counts(l, i)) {
      values[k] = row(i, d);
    } else if (d != nullptr) {
      std::fill_n(d, l.cols, T(0));
    }
    values[k].weight *= row_weight(l, i);
    if (d == nullptr) continue;
    const auto factor = Vector<T>::all(static_cast<T>(l.scale * values[k].weight));
    for_each_vector<T>(l.cols, [&](Index j, auto load, auto store) { store(d + j, load(d + j) * factor); });
  }
}

/// l = -w_t a_t, a the logarithms of probabilities
template <class T>
void negative_log_likelihood(const LossRows<T>& l) {
  const auto row = [&](Index i, T* d) {
    const Index t = static_cast<Index>(l.classes[i]);
    if (d != nullptr) {
      std::fill_n(d, l.cols, T(0));
      d[t] = T(-1);
    }
    return RowValue{.weight = column_weight(l, t), .plus = -static_cast<double>(l.outputs[i * l.cols + t])};
  };
  loss_of_rows(l, [&](Index first, Index rows, RowValue* values) { each_row(l, first, rows, values, row); });
}

/// e^(a_j - m), m = max a, so that none overflows, and their sum without the largest: the terms added to 1
/// keep their digits.
template <class T>
struct SoftmaxTerms {
  Index top;
  T largest, others;

  SoftmaxTerms(const T* a, Index n, T* terms) : largest(row_max(a, n)) {
    static constexpr T lanes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const T* found = std::find(a, a + n, largest);
    top = found == a + n ? 0 : found - a;  // NaN is found nowhere
    const auto shift = Vector<T>::all(largest), lane = Vector<T>::load(lanes);
    others = row_sum<T>(n, [&](Index j, Index rest) {
      const auto e = exp(Vector<T>::load(a + j, rest) - shift);
      if (terms != nullptr) e.store(terms + j, rest);
      return select(lane == Vector<T>::all(static_cast<T>(top - j)), Vector<T>::zero(), e);
    });
  }
};

/// l = w_t (log sum_j e^(a_j - m) - (a_t - m)), dl/da_j = w_t (softmax(a)_j - [j = t])
template <class T>
RowValue cross_entropy_of_class(const LossRows<T>& l, Index i, T* d) {
  const T* a = l.outputs + i * l.cols;
  const Index t = static_cast<Index>(l.classes[i]);
  const SoftmaxTerms<T> s(a, l.cols, d);
  if (d != nullptr) {
    const T inverse = T(1) / (T(1) + s.others);
    const auto factor = Vector<T>::all(inverse);
    for_each_vector<T>(l.cols, [&](Index j, auto load, auto store) { store(d + j, load(d + j) * factor); });
    d[t] = t == s.top ? -s.others * inverse : d[t] - T(1);
  }
  return {column_weight(l, t), static_cast<double>(s.others), 1,
          static_cast<double>(s.largest) - static_cast<double>(a[t])};
}

/// The same, weighted and scaled, for a row in each lane: for a few classes a row would leave most of a vector empty,
/// and be added up across its lanes.
inline constexpr Index kFewClasses = 32;
template <class T>
void cross_entropy_in_lanes(const LossRows<T>& l, Index first, Index rows, RowValue* values) {
  using V = Vector<T>;
  constexpr Index chains = 16;  // those of row_sum
  alignas(64) T columns[kFewClasses * V::size];
  rows_to_lanes(l.outputs + first * l.cols, rows, l.cols, columns);
  const auto number = [](Index j) { return V::all(static_cast<T>(j)); };
  const auto column = [&](Index j) { return V::load(columns + j * V::size); };

  auto largest = column(0), top = V::zero();
  for (Index j = 1; j < l.cols; ++j) largest = max(largest, column(j));
  for (Index j = l.cols; j-- > 0;) top = select(column(j) == largest, number(j), top);
  alignas(64) T most[V::size], others[V::size], classes[V::size], factors[V::size];
  largest.store(most);
  V sums[chains];
  unroll<chains>([&](Index k) INLINED { sums[k] = V::zero(); });
  for (Index j = 0; j < l.cols; ++j) {
    const auto e = exp(column(j) - largest);
    e.store(columns + j * V::size);
    sums[j % chains] = sums[j % chains] + select(top == number(j), V::zero(), e);
  }
  for (Index half = chains / 2; half > 0; half /= 2) {
    for (Index k = 0; k < half; ++k) sums[k] = sums[k] + sums[k + half];
  }
  sums[0].store(others);

  for (Index k = 0; k < V::size; ++k) {
    const Index i = first + k;
    const bool counted = k < rows && counts(l, i);
    const Index t = counted ? static_cast<Index>(l.classes[i]) : -1;
    classes[k] = static_cast<T>(t);
    if (counted) {
      values[k] = {column_weight(l, t) * row_weight(l, i), static_cast<double>(others[k]), 1,
                   static_cast<double>(most[k]) - static_cast<double>(l.outputs[i * l.cols + t])};
    }
    factors[k] = static_cast<T>(counted ? l.scale * values[k].weight : 0);
  }
  if (l.deltas == nullptr) return;
  const auto inverse = number(1) / (number(1) + sums[0]), of_top = -sums[0] * inverse;
  const auto t = V::load(classes), factor = V::load(factors);
  for (Index j = 0; j < l.cols; ++j) {
    const auto p = column(j) * inverse;
    const auto d = select(t == number(j), select(top == t, of_top, p - number(1)), p);
    select(t < V::zero(), V::zero(), d * factor).store(columns + j * V::size);
  }
  lanes_to_rows(columns, rows, l.cols, l.deltas + first * l.cols);
}

enum { kWeight, kIgnoreIndex, kLabelSmoothing };  // CrossEntropyLoss's options

/// l = -sum_j q_j log softmax(a)_j, dl/da_j = softmax(a)_j sum_k q_k - q_j, where q_j = w_j (smoothing / cols +
/// (1 - smoothing) y_j), y_j = [j = t] for a class
template <class T>
RowValue cross_entropy_of_probabilities(const LossRows<T>& l, Index i, T* d) {
  const T* a = l.outputs + i * l.cols;
  const double smoothing = l.options[kLabelSmoothing];
  const auto q = [&](Index j) {
    const double y = l.classes == nullptr ? static_cast<double>(l.targets[i * l.cols + j]) : l.classes[i] == j;
    return column_weight(l, j) * (smoothing / static_cast<double>(l.cols) + (1 - smoothing) * y);
  };
  const SoftmaxTerms<T> s(a, l.cols, d);
  double others = 0, linear = 0;
  for (Index j = 0; j < l.cols; ++j) {
    if (j == s.top || q(j) == 0) continue;
    others += q(j);
    linear += q(j) * (static_cast<double>(s.largest) - static_cast<double>(a[j]));
  }
  const double total = others + q(s.top);
  if (d != nullptr) {
    const double sum = 1 + static_cast<double>(s.others);
    for (Index j = 0; j < l.cols; ++j) d[j] = static_cast<T>(total * static_cast<double>(d[j]) / sum - q(j));
    d[s.top] = static_cast<T>((others - q(s.top) * static_cast<double>(s.others)) / sum);
  }
  return {1, static_cast<double>(s.others), total, linear};
}

template <class T>
void cross_entropy(const LossRows<T>& l) {
  const bool shared_out = l.classes == nullptr || l.options[kLabelSmoothing] != 0;
  loss_of_rows(l, [&](Index first, Index rows, RowValue* values) {
    if (shared_out) {
      return each_row(l, first, rows, values, [&](Index i, T* d) { return cross_entropy_of_probabilities(l, i, d); });
    }
    constexpr Index width = Vector<T>::size;
    for (Index k = 0; k < rows; k += width) {
      const Index together = std::min(width, rows - k);
      if (l.cols <= kFewClasses && 4 * together > width) {
        cross_entropy_in_lanes(l, first + k, together, values + k);
      } else {
        each_row(l, first + k, together, values + k, [&](Index i, T* d) { return cross_entropy_of_class(l, i, d); });
      }
    }
  });
}

template <class F, class T>
Loss<T> of_elements(const char* name, OptionList options = {}) {
  return {name, options, false, false, F::outputs, F::targets, F::bounded_output, elementwise_loss<F, T>};
}

template <class T>
Loss<T> of_rows(const char* name, OptionList options, bool classes, void (*run)(const LossRows<T>&)) {
  const auto any = [](const LossOptions&) { return Limits{}; };
  const auto positive = [](const LossOptions&) { return Limits{.lowest = 0}; };
  if (classes) return {name, options, true, true, 1, any, any, run};
  return {name, options, false, true, 1, positive, any, run};
}

/// The options that several losses have.
inline constexpr Option kClassWeight{"weight", 0, &domains::at_least_zero, OptionKind::classes};
inline constexpr Option kIgnoredClass{"ignore_index", -100, &domains::finite, OptionKind::label};
inline constexpr Option loss_flag(const char* name, bool fallback = false) {
  return {name, fallback ? 1.0 : 0.0, &domains::flag, OptionKind::flag};
}
inline constexpr OptionList kCrossEntropyOptions{
    kClassWeight, kIgnoredClass, {"label_smoothing", 0, &domains::up_to_one}};

/// Every loss of the library, by its public name, with its options: a line here makes it known to all the rest.
template <class T>
const auto& losses() {
  static const std::array list{
      of_elements<SquaredError, T>("MSELoss"),
      of_elements<AbsoluteError, T>("L1Loss"),
      of_elements<SmoothAbsoluteError, T>("SmoothL1Loss", {{"beta", 1, &domains::at_least_zero}}),
      of_elements<Huber, T>("HuberLoss", {{"delta", 1, &domains::above_zero}}),
      of_elements<Pinball, T>("QuantileLoss", {{"quantiles", 0, &domains::inside_one, OptionKind::outputs}}),
      of_elements<BinaryCrossEntropy, T>("BCELoss"),
      of_elements<BinaryCrossEntropyOfLogits, T>("BCEWithLogitsLoss",
                                                 {{"pos_weight", 0, &domains::at_least_zero, OptionKind::columns}}),
      of_elements<Poisson, T>(
          "PoissonNLLLoss", {loss_flag("log_input", true), loss_flag("full"), {"eps", 1e-8, &domains::at_least_zero}}),
      of_elements<Gaussian, T>("GaussianNLLLoss", {loss_flag("full"), {"eps", 1e-6, &domains::above_zero}}),
      of_elements<KullbackLeibler, T>("KLDivLoss", {loss_flag("log_target")}),
      of_elements<Hinge, T>("HingeLoss"),
      of_rows<T>("NLLLoss", {kClassWeight, kIgnoredClass}, true, negative_log_likelihood<T>),
      of_rows<T>("CrossEntropyLoss", kCrossEntropyOptions, true, cross_entropy<T>),
      of_rows<T>("CrossEntropyLoss of probabilities", kCrossEntropyOptions, false, cross_entropy<T>),
  };
  return list;
}

}  // namespace deltaprop::kernels
