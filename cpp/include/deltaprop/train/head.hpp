#pragma once

#include "deltaprop/nn/loss.hpp"

namespace deltaprop::train {

/// The loss of one output, and its weight in the sum over all outputs.
struct Head {
  const nn::Loss* loss;
  double weight = 1;
};

}  // namespace deltaprop::train
