#include "deltaprop/graph/node.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/program.hpp"
#include "region.hpp"

namespace deltaprop::graph {

namespace {

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> count{0};
  return ++count;
}

}  // namespace

void Node::own(Memory& memory) const {
  if (size_ <= 1 || (memory && memory.use_count() == 1)) return;
  memory = std::static_pointer_cast<std::byte>(Buffer<std::byte>(static_cast<Index>(bytes())).owner());
}

Node::Node(Kind kind, Shape shape, Precision precision, bool weak)
    : kind_(kind),
      precision_(precision),
      weak_(weak),
      active_(kind == Kind::variable),
      size_(element_count(shape)),
      serial_(next_serial()),
      shape_(std::move(shape)) {
  own(value_);
}

Node::Node(std::shared_ptr<const Op> op, Inputs inputs, Shape shape, Precision precision)
    : kind_(Kind::computed),
      precision_(precision),
      weak_(false),
      active_(false),
      size_(element_count(shape)),
      serial_(next_serial()),
      op_(std::move(op)),
      inputs_(std::move(inputs)),
      shape_(std::move(shape)) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    inputs_[i]->reveal_value();
    active_ |= inputs_[i]->active_ && op_->differentiable(i);
  }
  op_->forward(*this);
}

// A chain is taken apart link by link: as deep as it is, the stack does not grow.
Node::~Node() {
  unhide(value_hider_);
  unhide(delta_hider_);
  std::vector<NodePtr> loose;
  const auto take = [&](Inputs& inputs) {
    for (NodePtr& x : inputs) {
      NodePtr own = std::move(x);
      if (own.use_count() == 1 && own->inputs_.size() > 0) loose.push_back(std::move(own));
    }
  };
  take(inputs_);
  while (!loose.empty()) {
    const NodePtr node = std::move(loose.back());
    loose.pop_back();
    take(node->inputs_);
  }
}

void Node::clear_delta() {
  own(delta_);
  std::fill_n(place<std::byte>(), bytes(), std::byte{0});
  filled_ = true;
}

void Node::forget_shares() {
  if (std::exchange(borrowed_, false)) delta_ = std::move(spare_);
  unhide(delta_hider_);
  reached_ = true;
  filled_ = uniform_ = false;
}

bool Node::borrow_delta(const Node& y) {
  if (filled_ || y.size_ <= 1) return false;
  if (y.uniform_) {
    std::copy_n(y.cell_.delta, sizeof(cell_.delta), cell_.delta);
    return uniform_ = filled_ = true;
  }
  spare_ = std::exchange(delta_, y.delta_);
  return borrowed_ = filled_ = true;
}

void Node::fill_delta() const {
  own(delta_);
  with_type(precision_, [&]<class T>() {
    std::fill_n(reinterpret_cast<T*>(delta_.get()), size_, *reinterpret_cast<const T*>(cell_.delta));
  });
  uniform_ = false;
}

void Node::own_delta() {
  if (uniform_) return fill_delta();
  if (!std::exchange(borrowed_, false)) return;
  const Memory other = std::exchange(delta_, std::move(spare_));
  own(delta_);
  std::copy_n(other.get(), bytes(), delta_.get());
}

std::vector<Node*> Node::ancestors(bool active) {
  static std::atomic<std::uint64_t> searches{0};
  const std::uint64_t mark = ++searches;
  std::vector<Node*> found{this}, open{this};
  mark_ = mark;
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const NodePtr& x : node->inputs_) {
      if ((active && !x->active_) || std::exchange(x->mark_, mark) == mark) continue;
      found.push_back(x.get());
      open.push_back(x.get());
    }
  }
  std::sort(found.begin(), found.end(), [](const Node* a, const Node* b) { return a->serial_ < b->serial_; });
  return found;
}

Program& Node::program() {
  if (!program_) program_ = std::make_unique<Program>(*this);
  return *program_;
}

void Node::hide(std::shared_ptr<Region>& hider, const std::shared_ptr<Region>& region) {
  if (hider == region) return;
  unhide(hider);
  hider = region;
}

void Node::unhide(std::shared_ptr<Region>& hider) {
  const auto region = std::exchange(hider, nullptr);
  if (region && region != value_hider_ && region != delta_hider_) region->forget(*this);
}

void Node::reveal_value() {
  if (const auto hider = value_hider_) hider->reveal_values();
}

void Node::materialize() {
  reveal_value();
  if (const auto hider = delta_hider_) hider->reveal_deltas();
}

void Node::forward() { program().forward(); }

template <class T>
void Node::backward(const T* delta, bool single) {
  if (!active_) throw ValueError("backward: expected a node that depends on a variable, got one of constants alone");
  Program& steps = program();
  steps.clear();
  if (!single || !share_uniform(*delta)) std::copy_n(delta, size_, share<T>().data);
  steps.backward();
}
template void Node::backward<float>(const float*, bool);
template void Node::backward<double>(const double*, bool);

}  // namespace deltaprop::graph
