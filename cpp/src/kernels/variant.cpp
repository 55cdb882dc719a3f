// The kernels of one instruction set. This file is compiled once per instruction set, with its compiler flags.

#include <array>

#include "activations.hpp"
#include "dropout.hpp"
#include "elementwise.hpp"
#include "level1.hpp"
#include "losses.hpp"
#include "normalise.hpp"
#include "prelu.hpp"
#include "product.hpp"
#include "reductions.hpp"
#include "updates.hpp"

namespace deltaprop::kernels {
namespace {

template <class T>
Kernels<T> kernels() {
  return {
      .product = run_product<T, false>,
      .blocked_product = run_product<T, true>,
      .column_sums = column_sums<T>,
      .all_finite = all_finite<T>,
      .layer_norm = row_norm<true, T>,
      .layer_norm_delta = row_norm_delta<true, T>,
      .rms_norm = row_norm<false, T>,
      .rms_norm_delta = row_norm_delta<false, T>,
      .column_moments = column_moments<T>,
      .column_norm = column_norm<T>,
      .column_norm_delta = column_norm_delta<T>,
      .inverse_deviation = inverse_deviation<T>,
      .blend = blend<T>,
      .dropout_mask = dropout_mask<T>,
      .masked = masked<T>,
      .activations = activations<T>().data(),
      .activation_count = static_cast<Index>(activations<T>().size()),
      .prelu_forward = prelu_forward<T>,
      .prelu_backward = prelu_backward<T>,
      .prelu_gradient = prelu_gradient<T>,
      .losses = losses<T>().data(),
      .loss_count = static_cast<Index>(losses<T>().size()),
      .updates = updates<T>().data(),
      .update_count = static_cast<Index>(updates<T>().size()),
      .square_sum = square_sum<T>,
      .average = average<T>,
      .limit_norms = limit_norms<T>,
      .formulas = elementwise_formulas<T>().data(),
      .scalars_forward = scalars_forward<T>,
      .scalars_backward = scalars_backward<T>,
      .add = add<T>,
      .norm = norm<T>,
      .sum = total<T>,
      .largest = largest<T>,
  };
}

}  // namespace
}  // namespace deltaprop::kernels

extern "C" [[gnu::visibility("default")]] const deltaprop::kernels::Table* deltaprop_kernels() {
  using namespace deltaprop::kernels;
  static const Table table{kernels<float>(), kernels<double>()};
  return &table;
}
