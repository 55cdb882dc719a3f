#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace deltaprop {

/// The four words of `lanes` Philox blocks, structure of arrays: counters before the rounds, random bits after them.
template <std::size_t lanes>
using PhiloxWords = std::array<std::array<std::uint32_t, lanes>, 4>;

/// Philox4x32-10 on `lanes` counters in place, written so that compilers vectorise over the lanes.
///
/// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011), section 3.3.
template <std::size_t lanes>
inline void philox_rounds(PhiloxWords<lanes>& c, std::array<std::uint32_t, 2> key) {
  auto [k0, k1] = key;
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < lanes; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c[0][i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c[2][i];
      const auto word0 = static_cast<std::uint32_t>(product1 >> 32) ^ c[1][i] ^ k0;
      const auto word2 = static_cast<std::uint32_t>(product0 >> 32) ^ c[3][i] ^ k1;
      c[0][i] = word0;
      c[1][i] = static_cast<std::uint32_t>(product1);
      c[2][i] = word2;
      c[3][i] = static_cast<std::uint32_t>(product0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

}  // namespace deltaprop
