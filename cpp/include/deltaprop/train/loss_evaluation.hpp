#pragma once

#include <string>

#include "deltaprop/core/types.hpp"
#include "deltaprop/nn/loss.hpp"
#include "deltaprop/train/data.hpp"

namespace deltaprop::train {

/// ValueError, naming the row, if the loss does not accept the targets, called `name`, for outputs of `cols` columns.
template <class T>
void check_targets(
    const nn::Loss& loss, const StridedView& y, Index cols, const std::string& name,
    const InterruptCheck& check_interrupt = [] {});

/// The evaluation of a loss as in `fit`, for outputs of the caller.
template <class T>
double loss_value(const nn::Loss& loss, const StridedView& outputs, const Targets& targets);
/// dJ/d(outputs), (rows, cols).
template <class T>
void loss_delta(const nn::Loss& loss, const StridedView& outputs, const Targets& targets, T* delta);
/// The unreduced loss, times its factor, (rows, elements per row).
template <class T>
void loss_elements(const nn::Loss& loss, const StridedView& outputs, const Targets& targets, T* elements);

}  // namespace deltaprop::train
