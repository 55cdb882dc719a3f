#include <algorithm>
#include <unordered_map>
#include <utility>

#include "deltaprop/graph/ops.hpp"
#include "expression.hpp"

namespace deltaprop::graph {
namespace {

/// Sums a share, which has the broadcast shape of its node, over the broadcast axes.
NodePtr reduce_to_shape(const NodePtr& share, const Shape& shape) {
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
  std::unordered_map<const Node*, NodePtr> deltas;
  std::vector<Node*> order = y->ancestors(true);
  deltas[y.get()] = broadcast(cast(delta, y->precision()), y->shape());
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    const auto own = deltas.find(*node);
    if (own == deltas.end() || (*node)->op() == nullptr) continue;
    const NodePtr delta_of_node = own->second;
    for (std::size_t i = 0; i < (*node)->inputs().size(); ++i) {
      const NodePtr& x = (*node)->inputs()[i];
      if (!(*node)->sends_delta(i)) continue;
      const Expression share{
          reduce_to_shape((*node)->op()->delta((*node)->shared_from_this(), i, {delta_of_node}).node, x->shape())};
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

NodePtr make_leaf(Node& node, Node::Kind kind) {
  node.materialize_value();
  auto leaf = std::make_shared<Node>(kind, node.shape(), node.precision(), node.weak());
  with_type(node.precision(), [&]<class T>() { std::copy_n(node.value<T>(), node.size(), leaf->fresh_value<T>()); });
  return leaf;
}

NodePtr clone_graph(const NodePtr& y, std::vector<NodePtr*> leaves) {
  std::unordered_map<const Node*, NodePtr> copies;
  for (NodePtr* leaf : leaves) {
    NodePtr copy = make_leaf(**leaf, (*leaf)->kind());
    copies[leaf->get()] = copy;
    *leaf = std::move(copy);
  }
  for (Node* node : y->ancestors()) {
    NodePtr& copy = copies[node];
    if (copy) continue;
    if (node->kind() != Node::Kind::computed) {
      copy = make_leaf(*node, Node::Kind::constant);
      continue;
    }
    Inputs inputs;
    for (const NodePtr& x : node->inputs()) inputs.push_back(copies.at(x.get()));
    copy = std::make_shared<Node>(node->shared_op(), std::move(inputs), node->shape(), node->precision());
  }
  return copies.at(y.get());
}

}  // namespace deltaprop::graph
