#pragma once

#include <array>
#include <memory>
#include <vector>

#include "deltaprop/graph/node.hpp"

namespace deltaprop::graph {

/// A fused group of elementwise formulas over arrays of one size, run tile by tile so that intermediate results stay in
/// cache. Values and deltas that only members read are not stored ("deferred"); the region recomputes them when they
/// are read from outside.
class Region : public std::enable_shared_from_this<Region> {
 public:
  static constexpr std::size_t kMax = 32;  // members

  /// Whether y is an elementwise formula whose inputs are arrays of its size, or scalars that get no delta.
  static bool accepts(const Node& y);

  explicit Region(const Node& first) : size_(first.size()), precision_(first.precision()) {}
  bool can_add(const Node& y) const;
  void add(Node& y);
  /// Size of the values that are stored.
  std::size_t bytes() const;

  void forward();
  /// Discards the state of the last backward pass.
  void clear() { backward_ = {}; }
  void backward();

  void materialize_values();
  void materialize_deltas();
  /// To be called when y is destroyed, or neither its value nor its delta is deferred any more.
  void forget(const Node& y);

 private:
  /// An operand of a formula: the value of a member or of a source.
  struct Operand {
    bool is_member;
    std::size_t index;
  };
  struct Member {
    Node* node;
    std::size_t formula, inputs;
    Operand operands[formulas::kMaxInputs];
    bool active;
    bool sends[formulas::kMaxInputs];  // which inputs get a share of its delta
    bool expensive;                    // worth storing rather than recomputing
    bool value_needed = false;         // by some share
    int uses = 0;                      // as an operand of members
    std::size_t last = 0;              // the last member that reads its value
    int shares = 0;                    // of its delta, from members
    Node* deferred = nullptr;          // = node while its value or delta is deferred; otherwise it may be destroyed
  };
  /// A node outside the region that members read.
  struct Source {
    Node* node;
    int shares = 0;
  };
  /// An array, or a scalar that stands for all elements.
  struct ArrayOrScalar {
    Memory memory;
    alignas(8) std::byte number[8];
  };
  struct Delta {
    bool deferred, known;  // known: some share has been added
    ArrayOrScalar array;
  };
  /// State of the last backward pass.
  struct BackwardState {
    std::vector<ArrayOrScalar> sources;
    std::vector<Delta> deltas;  // of the members
  };
  /// An array, which advances from tile to tile, or a buffer that every tile reuses.
  template <class T>
  struct TilePointer {
    T* first = nullptr;
    bool advances = false;
    T* at(Index i) const { return first + (advances ? i : 0); }
  };
  template <class T>
  using TilePointers = std::array<TilePointer<T>, kMax>;  // by member
  template <class T>
  struct ForwardStep;
  template <class T>
  struct BackwardStep;

  Operand operand(Node& x);
  int& shares(const Operand& x) { return x.is_member ? members_[x.index].shares : sources_[x.index].shares; }
  Node& node(const Operand& x) { return x.is_member ? *members_[x.index].node : *sources_[x.index].node; }
  /// Whether only members read it: the reference count of its node equals the number of uses.
  static bool is_internal(const Member& m);
  bool defers_value(const Member& m) const { return m.deferred != nullptr && m.deferred->value_region_.get() == this; }
  bool defers_delta(const Member& m) const { return m.deferred != nullptr && m.deferred->delta_region_.get() == this; }
  /// The current values of the sources. Holding a reference protects the arrays from being overwritten.
  std::vector<ArrayOrScalar> read_sources() const;
  template <class T, class Step>
  static void set_inputs(const Member& m, const std::vector<ArrayOrScalar>& sources, const TilePointers<T>& values,
                         Step& step);
  template <class T>
  ForwardStep<T> forward_step(std::size_t k, const std::vector<ArrayOrScalar>& sources,
                              const TilePointers<T>& values) const;
  template <class T, class Step>
  void run(std::vector<ForwardStep<T>> before, std::vector<Step> steps) const;
  template <class T>
  void evaluate(TilePointers<T> values, bool streamed) const;
  template <class T>
  std::vector<BackwardStep<T>> backward_steps(const TilePointers<T>& values, bool materializing);
  template <class T>
  TilePointer<T> deferred_delta(std::size_t k, bool materializing) const;
  void run_backward(bool materializing);

  Index size_;
  Precision precision_;
  std::vector<Member> members_;
  std::vector<Source> sources_;
  std::vector<ArrayOrScalar> forward_sources_;  // values of the sources in the last forward pass
  BackwardState backward_;
};

}  // namespace deltaprop::graph
