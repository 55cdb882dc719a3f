#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/train/data.hpp"

namespace deltaprop::train {

/// Rows of a data set: order[0], order[1], ..., or first, first + 1, ... if `order` is null.
struct Batch {
  const Data* data;
  const Index* order;
  Index first;
  Index rows;

  Batch slice(Range r) const {
    return {data, order == nullptr ? nullptr : order + r.begin, order == nullptr ? first + r.begin : 0, r.size()};
  }
};

/// Yields the batches of each epoch. A batch stays valid until the next call of begin_epoch() or begin_step().
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// Example of inputs and targets, for which the objective is compiled.
  virtual const Data& example() = 0;
  /// Rows of the smallest batch, if known in advance.
  virtual std::optional<Index> min_batch_size() const { return std::nullopt; }
  virtual void begin_epoch(std::uint64_t epoch, const InterruptCheck& check_interrupt) = 0;
  virtual void begin_step() {}
  /// Empty at the end of the epoch.
  virtual std::optional<Batch> next() = 0;
};

/// Batches of arrays in memory: in order, or shuffled each epoch by a permutation that depends on seed and epoch.
class ArrayBatches final : public BatchSource {
 public:
  /// A single batch of all rows is not shuffled: another order would change only the rounding.
  ArrayBatches(const Data& data, Index batch_size, bool shuffle, std::uint64_t seed);

  const Data& example() override { return data_; }
  std::optional<Index> min_batch_size() const override;
  void begin_epoch(std::uint64_t epoch, const InterruptCheck& check_interrupt) override;
  std::optional<Batch> next() override;

 private:
  const Data& data_;
  Index batch_size_;
  std::uint64_t seed_;
  std::vector<Index> order_;
  Index begin_ = 0;
};

}  // namespace deltaprop::train
