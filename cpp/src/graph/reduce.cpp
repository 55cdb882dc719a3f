#include <algorithm>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/ops.hpp"
#include "deltaprop/kernels/table.hpp"
#include "expression.hpp"
#include "strided.hpp"

namespace deltaprop::graph {
namespace {

/// A reduction, described from its input: the output broadcast over the reduced axes.
struct Reduction {
  View over;             // shape of the input, strides of the output
  Shape keepdims_shape;  // of the output with reduced axes of length 1
  Shape shape;           // of the output
  Index count;           // input elements per output element
  std::string details;
};

Reduction reduction(const char* name, const NodePtr& x, const Axes& axes, bool keepdims) {
  const auto ndim = static_cast<Index>(x->shape().size());
  std::vector<bool> is_reduced(x->shape().size(), !axes);
  for (const Index given : axes.value_or(std::vector<Index>{})) {
    const Index axis = given < 0 ? given + ndim : given;
    if (axis < 0 || axis >= ndim || is_reduced[static_cast<std::size_t>(axis)]) {
      throw ValueError(std::string(name) + ": expected different axes of an array " + shape_text(x->shape()) +
                       ", got axis " + std::to_string(given));
    }
    is_reduced[static_cast<std::size_t>(axis)] = true;
  }
  Reduction r{{x->shape(), {}, 0}, {}, {}, 1, {}};
  for (std::size_t axis = 0; axis < is_reduced.size(); ++axis) {
    const Index length = x->shape()[axis];
    r.keepdims_shape.push_back(is_reduced[axis] ? 1 : length);
    if (is_reduced[axis]) r.count *= length;
    if (!is_reduced[axis] || keepdims) r.shape.push_back(r.keepdims_shape.back());
  }
  r.over.strides = broadcast_strides(r.keepdims_shape, x->shape());
  if (axes) {
    const bool one = axes->size() == 1;
    r.details = "axis=" + (one ? std::to_string(axes->front()) : shape_text(*axes));
  }
  if (keepdims) r.details += std::string(r.details.empty() ? "" : ", ") + "keepdims=True";
  return r;
}

/// y = sum x, or the mean.
class Sum final : public Op {
 public:
  Sum(Reduction r, bool mean) : reduction_(std::move(r)), mean_(mean) {}

  const char* name() const override { return mean_ ? "mean" : "sum"; }
  std::string details() const override { return reduction_.details; }
  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      T* out = y.fresh_value<T>();
      std::fill_n(out, y.size(), T(0));
      add_through(reduction_.over, y.inputs()[0]->value<T>(), out);
      if (mean_) divide(out, y.size());
    });
  }
  void backward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      Node& x = *y.inputs()[0];
      const Buffer<T> part(y.size());
      std::copy_n(y.delta<T>(), y.size(), part.data());
      if (mean_) divide(part.data(), y.size());
      if (y.size() == 1 && x.share_uniform(*part.data())) return;
      gather<T>(reduction_.over, part.data(), x.share<T>());
    });
  }
  Expression delta(const NodePtr& y, std::size_t, const Expression& d) const override {
    const Expression all{view(broadcast(d.node, y->shape()), reduction_.over, "view")};
    return mean_ ? all / Expression{number(static_cast<double>(reduction_.count))} : all;
  }

 private:
  template <class T>
  void divide(T* values, Index n) const {
    for (Index i = 0; i < n; ++i) values[i] /= static_cast<T>(reduction_.count);
  }

  Reduction reduction_;
  bool mean_;
};

/// y = max x
class Max final : public Op {
 public:
  explicit Max(Reduction r) : reduction_(std::move(r)) {}

  const char* name() const override { return "max"; }
  std::string details() const override { return reduction_.details; }
  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      T* out = y.fresh_value<T>();
      std::fill_n(out, y.size(), -std::numeric_limits<T>::infinity());
      const Walk<2> walk = this->walk();
      const Index n = walk.length(), stride = walk.strides()[1];
      walk.each([&](const auto& at) {
        const T* in = y.inputs()[0]->value<T>() + at[0];
        if (stride == 0) {
          update_max(out[at[1]], kernels::get<T>().largest(in, n));
        } else {
          for (Index i = 0; i < n; ++i) update_max(out[at[1] + i * stride], in[i]);
        }
      });
    });
  }
  void backward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      Node& x = *y.inputs()[0];
      const Buffer<T> ties(y.size());
      each([&](Index from, Index to) { ties.data()[to] += T(is_largest(x.value<T>()[from], y.value<T>()[to])); });
      T* share = x.sum<T>();
      each([&](Index from, Index to) {
        if (is_largest(x.value<T>()[from], y.value<T>()[to])) share[from] += y.delta<T>()[to] / ties.data()[to];
      });
    });
  }
  Expression delta(const NodePtr& y, std::size_t, const Expression& d) const override {
    const auto over = [&](const NodePtr& node) { return Expression{view(node, reduction_.over, "view")}; };
    const Expression x{y->inputs()[0]};
    const Expression hit = select(x == x, x == over(y), {number(1)});
    const NodePtr ties = reshape(sum(hit.node, axes()), y->shape());
    return hit * over(broadcast(d.node, y->shape())) / over(ties);
  }

 private:
  Walk<2> walk() const {
    return {reduction_.over.shape, {contiguous_strides(reduction_.over.shape), reduction_.over.strides}};
  }
  template <class F>
  void each(F&& f) const {
    const Walk<2> walk = this->walk();
    walk.each([&](const auto& at) {
      for (Index i = 0; i < walk.length(); ++i) f(at[0] + i * walk.strides()[0], at[1] + i * walk.strides()[1]);
    });
  }
  /// True for NaN, as in NumPy.
  template <class T>
  static bool is_largest(T value, T largest) {
    return value == largest || value != value;
  }
  template <class T>
  static void update_max(T& largest, T value) {
    if (largest < value || value != value) largest = value;
  }
  Axes axes() const {
    std::vector<Index> reduced_axes;
    for (std::size_t axis = 0; axis < reduction_.keepdims_shape.size(); ++axis) {
      if (reduction_.keepdims_shape[axis] == 1) reduced_axes.push_back(static_cast<Index>(axis));
    }
    return reduced_axes;
  }

  Reduction reduction_;
};

/// The node ReducingOp(r, options...)(x).
template <class ReducingOp, class... Options>
NodePtr reduced(const NodePtr& x, Reduction r, Options... options) {
  Shape shape = r.shape;
  return std::make_shared<Node>(std::make_shared<ReducingOp>(std::move(r), options...), Inputs{x}, std::move(shape),
                                x->precision());
}

/// reduction(); ValueError if there are no elements to reduce.
Reduction nonempty_reduction(const char* name, const NodePtr& x, const Axes& axes, bool keepdims) {
  Reduction r = reduction(name, x, axes, keepdims);
  if (r.count > 0) return r;
  throw ValueError(std::string(name) + ": expected an element or more, got an array " + shape_text(x->shape()));
}

}  // namespace

NodePtr sum(const NodePtr& x, const Axes& axes, bool keepdims) {
  return reduced<Sum>(x, reduction("sum", x, axes, keepdims), false);
}

NodePtr mean(const NodePtr& x, const Axes& axes, bool keepdims) {
  return reduced<Sum>(x, nonempty_reduction("mean", x, axes, keepdims), true);
}

NodePtr max(const NodePtr& x, const Axes& axes, bool keepdims) {
  return reduced<Max>(x, nonempty_reduction("max", x, axes, keepdims));
}

}  // namespace deltaprop::graph
