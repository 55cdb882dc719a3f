#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/types.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::graph {

class Node;
class Program;
class Region;
using NodePtr = std::shared_ptr<Node>;
using Shape = std::vector<Index>;

enum class Precision : std::uint8_t { float32, float64 };
template <class T>
inline constexpr Precision precision_of = sizeof(T) == 4 ? Precision::float32 : Precision::float64;

/// f.template operator()<float>() or <double>().
template <class F>
decltype(auto) with_type(Precision precision, F&& f) {
  return precision == Precision::float32 ? f.template operator()<float>() : f.template operator()<double>();
}

/// Elements of an array, row-major, that views may share; null where they are one number in place.
using Memory = std::shared_ptr<std::byte>;

/// What a node is computed of: a few nodes, in place.
class Inputs {
 public:
  Inputs() = default;
  /// As many as there are.
  template <class... Nodes>
    requires(sizeof...(Nodes) > 0 && (std::is_same_v<std::remove_cvref_t<Nodes>, NodePtr> && ...))
  Inputs(Nodes&&... nodes) : size_(sizeof...(Nodes)), nodes_{std::forward<Nodes>(nodes)...} {}

  std::size_t size() const { return size_; }
  NodePtr* begin() { return nodes_; }
  NodePtr* end() { return nodes_ + size_; }
  const NodePtr* begin() const { return nodes_; }
  const NodePtr* end() const { return nodes_ + size_; }
  const NodePtr& operator[](std::size_t i) const { return nodes_[i]; }
  void push_back(NodePtr node) { nodes_[size_++] = std::move(node); }

 private:
  std::size_t size_ = 0;
  NodePtr nodes_[formulas::kMostInputs];
};

/// A number or array as a mathematical expression: a delta takes the place of a gradient on the way back.
struct Expression {
  NodePtr node;
};

/// What a node computes of its inputs: forward and backward side by side.
class Op {
 public:
  virtual ~Op() = default;

  virtual const char* name() const = 0;
  /// The place of its formula, where it is one.
  virtual int formula() const { return -1; }
  /// Its options, as Python would write them.
  virtual std::string details() const { return {}; }
  /// Whether a delta of the output says something about this input.
  virtual bool differentiable(std::size_t) const { return true; }
  /// Writes the node's value from those of its inputs.
  virtual void forward(Node& y) const = 0;
  /// Adds each input's share of the node's delta to the input's.
  virtual void backward(Node& y) const = 0;
  /// The share of one input as an expression, from that of the delta.
  virtual Expression delta(const NodePtr& y, std::size_t input, const Expression& delta) const = 0;
};

/// A value in a computational graph. It is made of its inputs for good, so an order of evaluation, once found, stays
/// right; a leaf's value may be set.
class Node : public std::enable_shared_from_this<Node> {
 public:
  enum class Kind : std::uint8_t { constant, variable, computed };

  /// A leaf with all elements 0. A constant that is `weak` takes the precision of what it meets.
  Node(Kind kind, Shape shape, Precision precision, bool weak = false);
  /// op(inputs), evaluated.
  Node(std::shared_ptr<const Op> op, Inputs inputs, Shape shape, Precision precision);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  Kind kind() const { return kind_; }
  const Op* op() const { return op_.get(); }
  const std::shared_ptr<const Op>& shared_op() const { return op_; }
  const Inputs& inputs() const { return inputs_; }
  const Shape& shape() const { return shape_; }
  Precision precision() const { return precision_; }
  Index size() const { return size_; }
  bool weak() const { return weak_; }
  std::uint64_t serial() const { return serial_; }
  /// Whether a variable stands above it, so that a delta has somewhere to go.
  bool active() const { return active_; }
  /// Whether this input gets a share of its delta.
  bool sends_delta(std::size_t input) const { return active_ && inputs_[input]->active_ && op_->differentiable(input); }

