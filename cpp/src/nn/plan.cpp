#include "deltaprop/nn/plan.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {

Plan::Plan(const Block& block) { add(block, {values_++}); }

std::vector<Index> Plan::activation_buffer_index(const Subgraph& subgraph) const {
  std::vector<Index> buffer_index(static_cast<std::size_t>(values_));
  std::iota(buffer_index.begin(), buffer_index.end(), Index{0});
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    if (node(n).kind != Node::Kind::fork) continue;
    const Index buffer = buffer_index[static_cast<std::size_t>(node(n).inputs[0])];
    for (const Index v : node(n).outputs) buffer_index[static_cast<std::size_t>(v)] = buffer;
  }
  return buffer_index;
}

std::vector<Index> Plan::delta_buffer_index(const Subgraph& subgraph) const {
  std::vector<Index> buffer_index(static_cast<std::size_t>(values_));
  std::iota(buffer_index.begin(), buffer_index.end(), Index{0});
  for (Index n = subgraph.nodes.end; n-- > subgraph.nodes.begin;) {
    if (node(n).kind != Node::Kind::add) continue;
    const Index buffer = buffer_index[static_cast<std::size_t>(node(n).outputs[0])];
    for (const Index v : node(n).inputs) buffer_index[static_cast<std::size_t>(v)] = buffer;
  }
  return buffer_index;
}

std::vector<Index> Plan::input_index(const Subgraph& subgraph) const {
  std::vector<Index> input_index;
  const std::vector<Index> buffer_index = activation_buffer_index(subgraph);
  for (const Index buffer : buffer_index) {
    const auto input = std::find_if(subgraph.inputs.begin(), subgraph.inputs.end(),
                                    [&](Index v) { return buffer_index[static_cast<std::size_t>(v)] == buffer; });
    input_index.push_back(input == subgraph.inputs.end() ? -1 : input - subgraph.inputs.begin());
  }
  return input_index;
}

std::vector<Index> Plan::fork(Index from, std::size_t count) {
  std::vector<Index> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(values_++);
  nodes_.push_back({Node::Kind::fork, -1, {from}, names});
  return names;
}

std::vector<Index> Plan::add(const Block& block, std::vector<Index> inputs) {
  const std::size_t place = subgraphs_.size();
  subgraphs_.push_back({{static_cast<Index>(nodes_.size()), 0}, inputs, {}});
  std::vector<Index> outputs = inputs;
  switch (block.kind()) {
    case Block::Kind::layer:
      outputs = {values_++};
      nodes_.push_back({Node::Kind::layer, layers_++, inputs, outputs});
      break;
    case Block::Kind::sequential:
      for (const Block& child : block.children()) outputs = add(child, std::move(outputs));
      break;
    case Block::Kind::residual: {
      const std::vector<Index> names = fork(inputs[0], 2);
      outputs = {names[1]};
      for (const Block& child : block.children()) outputs = add(child, std::move(outputs));
      const std::vector<Index> summands{names[0], outputs[0]};
      outputs = {values_++};
      nodes_.push_back({Node::Kind::add, -1, summands, outputs});
      break;
    }
    case Block::Kind::concat:
    case Block::Kind::heads: {
      const std::size_t count = block.children().size();
      if (inputs.size() != count) inputs = fork(inputs[0], count);
      outputs.clear();
      for (std::size_t i = 0; i < count; ++i) outputs.push_back(add(block.children()[i], {inputs[i]})[0]);
      if (block.kind() == Block::Kind::heads) break;
      nodes_.push_back({Node::Kind::concat, -1, outputs, {values_++}});
      outputs = nodes_.back().outputs;
    }
  }
  subgraphs_[place].nodes.end = static_cast<Index>(nodes_.size());
  subgraphs_[place].outputs = outputs;
  return outputs;
}

Subgraph Plan::resolve_inputs(const Subgraph& subgraph, Index inputs, const Block& block) const {
  if (inputs == static_cast<Index>(subgraph.inputs.size())) return subgraph;
  const Block* fork = block.input_fork();
  if (subgraph.inputs.size() != 1) {
    throw ValueError(fork->describe() + ": expected a tuple of " + std::to_string(subgraph.inputs.size()) +
                     " inputs, got " + std::to_string(inputs));
  }
  if (fork == nullptr) {
    throw ValueError(block.first().describe() + ": expected one input, got a tuple of " + std::to_string(inputs));
  }
  const std::size_t branches = fork->children().size();
  if (inputs != static_cast<Index>(branches)) {
    throw ValueError(fork->describe() + ": expected one input or a tuple of " + std::to_string(branches) + ", got " +
                     std::to_string(inputs));
  }
  return {{subgraph.nodes.begin + 1, subgraph.nodes.end}, node(subgraph.nodes.begin).outputs, subgraph.outputs};
}

}  // namespace deltaprop::nn
