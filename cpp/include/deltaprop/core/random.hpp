#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop {

/// Part of the key: draws for different purposes come from different streams.
enum class Purpose : std::uint32_t { initialise = 0, shuffle = 1, dropout = 2 };

/// Counter-based random numbers: a draw is a pure function of (seed, purpose, step, layer, element), so results do not
/// depend on the order of draws or on threads.
///
/// Philox4x32-10: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
/// SC11 (2011), section 3.3.
class Random {
 public:
  Random(std::uint64_t seed, Purpose purpose, std::uint32_t step = 0, std::uint32_t layer = 0);

  /// 64 uniform bits.
  std::uint64_t bits(std::uint64_t element) const;
  /// Uniform on [0, 1), a multiple of 2^-53.
  double uniform(std::uint64_t element) const;
  /// Uniform on (0, 1): the midpoint of one of 2^52 intervals, never 0 or 1.
  double open_uniform(std::uint64_t element) const;
  /// Standard normal, by inversion: Wichura, "Algorithm AS 241", Applied Statistics 37 (1988).
  double normal(std::uint64_t element) const;

  /// The Philox key and the third word of the counter, for kernels that draw many numbers at once.
  std::array<std::uint32_t, 2> key() const { return key_; }
  std::uint32_t stream() const { return stream_; }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t stream_;
};

/// Philox4x32-10 of one counter; public for its known-answer test.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// Quantile of the standard normal distribution for 0 < p < 1, relative error 2e-16 (Wichura, as above); public for
/// its test.
double normal_quantile(double p);

/// Standard normal distribution function P(X <= x): relative error 1e-13 where the result is above 1e-300, 0 below.
double normal_cdf(double x);

/// Fills `order`, of size n, with a random permutation of 0..n-1 (Fisher and Yates). `check_interrupt` is called every
/// 65536 elements and may throw.
void permutation(const Random& random, std::vector<Index>& order, const InterruptCheck& check_interrupt = [] {});

}  // namespace deltaprop
