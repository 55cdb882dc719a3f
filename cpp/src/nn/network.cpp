#include "deltaprop/nn/network.hpp"

#include <algorithm>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

Block chain_of(std::vector<std::shared_ptr<Layer>> layers) {
  std::vector<Block> children;
  for (auto& layer : layers) children.emplace_back(std::move(layer));
  return {Block::Kind::sequential, std::move(children)};
}

/// Appends the arrays of a layer to `list` and returns the range of the flat buffer that they occupy.
Range lay_out(std::vector<ParameterShape> shapes, const std::string& path, Index layer, std::vector<Parameter>& list) {
  const Index begin = list.empty() ? 0 : list.back().range.end;
  Index end = begin;
  for (ParameterShape& shape : shapes) {
    const Index n = shape.size();
    shape.name = path + shape.name;
    list.push_back({std::move(shape), layer, {end, end + n}});
    end += n;
  }
  return {begin, end};
}

void check_shape(const Block& block, const std::vector<Index>& shape) {
  const Layer* found = shape.empty() ? nullptr : block.first_mismatch(shape.back());
  if (found == nullptr && (shape.size() == 1 || shape.size() == 2)) return;
  const Index width = found == nullptr ? block.in_features() : found->in_features();
  // The message names the layer that determines the width.
  const Layer* culprit = found == nullptr && width != kAnyWidth ? block.first_mismatch(width - 1) : found;
  throw ValueError((culprit == nullptr ? block.first() : *culprit).describe() + ": expected input (N, " +
                   (width == kAnyWidth ? "features" : std::to_string(width)) + "), got " + shape_text(shape));
}

}  // namespace

template <class T>
Network<T>::Network(std::vector<std::shared_ptr<Layer>> layers, std::uint64_t seed)
    : Network(chain_of(std::move(layers)), seed) {}

template <class T>
Network<T>::Network(Block block, std::uint64_t seed)
    : root_(std::make_shared<const Block>(std::move(block))),
      plan_(*root_),
      parameters_(std::make_shared<Parameters<T>>()),
      seed_(seed) {
  collect(*root_, "");
  const auto size_of = [](const std::vector<Parameter>& list) { return list.empty() ? 0 : list.back().range.end; };
  parameters_->values = Buffer<T>(parameters_->size());
  parameters_->gradients = Buffer<T>(parameters_->size());
  parameters_->buffer_values = Buffer<T>(size_of(parameters_->buffer_list));
  std::vector<double> initial;
  const auto write = [&initial](T* to) {
    std::transform(initial.begin(), initial.end(), to, [](double v) { return static_cast<T>(v); });
  };
  for (Index i = 0; i < size(); ++i) {
    initial.assign(static_cast<std::size_t>(parameters_of(i).size()), 0.0);
    layer(i).initialise(Random(seed, Purpose::initialise, 0, static_cast<std::uint32_t>(i)), initial.data());
    write(values_of(i));
    initial.assign(static_cast<std::size_t>(buffers_range(i).size()), 0.0);
    layer(i).initialise_buffers(initial.data());
    write(buffers_of(i));
  }
}

template <class T>
void Network<T>::collect(const Block& block, const std::string& path) {
  blocks_.push_back(&block);
  if (block.kind() == Block::Kind::layer) {
    const Layer& layer = *block.layer();
    const Index i = size();
    const Range parameters = lay_out(layer.parameters(), path, i, parameters_->list);
    const Range buffers = lay_out(layer.buffers(), path, i, parameters_->buffer_list);
    layers_.push_back({block.layer(), parameters, buffers});
  }
  for (std::size_t i = 0; i < block.children().size(); ++i) {
    collect(block.children()[i], path + std::to_string(i) + ".");
  }
}

template <class T>
void Network<T>::set_frozen(Index i, bool frozen) {
  Place& place = layers_.at(static_cast<std::size_t>(i));
  const bool stateless = place.parameters.size() == 0 && place.buffers.size() == 0;
  if (place.frozen == frozen || stateless) return;
  place.frozen = frozen;
  for (Parameter& p : parameters_->list) p.frozen = p.layer == i ? frozen : p.frozen;
  ++version_;
}

template <class T>
Subgraph Network<T>::resolve_inputs(Index subgraph, const std::vector<std::vector<Index>>& shapes) const {
  const Block& own = block(subgraph);
  const Subgraph resolved = plan_.resolve_inputs(plan_.subgraph(subgraph), static_cast<Index>(shapes.size()), own);
  if (shapes.size() == 1) {
    check_shape(own, shapes[0]);
  } else {
    const std::vector<Block>& branches = own.input_fork()->children();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      check_shape(branches[i], shapes[i]);
      const bool same_rows =
          shapes[i].size() == shapes[0].size() && (shapes[i].size() == 1 || shapes[i][0] == shapes[0][0]);
      if (!same_rows) {
        throw ValueError(own.input_fork()->describe() + ": expected inputs of as many rows, got " +
                         shape_text(shapes[0]) + " and " + shape_text(shapes[i]));
      }
    }
  }
  return resolved;
}

template <class T>
Index Network<T>::min_batch_size() const {
  Index min_rows = 0;
  for (const Place& place : layers_) min_rows = std::max(min_rows, place.frozen ? 0 : place.layer->min_batch_size());
  return min_rows;
}

template <class T>
void Network<T>::check_rows(Index rows, const char* advice) const {
  for (const Place& place : layers_) {
    const Index min_rows = place.frozen ? 0 : place.layer->min_batch_size();
    if (rows >= min_rows) continue;
    throw ValueError(place.layer->describe() + ": expected " + std::to_string(min_rows) +
                     " rows or more in training, got " + std::to_string(rows) + advice);
  }
}

template <class T>
std::vector<Index> Network<T>::widths(const Subgraph& subgraph, const std::vector<Index>& in) const {
  std::vector<Index> widths(static_cast<std::size_t>(plan_.values()), 0);
  const auto of = [&widths](Index value) -> Index& { return widths[static_cast<std::size_t>(value)]; };
  for (std::size_t i = 0; i < in.size(); ++i) of(subgraph.inputs[i]) = in[i];
  for (Index n = subgraph.nodes.begin; n < subgraph.nodes.end; ++n) {
    const Node& node = plan_.node(n);
    const Index first = of(node.inputs[0]);
    switch (node.kind) {
      case Node::Kind::layer: of(node.outputs[0]) = out_features(layer(node.layer), first); break;
      case Node::Kind::add: {
        const Index second = of(node.inputs[1]);
        if (first != second && first != kAnyWidth && second != kAnyWidth) {
          throw ValueError("Residual: expected as many outputs as inputs, got " + std::to_string(first) +
                           " inputs and " + std::to_string(second) + " outputs");
        }
        of(node.outputs[0]) = std::max(first, second);
        break;
      }
      case Node::Kind::fork:
        for (const Index v : node.outputs) of(v) = first;
        break;
      case Node::Kind::concat: {
        Index sum = 0;
        for (const Index v : node.inputs) sum = of(v) == kAnyWidth || sum == kAnyWidth ? kAnyWidth : sum + of(v);
        of(node.outputs[0]) = sum;
      }
    }
  }
  return widths;
}

template class Network<float>;
template class Network<double>;

}  // namespace deltaprop::nn
