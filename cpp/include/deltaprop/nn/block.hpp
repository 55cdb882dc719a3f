#pragma once

#include <memory>
#include <string>
#include <vector>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// Layers as users nest them: a tree whose leaves are layers.
///   sequential  one after the other
///   residual    the same, and the input added to the output (He et al., "Deep residual learning", 2016, equation 1)
///   concat      side by side, the outputs joined: branch i takes input i of several, or all of a single one
///   heads       side by side, several outputs
class Block {
 public:
  enum class Kind { layer, sequential, residual, concat, heads };

  explicit Block(std::shared_ptr<Layer> layer);
  /// ValueError where the children do not fit together, or are nested too deep.
  Block(Kind kind, std::vector<Block> children);

  Kind kind() const { return kind_; }
  const std::shared_ptr<Layer>& layer() const { return layer_; }
  const std::vector<Block>& children() const { return *children_; }
  std::string describe() const;

  /// The one width of input that it takes, or kAnyWidth where it takes any, or several for several inputs.
  Index in_features() const { return in_; }
  /// The widths of input that it is made for: several where branches share it out, since these may come apart.
  std::vector<Index> inputs() const;
  /// Widths of the outputs for those of the inputs, as far as these are known. ValueError where they do not fit.
  std::vector<Index> out_features(std::vector<Index> in) const;
  /// The first layer that an input of this width reaches unchanged and does not fit; or null.
  const Layer* misfit(Index width) const;
  /// The block that shares out the input: a concat or heads, or null.
  const Block* entrance() const;
  /// The first layer.
  const Layer& first() const { return kind_ == Kind::layer ? *layer_ : children().front().first(); }

 private:
  bool parallel() const { return kind_ == Kind::concat || kind_ == Kind::heads; }
  std::vector<Index> chain(std::vector<Index> widths) const;
  std::vector<Index> branches(const std::vector<Index>& in) const;

  Kind kind_ = Kind::layer;
  std::shared_ptr<Layer> layer_;
  std::shared_ptr<const std::vector<Block>> children_;
  // Found once, from the children's: nests may be deep.
  Index in_ = kAnyWidth;
  bool keeps_width_ = false;  // an input of any width comes out as wide
  bool disagrees_ = false;    // branches that an input reaches want it of different widths
  Index depth_ = 0;
};

/// The width of a layer's output. ValueError where the input does not fit.
Index out_features(const Layer& layer, Index in);

/// By name: "Sequential", "Residual", "Concat", "Heads"; ValueError for others.
Block::Kind block_kind(const std::string& name);

}  // namespace deltaprop::nn
