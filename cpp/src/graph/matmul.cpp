#include <algorithm>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/ops.hpp"
#include "deltaprop/kernels/table.hpp"
#include "walk.hpp"

namespace deltaprop::graph {
namespace {

NodePtr swapped(const NodePtr& x);

/// Batched product y = a b: a (..., m, k), b (..., k, n), y (..., m, n).
class MatMul final : public Op {
 public:
  MatMul(Index stack, Index m, Index k, Index n) : stack_(stack), m_(m), k_(k), n_(n) {}

  const char* name() const override { return "matmul"; }
  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      const T* a = y.inputs()[0]->value<T>();
      const T* b = y.inputs()[1]->value<T>();
      T* out = y.fresh_value<T>();
      for (Index i = 0; i < stack_; ++i) {
        kernels::get<T>().product(
            {m_, n_, k_, a + i * m_ * k_, k_, 1, b + i * k_ * n_, n_, 1, out + i * m_ * n_, n_, nullptr, false});
      }
    });
  }
  // da = d b^T, db = a^T d
  void backward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      Node& a = *y.inputs()[0];
      Node& b = *y.inputs()[1];
      const T* d = y.delta<T>();
      const auto product = kernels::get<T>().blocked_product;
      if (a.active()) {
        const auto share = a.share<T>();
        for (Index i = 0; i < stack_; ++i) {
          product({m_, k_, n_, d + i * m_ * n_, n_, 1, b.value<T>() + i * k_ * n_, 1, n_, share.data + i * m_ * k_, k_,
                   nullptr, share.accumulate});
        }
      }
      if (b.active()) {
        const auto share = b.share<T>();
        for (Index i = 0; i < stack_; ++i) {
          product({k_, n_, m_, a.value<T>() + i * m_ * k_, 1, k_, d + i * m_ * n_, n_, 1, share.data + i * k_ * n_, n_,
                   nullptr, share.accumulate});
        }
      }
    });
  }
  Expression delta(const NodePtr& y, std::size_t input, const Expression& d) const override {
    const NodePtr full = broadcast(d.node, y->shape());
    return {input == 0 ? matmul(full, swapped(y->inputs()[1])) : matmul(swapped(y->inputs()[0]), full)};
  }

 private:
  Index stack_, m_, k_, n_;
};

/// x with its last two axes swapped.
NodePtr swapped(const NodePtr& x) {
  const auto last = static_cast<std::ptrdiff_t>(x->shape().size());
  View v{x->shape(), contiguous_strides(x->shape()), 0};
  std::iter_swap(v.shape.begin() + last - 1, v.shape.begin() + last - 2);
  std::iter_swap(v.strides.begin() + last - 1, v.strides.begin() + last - 2);
  return view(x, std::move(v), "swapaxes", "-1, -2");
}

}  // namespace

NodePtr matmul(const NodePtr& a, const NodePtr& b) {
  const auto refuse = [&] {
    return ValueError("matmul: expected (..., m, k) and (..., k, n), got " + shape_text(a->shape()) + " and " +
                      shape_text(b->shape()));
  };
  if (a->shape().empty() || b->shape().empty()) throw refuse();
  const Inputs both{a, b};
  const Precision precision = common_precision(both.begin(), both.end());
  // Vectors become a row on the left, a column on the right, as in NumPy.
  const bool row = a->shape().size() == 1, column = b->shape().size() == 1;
  NodePtr left = cast(row ? reshape(a, {1, a->size()}) : a, precision);
  NodePtr right = cast(column ? reshape(b, {b->size(), 1}) : b, precision);
  const Shape& l = left->shape();
  const Shape& r = right->shape();
  const Index m = l[l.size() - 2], k = l.back(), n = r.back();
  if (r[r.size() - 2] != k) throw refuse();
  Shape stack;  // the leading axes broadcast
  if (!broadcast_into(stack, Shape(l.begin(), l.end() - 2)) || !broadcast_into(stack, Shape(r.begin(), r.end() - 2)))
    throw refuse();
  const auto of = [&](Index rows, Index cols) {
    Shape shape = stack;
    shape.push_back(rows);
    shape.push_back(cols);
    return shape;
  };
  left = broadcast(left, of(m, k));
  right = broadcast(right, of(k, n));
  NodePtr y = std::make_shared<Node>(std::make_shared<MatMul>(element_count(stack), m, k, n), Inputs{left, right},
                                     of(m, n), precision);
  if (!row && !column) return y;
  Shape shape = stack;
  if (!row) shape.push_back(m);
  if (!column) shape.push_back(n);
  return reshape(y, shape);
}

}  // namespace deltaprop::graph
