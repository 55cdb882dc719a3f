#include "deltaprop/nn/plan.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {

Plan::Plan(const Block& block) { add(block, {values_++}); }

std::vector<Index> Plan::activation_places(const Section& section) const {
  std::vector<Index> places(static_cast<std::size_t>(values_));
  std::iota(places.begin(), places.end(), Index{0});
  for (Index n = section.nodes.begin; n < section.nodes.end; ++n) {
    if (node(n).kind != Node::Kind::fork) continue;
    const Index place = places[static_cast<std::size_t>(node(n).inputs[0])];
    for (const Index v : node(n).outputs) places[static_cast<std::size_t>(v)] = place;
  }
  return places;
}

std::vector<Index> Plan::delta_places(const Section& section) const {
  std::vector<Index> places(static_cast<std::size_t>(values_));
  std::iota(places.begin(), places.end(), Index{0});
  for (Index n = section.nodes.end; n-- > section.nodes.begin;) {
    if (node(n).kind != Node::Kind::add) continue;
    const Index place = places[static_cast<std::size_t>(node(n).outputs[0])];
    for (const Index v : node(n).inputs) places[static_cast<std::size_t>(v)] = place;
  }
  return places;
}

std::vector<Index> Plan::origins(const Section& section) const {
  std::vector<Index> origins;
  const std::vector<Index> places = activation_places(section);
  for (const Index place : places) {
    const auto input = std::find_if(section.inputs.begin(), section.inputs.end(),
                                    [&](Index v) { return places[static_cast<std::size_t>(v)] == place; });
    origins.push_back(input == section.inputs.end() ? -1 : input - section.inputs.begin());
  }
  return origins;
}

std::vector<Index> Plan::fork(Index from, std::size_t count) {
  std::vector<Index> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(values_++);
  nodes_.push_back({Node::Kind::fork, -1, {from}, names});
  return names;
}

std::vector<Index> Plan::add(const Block& block, std::vector<Index> inputs) {
  const std::size_t place = sections_.size();
  sections_.push_back({{static_cast<Index>(nodes_.size()), 0}, inputs, {}});
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
  sections_[place].nodes.end = static_cast<Index>(nodes_.size());
  sections_[place].outputs = outputs;
  return outputs;
}

Section Plan::entered(const Section& section, Index inputs, const Block& block) const {
  if (inputs == static_cast<Index>(section.inputs.size())) return section;
  const Block* shares = block.entrance();
  if (section.inputs.size() != 1) {
    throw ValueError(shares->describe() + ": expected a tuple of " + std::to_string(section.inputs.size()) +
                     " inputs, got " + std::to_string(inputs));
  }
  if (shares == nullptr) {
    throw ValueError(block.first().describe() + ": expected one input, got a tuple of " + std::to_string(inputs));
  }
  const std::size_t branches = shares->children().size();
  if (inputs != static_cast<Index>(branches)) {
    throw ValueError(shares->describe() + ": expected one input or a tuple of " + std::to_string(branches) + ", got " +
                     std::to_string(inputs));
  }
  return {{section.nodes.begin + 1, section.nodes.end}, node(section.nodes.begin).outputs, section.outputs};
}

}  // namespace deltaprop::nn
