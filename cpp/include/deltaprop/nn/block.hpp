#pragma once

#include <memory>
#include <string>
#include <vector>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// Layers as users nest them: a tree whose leaves are layers.
///   sequential  one after the other
///   residual    sequential, plus the input (He et al., "Deep residual learning", 2016, equation 1)
///   concat      parallel branches, outputs concatenated; branch i reads input i of several, or the whole single input
///   heads       parallel branches, several outputs
class Block {
 public:
  enum class Kind { layer, sequential, residual, concat, heads };

  explicit Block(std::shared_ptr<Layer> layer);
  /// ValueError if the widths of the children do not match, or if they are nested too deeply.
  Block(Kind kind, std::vector<Block> children);

  Kind kind() const { return kind_; }
  const std::shared_ptr<Layer>& layer() const { return layer_; }
  const std::vector<Block>& children() const { return *children_; }
  std::string describe() const;

  /// Width of the input; kAnyWidth if any width fits, or if branches expect different widths.
  Index in_features() const { return in_; }
  /// Width of each input: one per branch if the input is forked, as branches may read separate inputs.
  std::vector<Index> inputs() const;
  /// Widths of the outputs, given those of the inputs (kAnyWidth where unknown). ValueError if they do not match.
  std::vector<Index> out_features(std::vector<Index> in) const;
  /// The first layer that reads an input of this width unchanged and expects another width; or null.
  const Layer* first_mismatch(Index width) const;
  /// The concat or heads block that reads the input of this block; or null.
  const Block* input_fork() const;
  /// The first layer.
  const Layer& first() const { return kind_ == Kind::layer ? *layer_ : children().front().first(); }

 private:
  bool parallel() const { return kind_ == Kind::concat || kind_ == Kind::heads; }
  std::vector<Index> chain(std::vector<Index> widths) const;
  std::vector<Index> branches(const std::vector<Index>& in) const;

  Kind kind_ = Kind::layer;
  std::shared_ptr<Layer> layer_;
  std::shared_ptr<const std::vector<Block>> children_;
  // Computed once in the constructor: recomputing them by recursion is slow for deep trees.
  Index in_ = kAnyWidth;
  bool keeps_width_ = false;         // accepts any width and preserves it
  bool conflicting_widths_ = false;  // branches expect different widths of one input
  Index depth_ = 0;
};

/// Output width of a layer. ValueError if the input width does not match.
Index out_features(const Layer& layer, Index in);

/// By name: "Sequential", "Residual", "Concat", "Heads"; ValueError for others.
Block::Kind block_kind(const std::string& name);

}  // namespace deltaprop::nn
