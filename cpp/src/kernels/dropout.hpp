#pragma once

#include <algorithm>

#include "deltaprop/core/philox.hpp"
#include "deltaprop/kernels/table.hpp"
#include "vector.hpp"

/// Dropout: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014), section 4,
/// with the factor 1 / (1 - p) in training, as in PyTorch. AlphaDropout: Klambauer et al., "Self-normalizing neural
/// networks" (2017), section 3.
namespace deltaprop::kernels {

template <class T>
void dropout_mask(const DropoutMask<T>& s) {
  constexpr Index lanes = 16, group = 4 * lanes;  // elements drawn at once
  const auto threshold = static_cast<std::uint64_t>(s.p * 0x1p32 + 0.5);
  const T scale = s.p < 1 ? s.scale : T(0);  // 1 / (1 - p) is infinite for p = 1
  const Index end = s.first + s.n;
  for (Index start = s.first / group * group; start < end; start += group) {
    PhiloxWords<lanes> words;
    for (Index i = 0; i < lanes; ++i) {
      const auto block = static_cast<std::uint64_t>(start / 4 + i);
      const auto lane = static_cast<std::size_t>(i);
      words[0][lane] = static_cast<std::uint32_t>(block);
      words[1][lane] = static_cast<std::uint32_t>(block >> 32);
      words[2][lane] = s.random.stream();
      words[3][lane] = 0;
    }
    philox_rounds(words, s.random.key());
    // A product instead of a branch, which on random bits is mispredicted half the time.
    T values[group];
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      for (std::size_t word = 0; word < 4; ++word) {
        values[4 * lane + word] = static_cast<T>(words[word][lane] >= threshold) * scale;
      }
    }
    const Index from = std::max(start, s.first), to = std::min(start + group, end);
    std::copy(values + (from - start), values + (to - start), s.mask + (from - s.first));
  }
}

template <class T>
void masked(const MaskedAffine<T>& s) {
  const auto offset = Vector<T>::all(s.offset), shift = Vector<T>::all(s.shift);
  for_each_vector<T>(s.n, [&](Index i, auto load, auto store) {
    store(s.y + i, fma(load(s.x + i) + offset, load(s.mask + i), shift));
  });
}

}  // namespace deltaprop::kernels
