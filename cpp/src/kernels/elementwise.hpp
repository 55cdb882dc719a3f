#pragma once

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "deltaprop/kernels/formulas.hpp"
#include "deltaprop/kernels/table.hpp"
#include "functions.hpp"
#include "reductions.hpp"

/// The elementwise formulas of computational graphs, over arrays and over scalars.
namespace deltaprop::formulas {

template <class T>
struct Number<kernels::Vector<T>> {
  static kernels::Vector<T> of(double v) { return kernels::Vector<T>::all(static_cast<T>(v)); }
};

}  // namespace deltaprop::formulas

namespace deltaprop::kernels {

/// The inputs of a formula, each read as an array: a scalar is copied into a vector that every index refers to. The
/// copy is a local object, so the compiler knows that stores to the output do not alias it.
template <class F, class T>
class Operands {
 public:
  template <class Call>
  explicit Operands(const Call& c) {
    unroll<F::inputs>([&](Index k) INLINED {
      x_[k] = c.x[k];
      mask_[k] = ~Index{0};
      if (!c.is_scalar[k]) return;
      std::fill_n(copies_[k], Vector<T>::size, *c.x[k]);
      x_[k] = copies_[k];
      mask_[k] = 0;
    });
  }
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  /// The inputs at elements i, i + 1, ...
  template <class Load>
  [[gnu::always_inline]] std::array<Vector<T>, F::inputs> at(Index i, Load&& load) const {
    std::array<Vector<T>, F::inputs> x;
    unroll<F::inputs>([&](Index k) INLINED { x[k] = load(x_[k] + (i & mask_[k])); });
    return x;
  }

 private:
  const T* x_[F::inputs];
  Index mask_[F::inputs];
  alignas(64) T copies_[F::inputs][Vector<T>::size];
};

template <class T>
double total(const T* a, Index n) {
  return long_sum<T>(n, [&](Index i, auto load) { return load(a + i); });
}

template <class F, class T>
void formula_forward(const FormulaForward<T>& c) {
  const Operands<F, T> inputs(c);
  T* const y = c.y;
  for_each_vector_streamed<T, F::expensive>(c.n, c.streamed && can_stream(y, c.n), [&](Index i, auto load, auto store) {
    store(y + i, F::value(inputs.at(i, load).data()));
  });
}

template <class F, int input, class T>
void formula_backward_for(const FormulaBackward<T>& c) {
  const Operands<F, T> inputs(c);
  const T *const y = c.y, *const delta = c.delta;
  const auto share = [&](Index i, auto load) {
    return F::template delta<input>(inputs.at(i, load).data(), load(y + i), load(delta + i));
  };
  T* const gradient = c.gradient;
  const bool streamed = c.streamed && !c.is_scalar[input] && can_stream(gradient, c.n);
  if constexpr (F::expensive_delta) {
    // Compiled once for all uses, of which a sum reads the shares from memory.
    const auto write = [&](Index first, Index n, T* to, bool accumulate) {
      for_each_vector_streamed<T, true>(n, streamed && !accumulate, [&](Index i, auto load, auto store) {
        auto g = share(first + i, load);
        if (accumulate) g = load(to + i) + g;
        store(to + i, g);
      });
    };
    if (!c.is_scalar[input]) return write(0, c.n, gradient, c.accumulate);
    alignas(64) T shares[kSumRun];
    double sum = 0;
    for (Index first = 0; first < c.n; first += kSumRun) {
      const Index n = std::min(kSumRun, c.n - first);
      write(first, n, shares, false);
      sum += total(shares, n);
    }
    *gradient += static_cast<T>(sum);
  } else if (c.is_scalar[input]) {
    *gradient += static_cast<T>(long_sum<T>(c.n, share));
  } else if (c.accumulate) {
    for_each_vector<T>(
        c.n, [&](Index i, auto load, auto store) { store(gradient + i, load(gradient + i) + share(i, load)); });
  } else {
    for_each_vector_streamed<T, false>(c.n, streamed,
                                       [&](Index i, auto load, auto store) { store(gradient + i, share(i, load)); });
  }
}

template <class F, class T>
void formula_backward(const FormulaBackward<T>& c) {
  unroll<F::inputs>([&](auto k) {
    if constexpr (F::differentiable[k]) {
      if (c.input == k) formula_backward_for<F, k>(c);
    }
  });
}

template <class T>
T& as(std::byte* bytes) {
  return *reinterpret_cast<T*>(bytes);
}
template <class F, class T>
[[gnu::always_inline]] inline std::array<Vector<T>, F::inputs> inputs_of(const ScalarStep& s) {
  std::array<Vector<T>, F::inputs> x;
  unroll<F::inputs>([&](Index k) INLINED { x[k] = Vector<T>::all(as<T>(s.x[k]->value)); });
  return x;
}

template <class F, class T>
void scalar_forward(const ScalarStep& s) {
  as<T>(s.y->value) = first_lane(F::value(inputs_of<F, T>(s).data()));
}

template <class F, class T>
void scalar_backward(const ScalarStep& s) {
  const auto x = inputs_of<F, T>(s);
  const auto y = Vector<T>::all(as<T>(s.y->value));
  const auto d = Vector<T>::all(as<T>(s.y->delta));
  unroll<F::inputs>([&](auto k) {
    if constexpr (F::differentiable[k]) {
      if (s.active[k]) as<T>(s.x[k]->delta) += first_lane(F::template delta<k>(x.data(), y, d));
    }
  });
}

template <class T>
const std::array<Elementwise<T>, formulas::kFormulas>& elementwise_formulas() {
  static constexpr auto list = formulas::each_formula<Elementwise<T>>(
      []<class F>() { return Elementwise<T>{formula_forward<F, T>, formula_backward<F, T>}; });
  return list;
}

template <class T>
void scalars_forward(const ScalarStep* steps, Index n) {
  using Function = void (*)(const ScalarStep&);
  static constexpr auto functions = formulas::each_formula<Function>([]<class F>() { return &scalar_forward<F, T>; });
  for (Index i = 0; i < n; ++i) functions[static_cast<std::size_t>(steps[i].formula)](steps[i]);
}

template <class T>
void scalars_backward(const ScalarStep* steps, Index n) {
  using Function = void (*)(const ScalarStep&);
  static constexpr auto functions = formulas::each_formula<Function>([]<class F>() { return &scalar_backward<F, T>; });
  for (Index i = n; i-- > 0;) functions[static_cast<std::size_t>(steps[i].formula)](steps[i]);
}

/// NaN if any element is NaN.
template <class T>
T largest(const T* a, Index n) {
  const auto larger = [](Vector<T> u, Vector<T> v) {
    const Vector<T> x[] = {u, v};
    return formulas::Maximum::value(x);
  };
  T lanes[Vector<T>::size];
  fold_vectors(a, n, larger).store(lanes);
  for (Index lane = 1; lane < Vector<T>::size; ++lane) {
    lanes[0] = first_lane(larger(Vector<T>::all(lanes[0]), Vector<T>::all(lanes[lane])));
  }
  return lanes[0];
}

}  // namespace deltaprop::kernels
