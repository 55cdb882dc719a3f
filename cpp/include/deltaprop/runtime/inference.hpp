#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/core/strided_view.hpp"
#include "deltaprop/nn/network.hpp"

namespace deltaprop::runtime {

/// Inference through a subgraph, compiled for one width of each input. Keeps its buffers, so that repeated calls
/// allocate once.
template <class T>
class Inference {
 public:
  /// `in`: the inputs' features.
  Inference(const nn::Network<T>& network, nn::Subgraph subgraph, const std::vector<Index>& in);

  /// Whether it was compiled for inputs of these widths.
  bool takes(std::span<const StridedView> x) const {
    return std::equal(x.begin(), x.end(), subgraph_.inputs.begin(), subgraph_.inputs.end(),
                      [this](const StridedView& s, Index v) { return s.cols == widths_[static_cast<std::size_t>(v)]; });
  }
  /// Whether rows are independent of each other.
  bool rowwise() const { return step_ != 0; }
  /// Number of elements in its buffers.
  Index size() const;
  /// The features of each output.
  std::vector<Index> out_features() const { return nn::select(widths_, subgraph_.outputs); }
  /// Writes the outputs for the rows of the inputs, tile by tile. Threads may run concurrently, each
  /// with a separate Inference. `check_interrupt` is called between tiles, on the calling thread, and may throw.
  void run(std::span<const StridedView> x, std::span<const Matrix<T>> out,
           const InterruptCheck* check_interrupt = nullptr);
  /// The same for all rows at once, in the caller's memory, of this number of elements per row.
  void run(std::span<const StridedView> x, std::span<const Matrix<T>> out, T* memory) const;
  Index numbers_a_row() const { return std::accumulate(sizes_.begin(), sizes_.end(), Index{0}); }

 private:
  /// Location of a value: index of a slot, or -1 - i for output i.
  Index& slot(Index value) { return slots_[static_cast<std::size_t>(buffer_index_[static_cast<std::size_t>(value)])]; }
  Index slot(Index value) const {
    return slots_[static_cast<std::size_t>(buffer_index_[static_cast<std::size_t>(value)])];
  }
  void run_tile(std::span<const StridedView> x, std::span<const Matrix<T>> out, Range tile, T* memory) const;
  void assign_slots();

  const nn::Network<T>& network_;
  nn::Subgraph subgraph_;
  std::vector<Index> widths_;
  std::vector<Index> buffer_index_, input_index_, slots_;
  std::vector<Index> sizes_;        // of the slots, per row
  std::vector<Index> before_;       // exclusive prefix sums of sizes_
  std::vector<Buffer<T>> buffers_;  // the slots of each thread
  Index step_;                      // rows per tile; 0: all at once
};

}  // namespace deltaprop::runtime
