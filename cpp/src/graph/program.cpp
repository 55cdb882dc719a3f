#include "deltaprop/graph/program.hpp"

#include <algorithm>

#include "region.hpp"
#include "scalar_step.hpp"

namespace deltaprop::graph {
namespace {

// What the last cache may be thought to hold: beyond, nothing written early is still there when it is read.
constexpr std::size_t kCached = 20 << 20;

}  // namespace

Program::Program(Node& root) {
  const std::vector<Node*> nodes = root.ancestors();
  std::size_t bytes = 0;
  for (Node* node : nodes) {
    if (node->active_) (node->size_ == 1 ? numbers_ : arrays_).push_back(node);
    const Part* last = parts_.empty() ? nullptr : &parts_.back();
    if (node->kind_ == Node::Kind::computed && node->size_ == 1 && node->op_->formula() >= 0) {
      const auto here = static_cast<Index>(steps_.size());
      if (last == nullptr || last->end == 0 || last->precision != node->precision_) {
        parts_.push_back({.precision = node->precision_, .begin = here});
      }
      steps_.push_back(scalar_step(*node));
      parts_.back().end = here + 1;
    } else if (Region::takes(*node)) {
      if (last == nullptr || !last->region || !last->region->has_room_for(*node)) {
        parts_.push_back({.precision = node->precision_, .region = std::make_shared<Region>(*node)});
      }
      parts_.back().region->add(*node);
    } else {
      bytes += node->bytes();
      if (node->op_) parts_.push_back({.precision = node->precision_, .node = node});
    }
  }
  for (const Part& part : parts_) bytes += part.region ? part.region->bytes() : 0;
  for (Node* node : nodes) node->streamed_ = bytes > kCached;
}

Program::~Program() = default;

void Program::forward() {
  for (const Part& part : parts_) {
    if (part.region) {
      part.region->forward();
    } else if (part.node != nullptr) {
      part.node->op_->forward(*part.node);
    } else {
      with_type(part.precision, [&]<class T>() {
        kernels::get<T>().scalars_forward(steps_.data() + part.begin, part.end - part.begin);
      });
    }
  }
}

void Program::clear() {
  for (const Part& part : parts_) {
    if (part.region) part.region->clear();
  }
  for (Node* node : arrays_) node->forget_shares();
  // Always filled, so that whoever comes can add.
  for (Node* node : numbers_) {
    node->reached_ = node->filled_ = true;
    std::fill_n(node->cell_.delta, sizeof(node->cell_.delta), std::byte{0});
  }
}

void Program::backward() {
  for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
    if (part->region) {
      part->region->backward();
    } else if (part->node == nullptr) {
      with_type(part->precision, [&]<class T>() {
        kernels::get<T>().scalars_backward(steps_.data() + part->begin, part->end - part->begin);
      });
    } else if (part->node->active_) {
      if (!part->node->filled_) part->node->clear_delta();
      part->node->op_->backward(*part->node);
    }
  }
  for (Node* node : arrays_) {
    if (!node->filled_ && !node->delta_hider_) node->clear_delta();
  }
}

}  // namespace deltaprop::graph
