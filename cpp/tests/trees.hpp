#pragma once

#include "networks.hpp"

namespace deltaprop::testing {

/// A tree of blocks with its input and output widths.
struct Tree {
  std::string name;
  nn::Block block;
  std::vector<Index> in, out;
};

/// Every kind of block, alone and nested.
inline std::vector<Tree> trees() {
  const auto f = [] { return activation("Tanh"); };
  const auto l = [](Index in, Index out) { return linear(in, out); };
  return {
      {"chain", sequential(l(3, 4), f(), sequential(l(4, 2), f())), {3}, {2}},
      {"layer", nn::Block(l(3, 2)), {3}, {2}},
      {"residual", residual(l(3, 5), f(), l(5, 3)), {3}, {3}},
      {"residual between", sequential(l(2, 3), residual(f(), l(3, 3)), l(3, 1)), {2}, {1}},
      {"residual of a residual", residual(residual(l(3, 3), f()), f()), {3}, {3}},
      {"residual ends a residual", residual(l(3, 3), residual(f(), l(3, 3))), {3}, {3}},
      {"residuals in a row", sequential(residual(l(3, 3)), residual(f()), residual(l(3, 3), f())), {3}, {3}},
      {"residual of features of their own", residual(f()), {4}, {4}},
      {"concat", concat(l(3, 2), sequential(l(3, 4), f()), f()), {3}, {9}},
      {"concat of one branch", sequential(concat(l(3, 2)), f()), {3}, {2}},
      {"concat of one residual", concat(residual(l(3, 3), f())), {3}, {3}},
      {"concat of inputs", sequential(concat(l(3, 2), l(1, 4), f()), l(8, 2)), {3, 1, 2}, {2}},
      {"concat of concats", concat(concat(l(2, 1), f()), sequential(concat(l(2, 3)), f())), {2}, {6}},
      {"concat in a residual", residual(concat(l(4, 3), l(4, 1))), {4}, {4}},
      {"residuals in a concat", concat(residual(l(2, 2)), residual(f(), l(2, 2))), {2}, {4}},
      {"heads", heads(l(3, 2), sequential(f(), l(3, 1))), {3}, {2, 1}},
      {"heads after a trunk", sequential(l(3, 4), f(), heads(l(4, 2), l(4, 3), f())), {3}, {2, 3, 4}},
      {"heads of inputs", heads(l(3, 2), l(2, 4)), {3, 2}, {2, 4}},
      {"heads joined", sequential(heads(l(3, 2), l(3, 4)), concat(f(), l(4, 1)), l(3, 2)), {3}, {2}},
      {"residual in concat in heads",
       sequential(l(2, 3), heads(sequential(concat(residual(f(), l(3, 3)), l(3, 2)), l(5, 2)), residual(l(3, 3)))),
       {2},
       {2, 3}},
      {"inputs, residuals and heads",
       sequential(concat(residual(l(2, 2), f()), sequential(l(3, 2), f())), residual(concat(l(4, 1), l(4, 3)), f()),
                  heads(l(4, 1), concat(f(), l(4, 2)))),
       {2, 3},
       {1, 6}},
  };
}

}  // namespace deltaprop::testing
