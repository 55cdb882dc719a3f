#include "deltaprop/graph/program.hpp"

#include <algorithm>

#include "scalar_step.hpp"

namespace deltaprop::graph {
namespace {

// What the last cache may be thought to hold: beyond, nothing written early is still there when it is read.
constexpr std::size_t kCached = 20 << 20;

}  // namespace

Program::Program(Node& root) {
  const std::vector<Node*> nodes = root.ancestors();
  std::size_t bytes = 0;
  for (const Node* node : nodes) bytes += node->size_ == 1 ? 0 : node->bytes();
  for (Node* node : nodes) {
    node->streamed_ = bytes > kCached;
    if (node->active_) (node->size_ == 1 ? numbers_ : arrays_).push_back(node);
    if (node->kind_ != Node::Kind::computed) continue;
    if (node->op_->formula() < 0 || node->size_ != 1) {
      parts_.push_back({.precision = node->precision_, .node = node});
      continue;
    }
    const auto here = static_cast<Index>(steps_.size());
    if (parts_.empty() || parts_.back().node != nullptr || parts_.back().precision != node->precision_) {
      parts_.push_back({.precision = node->precision_, .begin = here});
    }
    steps_.push_back(scalar_step(*node));
    parts_.back().end = here + 1;
  }
}

void Program::forward() {
  for (const Part& part : parts_) {
    if (part.node != nullptr) {
      part.node->op_->forward(*part.node);
    } else {
      with_type(part.precision, [&]<class T>() {
        kernels::get<T>().scalars_forward(steps_.data() + part.begin, part.end - part.begin);
      });
    }
  }
}

void Program::clear() {
  for (Node* node : arrays_) node->forget_shares();
  // Always filled, so that whoever comes can add.
  for (Node* node : numbers_) {
    node->reached_ = node->filled_ = true;
    std::fill_n(node->cell_.delta, sizeof(node->cell_.delta), std::byte{0});
  }
}

void Program::backward() {
  for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
    if (part->node == nullptr) {
      with_type(part->precision, [&]<class T>() {
        kernels::get<T>().scalars_backward(steps_.data() + part->begin, part->end - part->begin);
      });
    } else if (part->node->active_) {
      if (!part->node->filled_) part->node->clear_delta();
      part->node->op_->backward(*part->node);
    }
  }
  for (Node* node : arrays_) {
    if (!node->filled_) node->clear_delta();
  }
}

}  // namespace deltaprop::graph
