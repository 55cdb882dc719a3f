#pragma once

#include <vector>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::graph {

/// All that a node is made of, in an order in which it can be evaluated. Runs of single numbers are one list of steps,
/// so that a graph of scalars costs little more than its arithmetic; runs of formulas over arrays of one size go tile
/// by tile.
class Program {
 public:
  explicit Program(Node& root);
  ~Program();

  void forward();
  /// From the delta that the root holds.
  void backward();
  /// Forgets the deltas of the last pass.
  void clear();

 private:
  /// Steps of single numbers of one precision, a region, or one node.
  struct Part {
    Precision precision;
    Index begin = 0, end = 0;  // of steps_
    std::shared_ptr<Region> region = {};
    Node* node = nullptr;
  };

  std::vector<Node*> numbers_, arrays_;  // those that get a delta
  std::vector<kernels::ScalarStep> steps_;
  std::vector<Part> parts_;
};

}  // namespace deltaprop::graph
