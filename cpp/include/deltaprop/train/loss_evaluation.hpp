#pragma once

#include <string>

#include "deltaprop/core/types.hpp"
#include "deltaprop/nn/loss.hpp"
#include "deltaprop/train/data.hpp"

namespace deltaprop::train {

/// ValueError where targets, called `name`, are not what the loss takes for outputs of `cols` columns, naming the row.
template <class T>
void check_targets(
    const nn::Loss& loss, const StridedView& y, Index cols, const std::string& name,
    const InterruptCheck& check_interrupt = [] {});

/// What `fit` does with a loss, for outputs that the caller has.
template <class T>
double loss_value(const nn::Loss& loss, const StridedView& outputs, const Targets& targets);
/// dJ/d(outputs), (rows, cols).
template <class T>
void loss_delta(const nn::Loss& loss, const StridedView& outputs, const Targets& targets, T* delta);
/// The unreduced loss, times its factor, (rows, elements a row).
template <class T>
void loss_elements(const nn::Loss& loss, const StridedView& outputs, const Targets& targets, T* elements);

}  // namespace deltaprop::train
