#include <algorithm>
#include <unordered_map>

#include "deltaprop/graph/ops.hpp"
#include "expression.hpp"
#include "walk.hpp"

namespace deltaprop::graph {
namespace {

/// A share of a delta, of the shape that its node was repeated to: brought to the node's own.
NodePtr fitted(const NodePtr& share, const Shape& shape) {
  if (share->shape() == shape) return share;
  std::vector<Index> axes;
  const std::size_t extra = share->shape().size() - shape.size();
  for (std::size_t i = 0; i < share->shape().size(); ++i) {
    if (i < extra || (shape[i - extra] == 1 && share->shape()[i] != 1)) axes.push_back(static_cast<Index>(i));
  }
  return reshape(sum(share, axes), shape);
}

}  // namespace

std::vector<NodePtr> gradient(const NodePtr& y, const NodePtr& delta, const std::vector<NodePtr>& variables) {
  // Nodes above y, each after its inputs.
  std::vector<NodePtr> order{};
  std::unordered_map<const Node*, NodePtr> deltas;
  {
    std::vector<NodePtr> found{y};
    std::unordered_map<const Node*, bool> seen{{y.get(), true}};
    while (!found.empty()) {
      const NodePtr node = found.back();
      found.pop_back();
      order.push_back(node);
      for (const NodePtr& x : node->inputs()) {
        if (x->active() && seen.emplace(x.get(), true).second) found.push_back(x);
      }
    }
    std::sort(order.begin(), order.end(), [](const NodePtr& a, const NodePtr& b) { return a->serial() < b->serial(); });
  }
  deltas[y.get()] = broadcast(cast(delta, y->precision()), y->shape());
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    const auto own = deltas.find(node->get());
    if (own == deltas.end() || (*node)->op() == nullptr) continue;
    for (std::size_t i = 0; i < (*node)->inputs().size(); ++i) {
      const NodePtr& x = (*node)->inputs()[i];
      if (!x->active() || !(*node)->op()->differentiable(i)) continue;
      const Expression share{fitted((*node)->op()->delta(*node, i, {own->second}).node, x->shape())};
      NodePtr& sum = deltas[x.get()];
      sum = sum ? (Expression{sum} + share).node : share.node;
    }
  }
  std::vector<NodePtr> gradients;
  for (const NodePtr& variable : variables) {
    const auto found = deltas.find(variable.get());
    gradients.push_back(found == deltas.end() ? broadcast(cast(number(0), variable->precision()), variable->shape())
                                              : found->second);
  }
  return gradients;
}

}  // namespace deltaprop::graph
