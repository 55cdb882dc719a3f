// One instruction set's kernels: compiled once for each, with that set's flags.

#include <array>

#include "elementwise.hpp"
#include "losses.hpp"
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
      .activations = activations<T>().data(),
      .activation_count = static_cast<Index>(activations<T>().size()),
      // in the order of `Loss`
      .losses = {squared_error<T>, cross_entropy<T>},
      .updates = updates<T>().data(),
      .square_sum = square_sum<T>,
      .average = average<T>,
      .limit_norms = limit_norms<T>,
  };
}

}  // namespace
}  // namespace deltaprop::kernels

extern "C" [[gnu::visibility("default")]] const deltaprop::kernels::Table* deltaprop_kernels() {
  using namespace deltaprop::kernels;
  static const Table table{DELTAPROP_INSTRUCTION_SET, kernels<float>(), kernels<double>()};
  return &table;
}
