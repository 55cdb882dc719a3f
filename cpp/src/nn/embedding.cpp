#include "deltaprop/nn/embedding.hpp"

#include <algorithm>
#include <limits>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {

Embedding::Embedding(Index embeddings, Index dim, std::optional<Index> padding, std::string description)
    : embeddings_(embeddings), dim_(dim), padding_(padding), description_(std::move(description)) {
  if (embeddings_ < 1 || dim_ < 1) {
    throw ValueError(description_ + ": expected one embedding or more, of one number or more");
  }
  if (padding_ && (*padding_ < 0 || *padding_ >= embeddings_)) {
    throw ValueError(description_ + ": expected a padding_idx of one of them");
  }
  checked_size(checked_size(embeddings_, dim_), sizeof(double));
}

Index Embedding::out_features(Index in) const { return in == kAnyWidth ? kAnyWidth : checked_size(in, dim_); }

std::vector<ParameterShape> Embedding::parameters() const { return {{"weight", {embeddings_, dim_}}}; }

void Embedding::initialise(const Random& random, double* parameters) const {
  for (Index i = 0; i < embeddings_ * dim_; ++i) parameters[i] = random.normal(static_cast<std::uint64_t>(i));
  if (padding_) std::fill_n(parameters + *padding_ * dim_, dim_, 0.0);
}

template <class T>
void Embedding::check(Matrix<const T> x, Index first_row, const std::string& name) const {
  for (Index e = 0; e < x.size(); ++e) {
    const T index = x.data[e];
    const bool inside = index >= T(0) && index < static_cast<T>(embeddings_);
    if (inside && static_cast<T>(static_cast<Index>(index)) == index) continue;
    throw ValueError(description_ + ": expected whole numbers from 0 to " + std::to_string(embeddings_ - 1) + ", got " +
                     number_text(static_cast<double>(index)) + " in row " + std::to_string(first_row + e / x.cols) +
                     " of " + name);
  }
}

void Embedding::check_input(const StridedView& x, const std::string& name,
                            const InterruptCheck& check_interrupt) const {
  for_each_chunk<double>(x, check_interrupt,
                         [&](Matrix<double> part, Index first) { check<double>(part, first, name); });
}

template <class T>
void Embedding::run_forward(const Forward<T>& f) const {
  constexpr Index max_exact = Index{1} << std::numeric_limits<T>::digits;  // T represents every integer up to here
  if (embeddings_ > max_exact) {
    throw ValueError(description_ + ": expected " + std::to_string(max_exact) +
                     " embeddings or fewer, which float32 can count, got " + std::to_string(embeddings_) +
                     "; dtype=\"float64\" takes more");
  }
  check(f.x, f.draws.first_row, "its input");
  T* y = f.y.data;
  for (Index e = 0; e < f.x.size(); ++e) {
    y = std::copy_n(f.parameters + static_cast<Index>(f.x.data[e]) * dim_, dim_, y);
  }
}

template <class T>
void Embedding::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data != nullptr) std::fill_n(b.delta_x.data, b.delta_x.size(), T(0));
}

std::vector<Range> Embedding::gradient_tiles() const { return {{0, embeddings_ * dim_}}; }

template <class T>
void Embedding::run_gradient(const Gradient<T>& g, Range tile) const {
  if (!g.accumulate) std::fill_n(g.gradients, tile.size(), T(0));
  // dJ/dweight_k = sum of dJ/dy over all occurrences of index k
  for (Index e = 0; e < g.x.size(); ++e) {
    const auto index = static_cast<Index>(g.x.data[e]);
    if (index == padding_) continue;
    T* row = g.gradients + index * dim_;
    std::transform(row, row + dim_, g.delta_y.data + e * dim_, row, std::plus<T>());
  }
}

template void Embedding::run_forward(const Forward<float>&) const;
template void Embedding::run_forward(const Forward<double>&) const;
template void Embedding::run_backward(const Backward<float>&) const;
template void Embedding::run_backward(const Backward<double>&) const;
template void Embedding::run_gradient(const Gradient<float>&, Range) const;
template void Embedding::run_gradient(const Gradient<double>&, Range) const;

}  // namespace deltaprop::nn
