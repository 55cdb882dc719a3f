#pragma once

#include "deltaprop/graph/ops.hpp"

/// The operators that formulas.hpp needs, for graph nodes.
namespace deltaprop::graph {

inline Expression operator-(const Expression& a) { return {apply<formulas::Negative>({a.node})}; }
inline Expression operator+(const Expression& a, const Expression& b) {
  return {apply<formulas::Add>({a.node, b.node})};
}
inline Expression operator-(const Expression& a, const Expression& b) {
  return {apply<formulas::Subtract>({a.node, b.node})};
}
inline Expression operator*(const Expression& a, const Expression& b) {
  return {apply<formulas::Multiply>({a.node, b.node})};
}
inline Expression operator/(const Expression& a, const Expression& b) {
  return {apply<formulas::Divide>({a.node, b.node})};
}
inline Expression operator<(const Expression& a, const Expression& b) {
  return {apply<formulas::Less>({a.node, b.node})};
}
inline Expression operator<=(const Expression& a, const Expression& b) {
  return {apply<formulas::LessEqual>({a.node, b.node})};
}
inline Expression operator==(const Expression& a, const Expression& b) {
  return {apply<formulas::Equal>({a.node, b.node})};
}
inline Expression select(const Expression& c, const Expression& a, const Expression& b) {
  return {apply<formulas::Where>({c.node, a.node, b.node})};
}
inline Expression log(const Expression& a) { return {apply<formulas::Log>({a.node})}; }
inline Expression sin(const Expression& a) { return {apply<formulas::Sin>({a.node})}; }
inline Expression cos(const Expression& a) { return {apply<formulas::Cos>({a.node})}; }
inline Expression sign(const Expression& a) { return {apply<formulas::Sign>({a.node})}; }
inline Expression pow(const Expression& a, const Expression& b) { return {power(a.node, b.node)}; }

}  // namespace deltaprop::graph

namespace deltaprop::formulas {

template <>
struct Number<graph::Expression> {
  static graph::Expression of(double v) { return {graph::number(v)}; }
};

}  // namespace deltaprop::formulas
