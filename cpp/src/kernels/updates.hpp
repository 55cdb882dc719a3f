#pragma once

#include "deltaprop/kernels/table.hpp"
#include "vector.hpp"

/// Update rules over any run of a flat buffer.
namespace deltaprop::kernels {

/// Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), in the form of
/// torch.optim.SGD.
template <class T>
void sgd(const Sgd<T>& s) {
  const auto lr = Vector<T>::all(s.lr);
  const auto decay = Vector<T>::all(s.weight_decay);
  const auto momentum = Vector<T>::all(s.momentum);
  const auto fresh = Vector<T>::all(s.one_minus_dampening);
  for_each_vector<T>(s.n, [&](Index i, auto load, auto store) {
    const auto p = load(s.values + i);
    auto g = load(s.gradients + i);
    if (s.weight_decay != T(0)) g = fma(decay, p, g);
    if (s.momentum_buffer != nullptr) {
      // b <- momentum b + (1 - dampening) g, the first b being g itself
      auto b = g;
      if (!s.first_step) b = fma(momentum, load(s.momentum_buffer + i), fresh * g);
      store(s.momentum_buffer + i, b);
      g = s.nesterov ? fma(momentum, b, g) : b;
    }
    store(s.values + i, fma(-lr, g, p));
  });
}

/// Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1, epsilon outside the corrected
/// root, as torch.optim.Adam.
template <class T>
void adam(const Adam<T>& s) {
  const auto beta1 = Vector<T>::all(s.beta1), rest1 = Vector<T>::all(s.one_minus_beta1);
  const auto beta2 = Vector<T>::all(s.beta2), rest2 = Vector<T>::all(s.one_minus_beta2);
  const auto epsilon = Vector<T>::all(s.epsilon), decay = Vector<T>::all(s.weight_decay);
  const auto step = Vector<T>::all(s.step_size), correction = Vector<T>::all(s.inverse_root_correction);
  for_each_vector<T>(s.n, [&](Index i, auto load, auto store) {
    const auto p = load(s.values + i);
    auto g = load(s.gradients + i);
    if (s.weight_decay != T(0)) g = fma(decay, p, g);
    // m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
    const auto m = fma(beta1, load(s.first_moment + i), rest1 * g);
    const auto v = fma(beta2, load(s.second_moment + i), rest2 * g * g);
    store(s.first_moment + i, m);
    store(s.second_moment + i, v);
    // p <- p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)
    store(s.values + i, p - step * (m / fma(sqrt(v), correction, epsilon)));
  });
}

}  // namespace deltaprop::kernels
