#pragma once

#include <optional>
#include <string>

#include "deltaprop/nn/layer.hpp"

namespace deltaprop::nn {

/// Replaces each index in x by the row of the weight with that index.
class Embedding final : public BothPrecisions<Embedding> {
 public:
  /// `padding`: index of a row that is initialised to 0 and not trained.
  Embedding(Index embeddings, Index dim, std::optional<Index> padding, std::string description);

  std::string describe() const override { return description_; }
  Index out_features(Index in) const override;
  std::vector<ParameterShape> parameters() const override;
  void initialise(const Random&, double*) const override;
  std::vector<Range> gradient_tiles() const override;
  void check_input(const StridedView& x, const std::string& name, const InterruptCheck& check_interrupt) const override;

  template <class T>
  void run_forward(const Forward<T>&) const;
  template <class T>
  void run_backward(const Backward<T>&) const;
  template <class T>
  void run_gradient(const Gradient<T>&, Range) const;

 private:
  /// ValueError, naming the row, if an element is not a valid index.
  template <class T>
  void check(Matrix<const T> x, Index first_row, const std::string& name) const;

  Index embeddings_, dim_;
  std::optional<Index> padding_;
  std::string description_;
};

}  // namespace deltaprop::nn
