#pragma once

#include <array>
#include <memory>
#include <vector>

#include "deltaprop/graph/node.hpp"

namespace deltaprop::graph {

/// Formulas over arrays of one size, run together a tile after the other, so that what one hands to the next stays in
/// the cache. Values and deltas that only members read are not kept. The region knows what they came of, and brings
/// them back when somebody comes by to look.
class Region : public std::enable_shared_from_this<Region> {
 public:
  static constexpr std::size_t kMax = 32;  // members

  /// Whether its inputs are arrays of its own size, or single numbers that get no delta.
  static bool takes(const Node& y);

  explicit Region(const Node& first) : size_(first.size()), precision_(first.precision()) {}
  bool has_room_for(const Node& y) const;
  void add(Node& y);
  /// Of the values that are kept.
  std::size_t bytes() const;

  void forward();
  /// Forgets the last pass back.
  void clear() { back_ = {}; }
  void backward();

  void reveal_values();
  void reveal_deltas();
  /// This node is gone, or has nothing hidden here any more.
  void forget(const Node& y);

 private:
  /// What a formula reads: the value of a member, or of a source.
  struct Operand {
    bool member;
    std::size_t place;
  };
  struct Member {
    Node* node;
    std::size_t formula, inputs;
    Operand operands[formulas::kMostInputs];
    bool active;
    bool sends[formulas::kMostInputs];  // a share of its delta
    bool costly;                        // to compute again
    bool needed = false;                // for somebody's share
    int uses = 0;                       // by members
    std::size_t last = 0;               // of the members that use it
    int shares = 0;                     // of its delta that come from members
    Node* hidden = nullptr;             // it, while something of it is hidden here: other nodes may die
  };
  /// An input from outside.
  struct Source {
    Node* node;
    int shares = 0;
  };
  /// An array, or one number for all elements of it.
  struct Array {
    Memory memory;
    alignas(8) std::byte number[8];
  };
  struct Delta {
    bool hidden, known;
    Array array;
  };
  /// The last pass back.
  struct Back {
    std::vector<Array> sources;
    std::vector<Delta> deltas;  // of the members
  };
  /// An array walked tile by tile, or what lies in the same place for every tile.
  template <class T>
  struct Walked {
    T* first = nullptr;
    bool moves = false;
    T* at(Index i) const { return first + (moves ? i : 0); }
  };
  template <class T>
  using Walks = std::array<Walked<T>, kMax>;  // of the members
  template <class T>
  struct ForwardStep;
  template <class T>
  struct BackwardStep;

  Operand operand(Node& x);
  int& shares(const Operand& x) { return x.member ? members_[x.place].shares : sources_[x.place].shares; }
  Node& node(const Operand& x) { return x.member ? *members_[x.place].node : *sources_[x.place].node; }
  /// Whether none but members read it.
  static bool unseen(const Member& m);
  bool hides_value(const Member& m) const { return m.hidden != nullptr && m.hidden->value_hider_.get() == this; }
  bool hides_delta(const Member& m) const { return m.hidden != nullptr && m.hidden->delta_hider_.get() == this; }
  std::vector<Array> taken() const;
  template <class T, class Step>
  static void set_inputs(const Member& m, const std::vector<Array>& sources, const Walks<T>& values, Step& step);
  template <class T>
  ForwardStep<T> forward_step(std::size_t k, const std::vector<Array>& sources, const Walks<T>& values) const;
  template <class T, class Step>
  void run(std::vector<ForwardStep<T>> before, std::vector<Step> steps) const;
  template <class T>
  void evaluate(Walks<T> values, bool streamed) const;
  template <class T>
  std::vector<BackwardStep<T>> backward_steps(const Walks<T>& values, bool revealing);
  template <class T>
  Walked<T> hidden_delta(std::size_t k, bool revealing) const;
  void run_back(bool revealing);

  Index size_;
  Precision precision_;
  std::vector<Member> members_;
  std::vector<Source> sources_;
  std::vector<Array> before_;  // what the sources were in the last pass forward
  Back back_;
};

}  // namespace deltaprop::graph
