#pragma once

#include <vector>

#include "deltaprop/nn/block.hpp"

namespace deltaprop::nn {

/// An operation of a plan.
///   layer   y = f(x)
///   fork    y_0 = y_1 = ... = x: aliases of one value, each with one reader and a delta of its own
///   add     y = x_0 + x_1
///   concat  y = (x_0, x_1, ...), along the features
struct Node {
  enum class Kind { layer, fork, add, concat };
  Kind kind;
  Index layer;  // index of the layer; -1 for other kinds
  std::vector<Index> inputs, outputs;
};

/// The nodes of one block of the tree, with its input and output values.
struct Subgraph {
  Range nodes;
  std::vector<Index> inputs, outputs;
};

/// A tree of layers as a list of nodes in topological order. Values are numbered; value 0 is the input of the network.
/// Every value has one writer and at most one reader.
class Plan {
 public:
  explicit Plan(const Block& block);

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(Index i) const { return nodes_[static_cast<std::size_t>(i)]; }
  Index values() const { return values_; }
  /// The value whose buffer each value of a subgraph shares: the outputs of a fork alias its input, and the deltas of
  /// summands alias the delta of the sum.
  std::vector<Index> activation_buffer_index(const Subgraph& subgraph) const;
  std::vector<Index> delta_buffer_index(const Subgraph& subgraph) const;
  /// Index of each value among the inputs of a subgraph, forks included; -1 for other values.
  std::vector<Index> input_index(const Subgraph& subgraph) const;
  /// The blocks of the tree in pre-order.
  const std::vector<Subgraph>& subgraphs() const { return subgraphs_; }
  const Subgraph& subgraph(Index i) const { return subgraphs_[static_cast<std::size_t>(i)]; }

  /// The subgraph for this many inputs. With several, each goes to one branch of the fork of the single input.
  /// ValueError if there is no such fork, or if the number of branches differs.
  Subgraph resolve_inputs(const Subgraph& subgraph, Index inputs, const Block& block) const;

 private:
  std::vector<Index> fork(Index value, std::size_t count);
  std::vector<Index> add(const Block& block, std::vector<Index> inputs);

  std::vector<Node> nodes_;
  std::vector<Subgraph> subgraphs_;
  Index values_ = 0, layers_ = 0;
};

}  // namespace deltaprop::nn
