#pragma once

#include <vector>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::graph {

/// The graph of a node in topological order. Consecutive scalar nodes become one list of steps, which keeps the
/// overhead of scalar graphs low; consecutive formulas over arrays of one size become a region, which runs tile by
/// tile.
class Program {
 public:
  explicit Program(Node& root);
  ~Program();

  void forward();
  /// Propagates the delta of the root, which is set before.
  void backward();
  /// Discards the deltas of the last pass.
  void clear();

 private:
  /// Scalar steps of one precision, a region, or one node.
  struct Part {
    Precision precision;
    Index begin = 0, end = 0;  // of steps_
    std::shared_ptr<Region> region = {};
    Node* node = nullptr;
  };

  std::vector<Node*> scalars_, arrays_;  // nodes that get a delta
  std::vector<kernels::ScalarStep> steps_;
  std::vector<Part> parts_;
};

}  // namespace deltaprop::graph
