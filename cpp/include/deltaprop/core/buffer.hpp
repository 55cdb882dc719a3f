#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

inline constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector
inline constexpr std::size_t kLargePage = std::size_t{1} << 21;

/// Zeroed memory aligned to a cache line. Reference counted, so that a NumPy view keeps its memory alive after the
/// owner has switched to a larger buffer.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Index size) : memory_(allocate(size)), size_(size) {}

  T* data() const { return memory_.get(); }
  Index size() const { return size_; }
  std::shared_ptr<void> owner() const { return memory_; }

  /// Grows to at least `size` elements; growing loses the content. Never shrinks, so a smaller last batch followed by a
  /// full one allocates nothing.
  void reserve(Index size) {
    if (size > size_) *this = Buffer(size);
  }

 private:
  struct Free {
    std::align_val_t alignment;
    void operator()(T* p) const { ::operator delete(p, alignment); }
  };

  static std::shared_ptr<T> allocate(Index size) {
    const std::size_t count = static_cast<std::size_t>(std::max<Index>(size, 1));
    if (count > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = count * sizeof(T);
    const std::align_val_t alignment{bytes < kLargePage ? kAlignment : kLargePage};
    T* p = static_cast<T*>(::operator new(bytes, alignment));
    std::shared_ptr<T> memory(p, Free{alignment});
#ifdef MADV_HUGEPAGE
    // With 4 KiB pages, TLB misses take a third of the time of reading large arrays. If the kernel refuses the advice,
    // access is only slower.
    if (bytes >= kLargePage) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    std::fill_n(p, count, T{});
    return memory;
  }

  std::shared_ptr<T> memory_;
  Index size_ = 0;
};

/// a * b; std::bad_alloc on overflow.
inline Index checked_size(Index a, Index b) {
  Index product = 0;
  if (__builtin_mul_overflow(a, b, &product)) throw std::bad_alloc();
  return product;
}

/// Number of elements of an array of this shape; std::bad_alloc on overflow.
inline Index element_count(const std::vector<Index>& shape) {
  Index count = 1;
  for (const Index n : shape) count = checked_size(count, n);
  return count;
}

}  // namespace deltaprop
