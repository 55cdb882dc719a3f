#pragma once

#include <string>
#include <vector>

#include "deltaprop/core/random.hpp"

namespace deltaprop::nn {

struct InitialiserEntry;

/// How an array of the shape (fan_out, fan_in, ...) starts: a member of PyTorch's nn.init and its options, in
/// PyTorch's order. Element i's draw is number i, counted with the first axis fastest: in the order in which a weight
/// is stored.
class Initialiser {
 public:
  /// A member by name, with its default options: one of the family that has them all, "default" (what PyTorch's Linear
  /// does) or Keras's "he_..." and "glorot_..."; ValueError for others.
  explicit Initialiser(const std::string& name);
  /// ValueError for an unknown name or a wrong number of options, which must be in range.
  Initialiser(const std::string& name, std::vector<double> options);

  /// Writes all elements; ValueError for a shape that has no fans where they are needed.
  void fill(const Random& random, const std::vector<Index>& shape, double* values) const;
  /// Writes a Linear layer's weight and, where it is not null, bias: 0 but for "default", which draws it as the weight.
  void fill_linear(const Random& random, Index fan_in, Index fan_out, double* weight, double* bias) const;

 private:
  const InitialiserEntry* entry_;
  std::vector<double> options_;
};

}  // namespace deltaprop::nn
