#pragma once

#include "deltaprop/core/threads.hpp"
#include "deltaprop/engine/program.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/train/stepper.hpp"

namespace deltaprop::train {

/// A gradient step by an update rule. Parameters are updated by tile while its gradient is in cache, unless the rule
/// needs all gradients first.
template <class T>
class FirstOrder final : public Stepper<T> {
 public:
  explicit FirstOrder(optim::Optimizer<T>& optimizer) : optimizer_(optimizer) {}

  void begin(Objective<T>& objective) override;
  double step(std::span<const Batch> batches, double rows, const InterruptCheck& check_interrupt) override;
  void set_option(Index group, Index option, double value) override { optimizer_.set_option(group, option, value); }

 private:
  void compile();

  optim::Optimizer<T>& optimizer_;
  Objective<T>* objective_ = nullptr;
  engine::Program update_, gradients_and_update_;
  Index version_ = -1;
  threads::Trial trial_;
};

}  // namespace deltaprop::train
