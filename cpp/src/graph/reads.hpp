#pragma once

#include <array>

#include "deltaprop/kernels/formulas.hpp"

/// Which operands the delta of an input reads, found by evaluating the formula with sets of operands for numbers.
namespace deltaprop::graph {

struct OperandSet {
  unsigned bits = 0;
};

inline OperandSet operator|(OperandSet a, OperandSet b) { return {a.bits | b.bits}; }
inline OperandSet operator-(OperandSet a) { return a; }
inline OperandSet operator+(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet operator-(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet operator*(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet operator/(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet operator<(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet operator<=(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet operator==(OperandSet a, OperandSet b) { return a | b; }
inline OperandSet select(OperandSet c, OperandSet a, OperandSet b) { return c | a | b; }
inline OperandSet log(OperandSet a) { return a; }
inline OperandSet sin(OperandSet a) { return a; }
inline OperandSet cos(OperandSet a) { return a; }
inline OperandSet sign(OperandSet a) { return a; }
inline OperandSet pow(OperandSet a, OperandSet b) { return a | b; }

}  // namespace deltaprop::graph

namespace deltaprop::formulas {

template <>
struct Number<graph::OperandSet> {
  static graph::OperandSet of(double) { return {}; }
};

}  // namespace deltaprop::formulas

namespace deltaprop::graph {

/// For each input, the operands that its delta reads: a bit per input, then one for the value.
using Reads = std::array<unsigned, formulas::kMaxInputs>;
inline constexpr unsigned kReadsValue = 1U << formulas::kMaxInputs;

template <class F>
Reads reads_of() {
  const OperandSet x[] = {{1}, {2}, {4}};
  static_assert(std::size(x) == formulas::kMaxInputs);
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    Reads reads{};
    (
        [&] {
          if constexpr (F::differentiable[i]) {
            reads[i] = F::template delta<static_cast<int>(i)>(x, OperandSet{kReadsValue}, OperandSet{}).bits;
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
