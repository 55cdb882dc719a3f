#pragma once

#include <vector>

#include "deltaprop/nn/block.hpp"

namespace deltaprop::nn {

/// One step of the way through a network, from values to values.
///   layer   y = f(x)
///   fork    one value under several names, so that each of them has one reader and a delta of its own
///   add     y = x_0 + x_1
///   concat  y = (x_0, x_1, ...), side by side
struct Node {
  enum class Kind { layer, fork, add, concat };
  Kind kind;
  Index layer;  // its number, for layers
  std::vector<Index> inputs, outputs;
};

/// What one block of the tree amounts to: some nodes, and the values they begin and end with.
struct Subgraph {
  Range nodes;
  std::vector<Index> inputs, outputs;
};

/// A tree of layers as a list of nodes in the order of the forward pass. A value is what a node gives, by number; the
/// input is value 0. Every value has one writer and one reader at the most.
class Plan {
 public:
  explicit Plan(const Block& block);

  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(Index i) const { return nodes_[static_cast<std::size_t>(i)]; }
  Index values() const { return values_; }
  /// The value in whose place each value of a subgraph is kept: a fork's outputs are their input, and the deltas of an
  /// addition's summands are that of the sum.
  std::vector<Index> activation_buffer_index(const Subgraph& subgraph) const;
  std::vector<Index> delta_buffer_index(const Subgraph& subgraph) const;
  /// Which of a subgraph's inputs each value is; -1 for those that are none.
  std::vector<Index> input_index(const Subgraph& subgraph) const;
  /// The blocks of the tree, each before its children.
  const std::vector<Subgraph>& subgraphs() const { return subgraphs_; }
  const Subgraph& subgraph(Index i) const { return subgraphs_[static_cast<std::size_t>(i)]; }

  /// The subgraph as it runs on this many inputs: several of them go to the branches that a single one is shared out
  /// to. ValueError where there are no such branches, or not as many.
  Subgraph resolve_inputs(const Subgraph& subgraph, Index inputs, const Block& block) const;

 private:
  std::vector<Index> fork(Index value, std::size_t count);
  std::vector<Index> add(const Block& block, std::vector<Index> inputs);

  std::vector<Node> nodes_;
  std::vector<Subgraph> subgraphs_;
  Index values_ = 0, layers_ = 0;
};

}  // namespace deltaprop::nn
