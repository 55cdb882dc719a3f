#include "deltaprop/nn/block.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

constexpr std::array<const char*, 5> kNames{"", "Sequential", "Residual", "Concat", "Heads"};

// Traversals of the tree are recursive, so the depth is limited by the stack.
constexpr Index kMaxDepth = 1000;

}  // namespace

Block::Kind block_kind(const std::string& name) {
  for (std::size_t i = 1; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Block::Kind>(i);
  }
  throw ValueError("Block: expected a known kind, got '" + name + "'");
}

Index out_features(const Layer& layer, Index in) {
  const Index own = layer.in_features();
  if (in != kAnyWidth && own != kAnyWidth && in != own) {
    throw ValueError(layer.describe() + ": expected " + std::to_string(own) + " features, got " + std::to_string(in));
  }
  return layer.out_features(in);
}

Block::Block(std::shared_ptr<Layer> layer)
    : layer_(std::move(layer)),
      children_(std::make_shared<const std::vector<Block>>()),
      in_(layer_->in_features()),
      keeps_width_(layer_->keeps_width()) {}

Block::Block(Kind kind, std::vector<Block> list)
    : kind_(kind), children_(std::make_shared<const std::vector<Block>>(std::move(list))) {
  if (children().empty()) throw ValueError(describe() + ": expected one layer or more, got none");
  // With one branch the output would not be a tuple.
  if (kind_ == Kind::heads && children().size() == 1) throw ValueError("Heads: expected two branches or more, got 1");
  for (const Block& child : children()) depth_ = std::max(depth_, child.depth_ + 1);
  if (depth_ > kMaxDepth) {
    throw ValueError(describe() + ": expected at most " + std::to_string(kMaxDepth) + " modules inside one another");
  }
  // The input constrains all branches, and of a chain the layers up to the first that changes the width.
  bool reached = true;
  for (const Block& child : children()) {
    if (!reached) break;
    conflicting_widths_ |=
        child.conflicting_widths_ || (in_ != kAnyWidth && child.in_ != kAnyWidth && child.in_ != in_ && parallel());
    if (in_ == kAnyWidth) in_ = child.in_;
    reached = parallel() || child.keeps_width_;
  }
  if (conflicting_widths_) in_ = kAnyWidth;
  keeps_width_ = reached && (!parallel() || (children().size() == 1 && children()[0].keeps_width_));
  out_features(inputs());
}

std::vector<Index> Block::inputs() const {
  const Block* shares = input_fork();
  if (shares == nullptr) return {in_};
  std::vector<Index> in;
  for (const Block& branch : shares->children()) in.push_back(branch.in_);
  return in;
}

std::string Block::describe() const {
  return kind_ == Kind::layer ? layer_->describe() : kNames[static_cast<std::size_t>(kind_)];
}

const Block* Block::input_fork() const {
  if (parallel()) return this;
  return kind_ == Kind::sequential ? children().front().input_fork() : nullptr;
}

const Layer* Block::first_mismatch(Index width) const {
  if (in_ == width || (in_ == kAnyWidth && !conflicting_widths_)) return nullptr;
  if (kind_ == Kind::layer) return layer_.get();
  for (const Block& child : children()) {
    const Layer* found = child.first_mismatch(width);
    if (found != nullptr) return found;
    if (!parallel() && !child.keeps_width_) break;
  }
  return nullptr;
}

std::vector<Index> Block::out_features(std::vector<Index> in) const {
  switch (kind_) {
    case Kind::layer:
      if (in.size() != 1) throw ValueError(describe() + ": expected one input, got " + std::to_string(in.size()));
      return {nn::out_features(*layer_, in[0])};
    case Kind::sequential: return chain(std::move(in));
    case Kind::residual: {
      if (in.size() != 1) throw ValueError(describe() + ": expected one input, got " + std::to_string(in.size()));
      if (in[0] == kAnyWidth) in[0] = in_;
      const std::vector<Index> out = chain(in);
      if (out.size() != 1) throw ValueError(describe() + ": expected one output to add to, got several");
      if (out[0] != in[0] && out[0] != kAnyWidth && in[0] != kAnyWidth) {
        throw ValueError(describe() + ": expected as many outputs as inputs, got " + std::to_string(in[0]) +
                         " inputs and " + std::to_string(out[0]) + " outputs");
      }
      return {out[0] == kAnyWidth ? in[0] : out[0]};
    }
    case Kind::heads: return branches(in);
    case Kind::concat: {
      const std::vector<Index> out = branches(in);
      const bool any = std::find(out.begin(), out.end(), kAnyWidth) != out.end();
      return {any ? kAnyWidth : std::accumulate(out.begin(), out.end(), Index{0})};
    }
  }
  return {};
}

std::vector<Index> Block::chain(std::vector<Index> widths) const {
  for (std::size_t i = 0; i < children().size(); ++i) {
    const Block& child = children()[i];
    if (i > 0 && widths.size() == 1 && widths[0] != kAnyWidth) {
      if (const Layer* found = child.first_mismatch(widths[0])) {
        throw ValueError(describe() + ": layer " + std::to_string(i) + ", " + found->describe() + ", expected " +
                         std::to_string(found->in_features()) + " features, got " + std::to_string(widths[0]) +
                         " from layer " + std::to_string(i - 1) + ", " + children()[i - 1].describe());
      }
    }
    widths = child.out_features(std::move(widths));
  }
  return widths;
}

std::vector<Index> Block::branches(const std::vector<Index>& in) const {
  if (in.size() != 1 && in.size() != children().size()) {
    throw ValueError(describe() + ": expected " + std::to_string(children().size()) + " inputs, a branch each, got " +
                     std::to_string(in.size()));
  }
  std::vector<Index> out;
  for (std::size_t i = 0; i < children().size(); ++i) {
    const std::vector<Index> own = children()[i].out_features({in.size() == 1 ? in[0] : in[i]});
    if (own.size() != 1) {
      throw ValueError(describe() + ": expected branches of one output each, got " + std::to_string(own.size()) +
                       " from branch " + std::to_string(i));
    }
    out.push_back(own[0]);
  }
  return out;
}

}  // namespace deltaprop::nn
