#pragma once

#include <functional>

#include "deltaprop/nn/loss.hpp"
#include "deltaprop/train/data.hpp"
#include "deltaprop/train/model.hpp"

namespace deltaprop::train {

/// The loss over all rows of `data`, in inference. A loss that couples rows is given all of them at once. `between` is
/// called between tiles of rows, and may throw.
template <class T>
double evaluate(const Model<T>& model, const nn::Loss& loss, const Data& data,
                const std::function<void()>* between = nullptr);

}  // namespace deltaprop::train
