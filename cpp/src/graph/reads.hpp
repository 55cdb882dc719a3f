#pragma once

#include <array>

#include "deltaprop/kernels/formulas.hpp"

/// What the share of a delta is computed of, found by following a formula with the places of what it reads in place of
/// numbers.
namespace deltaprop::graph {

struct Places {
  unsigned bits = 0;
};

inline Places operator|(Places a, Places b) { return {a.bits | b.bits}; }
inline Places operator-(Places a) { return a; }
inline Places operator+(Places a, Places b) { return a | b; }
inline Places operator-(Places a, Places b) { return a | b; }
inline Places operator*(Places a, Places b) { return a | b; }
inline Places operator/(Places a, Places b) { return a | b; }
inline Places operator<(Places a, Places b) { return a | b; }
inline Places operator<=(Places a, Places b) { return a | b; }
inline Places operator==(Places a, Places b) { return a | b; }
inline Places select(Places c, Places a, Places b) { return c | a | b; }
inline Places log(Places a) { return a; }
inline Places sin(Places a) { return a; }
inline Places cos(Places a) { return a; }
inline Places sign(Places a) { return a; }
inline Places pow(Places a, Places b) { return a | b; }

}  // namespace deltaprop::graph

namespace deltaprop::formulas {

template <>
struct Number<graph::Places> {
  static graph::Places of(double) { return {}; }
};

}  // namespace deltaprop::formulas

namespace deltaprop::graph {

/// By the input that gets the share: a bit for each input that is read, and the next one for the value.
using Reads = std::array<unsigned, formulas::kMostInputs>;
inline constexpr unsigned kReadsValue = 1U << formulas::kMostInputs;

template <class F>
Reads reads_of() {
  const Places x[] = {{1}, {2}, {4}};
  static_assert(std::size(x) == formulas::kMostInputs);
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    Reads reads{};
    (
        [&] {
          if constexpr (F::differentiable[i]) {
            reads[i] = F::template delta<static_cast<int>(i)>(x, Places{kReadsValue}, Places{}).bits;
          }
        }(),
        ...);
    return reads;
  }(std::make_index_sequence<F::inputs>{});
}

inline const Reads& reads(std::size_t formula) {
  static const auto list = formulas::each_formula<Reads>([]<class F>() { return reads_of<F>(); });
  return list[formula];
}

}  // namespace deltaprop::graph
