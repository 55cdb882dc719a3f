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

void Node::make_unique_memory(Memory& memory) const {
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
  make_unique_memory(value_);
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
    inputs_[i]->materialize_value();
    active_ |= inputs_[i]->active_ && op_->differentiable(i);
  }
  op_->forward(*this);
}

// Releases the ancestors iteratively: recursion would overflow the stack on deep graphs.
Node::~Node() {
  detach(value_region_);
  detach(delta_region_);
  std::vector<NodePtr> doomed;
  const auto take = [&](Inputs& inputs) {
    for (NodePtr& x : inputs) {
      NodePtr input = std::move(x);
      if (input.use_count() == 1 && input->inputs_.size() > 0) doomed.push_back(std::move(input));
    }
  };
  take(inputs_);
  while (!doomed.empty()) {
    const NodePtr node = std::move(doomed.back());
    doomed.pop_back();
    take(node->inputs_);
  }
}

void Node::zero_delta() {
  make_unique_memory(delta_);
  std::fill_n(delta_data<std::byte>(), bytes(), std::byte{0});
  filled_ = true;
}

void Node::begin_pass() {
  if (std::exchange(borrowed_, false)) delta_ = std::move(spare_);
  detach(delta_region_);
  has_delta_ = true;
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
  make_unique_memory(delta_);
  with_type(precision_, [&]<class T>() {
    std::fill_n(reinterpret_cast<T*>(delta_.get()), size_, *reinterpret_cast<const T*>(cell_.delta));
  });
  uniform_ = false;
}

void Node::make_delta_unique() {
  if (uniform_) return fill_delta();
  if (!std::exchange(borrowed_, false)) return;
  const Memory other = std::exchange(delta_, std::move(spare_));
  make_unique_memory(delta_);
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

void Node::attach(std::shared_ptr<Region>& slot, const std::shared_ptr<Region>& region) {
  if (slot == region) return;
  detach(slot);
  slot = region;
}

void Node::detach(std::shared_ptr<Region>& slot) {
  const auto region = std::exchange(slot, nullptr);
  if (region && region != value_region_ && region != delta_region_) region->forget(*this);
}

void Node::materialize_value() {
  if (const auto region = value_region_) region->materialize_values();
}

void Node::materialize() {
  materialize_value();
  if (const auto region = delta_region_) region->materialize_deltas();
}

void Node::forward() { program().forward(); }

template <class T>
void Node::backward(const T* delta, bool is_scalar) {
  if (!active_) throw ValueError("backward: expected a node that depends on a variable, got one of constants alone");
  Program& steps = program();
  steps.clear();
  if (!is_scalar || !share_uniform(*delta)) std::copy_n(delta, size_, share<T>().data);
  steps.backward();
}
template void Node::backward<float>(const float*, bool);
template void Node::backward<double>(const double*, bool);

}  // namespace deltaprop::graph
