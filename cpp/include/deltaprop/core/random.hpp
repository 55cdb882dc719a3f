#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// What a draw is for; part of its key, so that no two uses ever share a stream.
enum class Purpose : std::uint32_t { initialise = 0, shuffle = 1, dropout = 2 };

/// Counter-based random numbers: a draw is a pure function of (seed, purpose, step, layer, element), never of
/// the order of the draws or of threads.
///
/// Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
/// SC11 (2011), subgraph 3.3.
class Random {
 public:
  Random(std::uint64_t seed, Purpose purpose, std::uint32_t step = 0, std::uint32_t layer = 0);

  /// 64 uniform bits.
  std::uint64_t bits(std::uint64_t element) const;
  /// Uniform on [0, 1), a multiple of 2^-53.
  double uniform(std::uint64_t element) const;
  /// Uniform on (0, 1), the middle of one of 2^52 intervals: never 0 nor 1.
  double open_uniform(std::uint64_t element) const;
  /// Standard normal, by inversion: Wichura, "Algorithm AS 241", Applied Statistics 37 (1988).
  double normal(std::uint64_t element) const;

  /// What Philox is keyed by, and the third word of its counter, for kernels that draw many at once.
  std::array<std::uint32_t, 2> key() const { return key_; }
  std::uint32_t stream() const { return stream_; }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t stream_;
};

/// Philox4x32-10 itself, as published; public for its known-answer test.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// The quantile of the standard normal distribution for 0 < p < 1, within 2e-16 (Wichura, as above); public for its
/// test.
double normal_quantile(double p);

/// The standard normal distribution P(X <= x), within 1e-13 of itself while it is above 1e-300, and 0 beyond.
double normal_cdf(double x);

/// Writes a random permutation of 0..n-1 (Fisher and Yates) into `order`, whose size is n. `check_interrupt` is called
/// now and then, and may throw.
void permutation(const Random& random, std::vector<Index>& order, const InterruptCheck& check_interrupt = [] {});

}  // namespace deltaprop
