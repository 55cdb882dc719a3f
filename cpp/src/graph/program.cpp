#include "deltaprop/graph/program.hpp"

#include <algorithm>

#include "region.hpp"
#include "scalar_step.hpp"

namespace deltaprop::graph {
namespace {

// Assumed size of the last-level cache: with more data, values written early are evicted before they are read.
constexpr std::size_t kCacheBytes = 20 << 20;

}  // namespace

Program::Program(Node& root) {
  const std::vector<Node*> nodes = root.ancestors();
  std::size_t bytes = 0;
  for (Node* node : nodes) {
    if (node->active_) (node->size_ == 1 ? scalars_ : arrays_).push_back(node);
    const Part* last = parts_.empty() ? nullptr : &parts_.back();
    if (node->kind_ == Node::Kind::computed && node->size_ == 1 && node->op_->formula() >= 0) {
      const auto here = static_cast<Index>(steps_.size());
      if (last == nullptr || last->end == 0 || last->precision != node->precision_) {
        parts_.push_back({.precision = node->precision_, .begin = here});
      }
      steps_.push_back(scalar_step(*node));
      parts_.back().end = here + 1;
    } else if (Region::accepts(*node)) {
      if (last == nullptr || !last->region || !last->region->can_add(*node)) {
        parts_.push_back({.precision = node->precision_, .region = std::make_shared<Region>(*node)});
      }
      parts_.back().region->add(*node);
    } else {
      bytes += node->bytes();
      if (node->op_) parts_.push_back({.precision = node->precision_, .node = node});
    }
  }
  for (const Part& part : parts_) bytes += part.region ? part.region->bytes() : 0;
  for (Node* node : nodes) node->streamed_ = bytes > kCacheBytes;
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
  for (Node* node : arrays_) node->begin_pass();
  // Scalar steps only add, so the deltas start at 0.
  for (Node* node : scalars_) {
    node->has_delta_ = node->filled_ = true;
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
      if (!part->node->filled_) part->node->zero_delta();
      part->node->op_->backward(*part->node);
    }
  }
  for (Node* node : arrays_) {
    if (!node->filled_ && !node->delta_region_) node->zero_delta();
  }
}

}  // namespace deltaprop::graph
