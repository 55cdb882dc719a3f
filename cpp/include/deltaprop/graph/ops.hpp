#pragma once

#include <optional>
#include <string>
#include <vector>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/kernels/formulas.hpp"

/// Nodes as NumPy would compute them: shapes broadcast, float32 meets float64 in float64. Each is evaluated when it is
/// made; ValueError for shapes that do not fit.
namespace deltaprop::graph {

/// A Python number: it takes the precision of what it meets.
NodePtr number(double value);

/// A formula of formulas.hpp, by its place.
NodePtr apply(int formula, Inputs inputs);
template <class F>
NodePtr apply(Inputs inputs) {
  return apply(formulas::formula_index<F>(), std::move(inputs));
}

/// The precision in which nodes meet.
Precision common_precision(const NodePtr* begin, const NodePtr* end);

/// x^y; a number for y such as 2 has a formula of its own.
NodePtr power(const NodePtr& x, const NodePtr& y);

/// Elements from one index to the next along each axis of a row-major array.
inline Shape contiguous(const Shape& shape) {
  Shape strides(shape.size());
  Index stride = 1;
  for (std::size_t i = shape.size(); i-- > 0; stride *= shape[i]) strides[i] = stride;
  return strides;
}

/// Elements of an array, chosen by strides: every axis of `shape` goes `strides` elements further, from `offset` on.
struct View {
  Shape shape;
  Shape strides;
  Index offset = 0;
};
/// x seen so. `name` and `details` are what `repr` shows.
NodePtr view(const NodePtr& x, View v, const char* name, std::string details = {});
NodePtr reshape(const NodePtr& x, Shape shape);
NodePtr transpose(const NodePtr& x);
NodePtr broadcast(const NodePtr& x, const Shape& shape);

/// Over some axes, or over all.
using Axes = std::optional<std::vector<Index>>;
NodePtr sum(const NodePtr& x, const Axes& axes = {}, bool keepdims = false);
NodePtr mean(const NodePtr& x, const Axes& axes = {}, bool keepdims = false);
/// Where several elements are the largest, the delta is shared among them.
NodePtr max(const NodePtr& x, const Axes& axes = {}, bool keepdims = false);

/// NumPy's `@`.
NodePtr matmul(const NodePtr& a, const NodePtr& b);

NodePtr cast(const NodePtr& x, Precision precision);

/// A leaf with the value that a node has.
NodePtr leaf_of(Node& node, Node::Kind kind);

/// All that y is made of, over again, so that nobody else sees it or sets it: `leaves` become their copies, other
/// variables constants.
NodePtr copied(const NodePtr& y, std::vector<NodePtr*> leaves);

/// dJ/d(each of `variables`) as nodes, J the sum of y's elements weighted by `delta`: derivatives that can be derived.
/// Zeros where y does not depend on a variable.
std::vector<NodePtr> gradient(const NodePtr& y, const NodePtr& delta, const std::vector<NodePtr>& variables);

}  // namespace deltaprop::graph
