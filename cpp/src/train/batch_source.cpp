#include "deltaprop/train/batch_source.hpp"

#include <algorithm>

#include "deltaprop/core/random.hpp"

namespace deltaprop::train {

ArrayBatches::ArrayBatches(const Data& data, Index batch_size, bool shuffle, std::uint64_t seed)
    : data_(data), batch_size_(std::min(batch_size, data.rows())), seed_(seed) {
  if (shuffle && batch_size_ < data.rows()) order_.resize(static_cast<std::size_t>(data.rows()));
}

std::optional<Index> ArrayBatches::min_batch_size() const {
  const Index rest = data_.rows() % batch_size_;
  return rest == 0 ? batch_size_ : rest;
}

void ArrayBatches::begin_epoch(std::uint64_t epoch, const InterruptCheck& check_interrupt) {
  begin_ = 0;
  if (order_.empty()) return;
  permutation(Random(seed_, Purpose::shuffle, static_cast<std::uint32_t>(epoch)), order_, check_interrupt);
}

std::optional<Batch> ArrayBatches::next() {
  if (begin_ == data_.rows()) return std::nullopt;
  const Index first = begin_;
  begin_ = std::min(begin_ + batch_size_, data_.rows());
  return order_.empty() ? Batch{&data_, nullptr, first, begin_ - first}
                        : Batch{&data_, order_.data() + first, 0, begin_ - first};
}

}  // namespace deltaprop::train
