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

/// Calls f.template operator()<float>() or <double>().
template <class F>
decltype(auto) with_type(Precision precision, F&& f) {
  return precision == Precision::float32 ? f.template operator()<float>() : f.template operator()<double>();
}

/// Row-major elements of an array, reference counted; null for a scalar, which is stored in the node.
using Memory = std::shared_ptr<std::byte>;

/// The inputs of a node: a short vector without heap allocation.
class Inputs {
 public:
  Inputs() = default;
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
  NodePtr nodes_[formulas::kMaxInputs];
};

/// A node wrapped so that formulas can be written with operators.
struct Expression {
  NodePtr node;
};

/// The operation of a node: forward and backward side by side. The share of an input is its part of the node's delta:
/// delta * dy/dx.
class Op {
 public:
  virtual ~Op() = default;

  virtual const char* name() const = 0;
  /// Position in formulas.hpp, or -1 if it is not an elementwise formula.
  virtual int formula() const { return -1; }
  /// The options in Python syntax.
  virtual std::string details() const { return {}; }
  /// Whether y is differentiable in this input.
  virtual bool differentiable(std::size_t) const { return true; }
  /// Computes the value of y from the values of its inputs.
  virtual void forward(Node& y) const = 0;
  /// Adds the share of each input to the delta of that input.
  virtual void backward(Node& y) const = 0;
  /// The share of one input as an expression of y's delta.
  virtual Expression delta(const NodePtr& y, std::size_t input, const Expression& delta) const = 0;
};

/// A value in a computational graph. The inputs never change, so a topological order stays valid; the value of a leaf
/// may be set.
class Node : public std::enable_shared_from_this<Node> {
 public:
  enum class Kind : std::uint8_t { constant, variable, computed };

  /// A leaf with all elements 0. A weak constant takes the precision of the other operands.
  Node(Kind kind, Shape shape, Precision precision, bool weak = false);
  /// y = op(inputs), evaluated at once.
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
  /// Whether the node depends on a variable.
  bool active() const { return active_; }
  /// Whether this input gets a share of the node's delta.
  bool sends_delta(std::size_t input) const { return active_ && inputs_[input]->active_ && op_->differentiable(input); }

  template <class T>
  const T* value() const {
    return reinterpret_cast<const T*>(value_ ? value_.get() : cell_.value);
  }
  const Memory& value_memory() const { return value_; }
  /// Recomputes a value (and delta) that a region did not store. To be called before value() (and delta()).
  void materialize_value();
  void materialize();
  /// Unshared memory for a new value; the previous content is lost.
  template <class T>
  T* fresh_value() {
    make_unique_memory(value_);
    return reinterpret_cast<T*>(value_ ? value_.get() : cell_.value);
  }

  /// Whether a backward pass has reached the node.
  bool has_delta() const { return has_delta_; }
  void forget_delta() { has_delta_ = false; }
  template <class T>
  const T* delta() const {
    if (uniform_) fill_delta();
    return reinterpret_cast<const T*>(delta_ ? delta_.get() : cell_.delta);
  }
  const Memory& delta_memory() const { return delta_; }

  /// Value and delta of a scalar node.
  kernels::ScalarCell& cell() { return cell_; }

  /// Destination of a share of this node's delta: the first share of a pass is written, later ones are added.
  template <class T>
  struct Share {
    T* data;
    bool accumulate;
  };
  template <class T>
  Share<T> share() {
    const bool first = !filled_;
    first ? make_unique_memory(delta_) : make_delta_unique();
    filled_ = true;
    return {delta_data<T>(), !first};
  }
  /// Sets a share that is the same for all elements without filling an array. False, and no effect, unless this is an
  /// array and the share is the first of the pass.
  template <class T>
  bool share_uniform(T number) {
    if (filled_ || size_ <= 1) return false;
    *reinterpret_cast<T*>(cell_.delta) = number;
    return uniform_ = filled_ = true;
  }
  /// Destination of a share for code that only adds: zeroed before the first share of a pass.
  template <class T>
  T* sum() {
    filled_ ? make_delta_unique() : zero_delta();
    return delta_data<T>();
  }
  /// Aliases y's delta instead of copying it. False, and no effect, unless this is an array and the share is the first
  /// of the pass.
  bool borrow_delta(const Node& y);

  /// Whether the arrays of the graph exceed the caches, so that non-temporal stores pay off.
  bool streamed() const { return streamed_; }

  /// Evaluates the ancestors in topological order, then this node.
  void forward();
  /// Backward pass from dJ/d(this) = `delta`, of this node's shape or a scalar: computes the delta of every ancestor
  /// that depends on a variable.
  template <class T>
  void backward(const T* delta, bool is_scalar);

  /// This node and its ancestors in topological order; with `active` only those that get a delta.
  std::vector<Node*> ancestors(bool active = false);

  std::string name;

 private:
  friend class Program;
  friend class Region;

  std::size_t bytes() const { return static_cast<std::size_t>(size_) * (precision_ == Precision::float32 ? 4 : 8); }
  template <class T>
  T* delta_data() {
    return reinterpret_cast<T*>(delta_ ? delta_.get() : cell_.delta);
  }
  /// Replaces memory that is shared or missing by a new allocation; the content is lost.
  void make_unique_memory(Memory& memory) const;
  void zero_delta();
  /// Resets the delta for a backward pass.
  void begin_pass();
  /// Copies a borrowed or uniform delta into own memory, so that shares can be added.
  void make_delta_unique();
  void fill_delta() const;
  /// Sets or clears the region that recomputes the value or the delta.
  void attach(std::shared_ptr<Region>& slot, const std::shared_ptr<Region>& region);
  void detach(std::shared_ptr<Region>& slot);
  Program& program();

  Kind kind_;
  Precision precision_;
  bool weak_;
  bool active_;
  bool has_delta_ = false;
  bool filled_ = false;           // a share of this pass has been written
  bool borrowed_ = false;         // delta_ aliases the delta of another node
  mutable bool uniform_ = false;  // all elements of the delta equal the number in the cell
  bool streamed_ = false;
  Index size_;
  std::uint64_t serial_;    // larger than that of every input
  std::uint64_t mark_ = 0;  // of the last search that visited the node
  std::shared_ptr<const Op> op_;
  Inputs inputs_;
  Shape shape_;
  kernels::ScalarCell cell_{};
  Memory value_;
  mutable Memory delta_;
  Memory spare_;                                         // own memory while delta_ is borrowed
  std::shared_ptr<Region> value_region_, delta_region_;  // recompute values not stored; else null
  std::unique_ptr<Program> program_;
};

}  // namespace deltaprop::graph
