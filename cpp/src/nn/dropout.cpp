#include "deltaprop/nn/dropout.hpp"

#include <algorithm>
#include <cmath>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::nn {
namespace {

/// Srivastava et al., "Dropout" (2014), section 4, with the factor 1 / (1 - p) in training, as in PyTorch.
Dropout::Terms dropout(double p) { return {1 / (1 - p), 0, 0}; }

/// Klambauer et al., "Self-normalizing neural networks" (2017), section 3: dropped elements become -alpha, the infimum
/// of SELU, and an affine map restores mean and variance: y = a (x or -alpha) + b,
/// a = 1 / sqrt((1 - p) (1 + p alpha^2)), b = a p alpha.
Dropout::Terms alpha_dropout(double p) {
  constexpr double alpha = 1.7580993408473766;
  const double root = std::sqrt(1 + p * alpha * alpha);
  return {1 / (std::sqrt(1 - p) * root), alpha, -alpha * std::sqrt(1 - p) / root};
}

Dropout::Terms terms_of(const std::string& name, double p) {
  if (name == "Dropout") return dropout(p);
  if (name == "AlphaDropout") return alpha_dropout(p);
  throw ValueError("Dropout: expected a known name, got '" + name + "'");
}

}  // namespace

Dropout::Dropout(const std::string& name, double p)
    : p_(p), terms_(terms_of(name, p)), description_(name + "(p=" + number_text(p) + ")") {
  if (!(p >= 0 && p <= 1)) throw ValueError(name + ": expected p from 0 to 1, got " + number_text(p));
}

template <class T>
void Dropout::run_forward(const Forward<T>& f) const {
  if (!drops(f.training)) return void(std::copy_n(f.x.data, f.x.size(), f.y.data));
  const auto& k = kernels::get<T>();
  k.dropout_mask({.random = Random(f.draws.seed, Purpose::dropout, f.draws.pass, f.draws.layer),
                  .p = p_,
                  .first = f.draws.first_row * f.x.cols,
                  .n = f.x.size(),
                  .scale = static_cast<T>(terms_.scale),
                  .mask = f.saved.data});
  k.masked({.n = f.x.size(),
            .x = f.x.data,
            .mask = f.saved.data,
            .offset = static_cast<T>(terms_.offset),
            .shift = static_cast<T>(terms_.shift),
            .y = f.y.data});
}

template <class T>
void Dropout::run_backward(const Backward<T>& b) const {
  if (b.delta_x.data == nullptr) return;
  if (!drops(b.training)) return void(std::copy_n(b.delta_y.data, b.delta_y.size(), b.delta_x.data));
  // dJ/dx = dJ/dy mask
  kernels::get<T>().masked({.n = b.delta_y.size(),
                            .x = b.delta_y.data,
                            .mask = b.saved.data,
                            .offset = T(0),
                            .shift = T(0),
                            .y = b.delta_x.data});
}

template void Dropout::run_forward(const Forward<float>&) const;
template void Dropout::run_forward(const Forward<double>&) const;
template void Dropout::run_backward(const Backward<float>&) const;
template void Dropout::run_backward(const Backward<double>&) const;

}  // namespace deltaprop::nn
