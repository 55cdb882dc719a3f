#pragma once

#include <string>

#include "deltaprop/core/strided_view.hpp"

namespace deltaprop::kernels {

/// ValueError naming value, row and column where `view`, called `name`, holds NaN or infinity once converted to T.
/// `first`: the number of its first row in the message.
template <class T>
void check_finite(
    const StridedView& view, const std::string& name, const InterruptCheck& check_interrupt = [] {}, Index first = 0);

}  // namespace deltaprop::kernels
