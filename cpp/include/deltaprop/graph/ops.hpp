#pragma once

#include <optional>
#include <string>
#include <vector>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/kernels/formulas.hpp"

/// Node constructors with NumPy's semantics: shapes broadcast, float32 and float64 give float64. A node is evaluated
/// when it is made; ValueError for incompatible shapes.
namespace deltaprop::graph {

/// A Python number: a weak constant, which takes the precision of the other operands.
NodePtr number(double value);

/// Applies a formula, given by its position in formulas.hpp.
NodePtr apply(int formula, Inputs inputs);
template <class F>
NodePtr apply(Inputs inputs) {
  return apply(formulas::formula_index<F>(), std::move(inputs));
}

/// The precision of an operation on these nodes: float64 if any is, weak constants aside.
Precision common_precision(const NodePtr* begin, const NodePtr* end);

/// x^y; the exponents 2, 0.5 and -1 have formulas of their own.
NodePtr power(const NodePtr& x, const NodePtr& y);

/// The strides of a row-major array, in elements.
inline Shape contiguous_strides(const Shape& shape) {
  Shape strides(shape.size());
  Index stride = 1;
  for (std::size_t i = shape.size(); i-- > 0; stride *= shape[i]) strides[i] = stride;
  return strides;
}

/// A strided view of an array; strides and offset in elements.
struct View {
  Shape shape;
  Shape strides;
  Index offset = 0;
};
/// x[v]; `repr` shows `name` and `details`.
NodePtr view(const NodePtr& x, View v, const char* name, std::string details = {});
NodePtr reshape(const NodePtr& x, Shape shape);
NodePtr transpose(const NodePtr& x);
NodePtr broadcast(const NodePtr& x, const Shape& shape);

/// Axes to reduce; none means all.
using Axes = std::optional<std::vector<Index>>;
NodePtr sum(const NodePtr& x, const Axes& axes = {}, bool keepdims = false);
NodePtr mean(const NodePtr& x, const Axes& axes = {}, bool keepdims = false);
/// If several elements are the largest, each gets an equal part of the delta.
NodePtr max(const NodePtr& x, const Axes& axes = {}, bool keepdims = false);

/// NumPy's `@`.
NodePtr matmul(const NodePtr& a, const NodePtr& b);

NodePtr cast(const NodePtr& x, Precision precision);

/// A leaf with a copy of the node's value.
NodePtr make_leaf(Node& node, Node::Kind kind);

/// Deep copy of the graph of y, independent of the original. Replaces each of `leaves` by its copy; other variables
/// become constants.
NodePtr clone_graph(const NodePtr& y, std::vector<NodePtr*> leaves);

/// dJ/dv for each of `variables`, J the sum of y * delta, as nodes, so that they can be differentiated again. Zeros for
/// variables that y does not depend on.
std::vector<NodePtr> gradient(const NodePtr& y, const NodePtr& delta, const std::vector<NodePtr>& variables);

}  // namespace deltaprop::graph