  template <class T>
  const T* value() const {
    return reinterpret_cast<const T*>(value_ ? value_.get() : cell_.value);
  }
  const Memory& value_memory() const { return value_; }
  /// Brings back what was not kept because only other nodes read it: to be called before anybody looks.
  void reveal_value();
  void materialize();
  /// Memory that nobody else sees, to be written whole.
  template <class T>
  T* fresh_value() {
    own(value_);
    return reinterpret_cast<T*>(value_ ? value_.get() : cell_.value);
  }

  /// Whether a backward pass has come by.
  bool has_delta() const { return reached_; }
  void forget_delta() { reached_ = false; }
  template <class T>
  const T* delta() const {
    if (uniform_) fill_delta();
    return reinterpret_cast<const T*>(delta_ ? delta_.get() : cell_.delta);
  }
  const Memory& delta_memory() const { return delta_; }

  /// A number and its delta, where the node is one.
  kernels::ScalarCell& cell() { return cell_; }

  /// Where a share of the delta goes: written where it is the first of a pass, added to what is there otherwise.
  template <class T>
  struct Share {
    T* data;
    bool accumulate;
  };
  template <class T>
  Share<T> share() {
    const bool first = !filled_;
    first ? own(delta_) : own_delta();
    filled_ = true;
    return {place<T>(), !first};
  }
  /// A share that is one number for all elements, where it is the first of a pass and this is an array; false
  /// elsewhere.
  template <class T>
  bool share_uniform(T number) {
    if (filled_ || size_ <= 1) return false;
    *reinterpret_cast<T*>(cell_.delta) = number;
    return uniform_ = filled_ = true;
  }
  /// The same for what can only add.
  template <class T>
  T* sum() {
    filled_ ? own_delta() : clear_delta();
    return place<T>();
  }
  /// Shows y's delta as its own, where it is the first share of a pass and an array; false elsewhere.
  bool borrow_delta(const Node& y);

  /// Whether it is part of so much that its arrays are better written past the caches.
  bool streamed() const { return streamed_; }

  /// Evaluates what this node is made of, in order, and it itself.
  void forward();
  /// The delta recursion from dJ/d(this) = `delta` (of this node's shape, or one number): every node above that
  /// depends on a variable gets its delta.
  template <class T>
  void backward(const T* delta, bool single);

  /// Nodes that it is made of and itself, each after its inputs; with `active` only those that get a delta.
  std::vector<Node*> ancestors(bool active = false);

  std::string name;

 private:
  friend class Program;
  friend class Region;

  std::size_t bytes() const { return static_cast<std::size_t>(size_) * (precision_ == Precision::float32 ? 4 : 8); }
  template <class T>
  T* place() {
    return reinterpret_cast<T*>(delta_ ? delta_.get() : cell_.delta);
  }
  /// Room that nobody else sees; what was there is lost.
  void own(Memory& memory) const;
  void clear_delta();
  /// Begins a pass.
  void forget_shares();
  /// Makes a delta that is borrowed or one number its own, to be added to.
  void own_delta();
  void fill_delta() const;
  void hide(std::shared_ptr<Region>& hider, const std::shared_ptr<Region>& region);
  void unhide(std::shared_ptr<Region>& hider);
  Program& program();

  Kind kind_;
  Precision precision_;
  bool weak_;
  bool active_;
  bool reached_ = false;
  bool filled_ = false;
  bool borrowed_ = false;
  mutable bool uniform_ = false;  // the number in the cell stands for all elements
  bool streamed_ = false;
  Index size_;
  std::uint64_t serial_;    // a node's is above its inputs'
  std::uint64_t mark_ = 0;  // of the last search that came by
  std::shared_ptr<const Op> op_;
  Inputs inputs_;
  Shape shape_;
  kernels::ScalarCell cell_{};
  Memory value_;
  mutable Memory delta_;
  Memory spare_;                                       // its own while its delta is borrowed
  std::shared_ptr<Region> value_hider_, delta_hider_;  // these know what was not kept
  std::unique_ptr<Program> program_;
};

}  // namespace deltaprop::graph
