#include <algorithm>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/ops.hpp"
#include "deltaprop/kernels/table.hpp"
#include "expression.hpp"
#include "strided.hpp"

namespace deltaprop::graph {
namespace {

NodePtr scatter(const NodePtr& y, const View& v, const Shape& shape);

/// y = x[view].
class ViewOp final : public Op {
 public:
  ViewOp(View v, const char* name, std::string details)
      : view_(std::move(v)), name_(name), details_(std::move(details)) {}

  const char* name() const override { return name_; }
  std::string details() const override { return details_; }
  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      gather(view_, y.inputs()[0]->value<T>(), typename Node::Share<T>{y.fresh_value<T>(), false});
    });
  }
  void backward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() { add_through(view_, y.delta<T>(), y.inputs()[0]->sum<T>()); });
  }
  Expression delta(const NodePtr& y, std::size_t, const Expression& d) const override {
    return {scatter(d.node, view_, y->inputs()[0]->shape())};
  }

 private:
  View view_;
  const char* name_;
  std::string details_;
};

/// The adjoint of ViewOp: y = 0, then y[view] += x.
class ScatterOp final : public Op {
 public:
  explicit ScatterOp(View v) : view_(std::move(v)) {}

  const char* name() const override { return "scatter"; }
  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      T* out = y.fresh_value<T>();
      std::fill_n(out, y.size(), T(0));
      add_through(view_, y.inputs()[0]->value<T>(), out);
    });
  }
  void backward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() { gather(view_, y.delta<T>(), y.inputs()[0]->share<T>()); });
  }
  Expression delta(const NodePtr&, std::size_t, const Expression& d) const override {
    return {view(d.node, view_, "view")};
  }

 private:
  View view_;
};

NodePtr scatter(const NodePtr& y, const View& v, const Shape& shape) {
  return std::make_shared<Node>(std::make_shared<ScatterOp>(v), Inputs{broadcast(y, v.shape)}, shape, y->precision());
}

class CastOp final : public Op {
 public:
  const char* name() const override { return "cast"; }
  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      const Node& x = *y.inputs()[0];
      T* out = y.fresh_value<T>();
      with_type(x.precision(), [&]<class S>() {
        std::transform(x.value<S>(), x.value<S>() + x.size(), out, [](S v) { return static_cast<T>(v); });
      });
    });
  }
  void backward(Node& y) const override {
    Node& x = *y.inputs()[0];
    with_type(x.precision(), [&]<class S>() {
      S* to = x.sum<S>();
      with_type(y.precision(), [&]<class T>() {
        for (Index i = 0; i < x.size(); ++i) to[i] += static_cast<S>(y.delta<T>()[i]);
      });
    });
  }
  Expression delta(const NodePtr& y, std::size_t, const Expression& d) const override {
    return {cast(d.node, y->inputs()[0]->precision())};
  }
};

}  // namespace

NodePtr view(const NodePtr& x, View v, const char* name, std::string details) {
  Shape shape = v.shape;
  return std::make_shared<Node>(std::make_shared<ViewOp>(std::move(v), name, std::move(details)), Inputs{x},
                                std::move(shape), x->precision());
}

NodePtr reshape(const NodePtr& x, Shape shape) {
  Index known = 1;
  const auto inferred = std::find(shape.begin(), shape.end(), -1);
  bool fits = true;
  for (auto axis = shape.begin(); axis != shape.end(); ++axis) {
    if (axis == inferred) continue;
    if (*axis < 0) throw ValueError("reshape: expected lengths of 0 or more and one -1, got " + shape_text(shape));
    fits &= !__builtin_mul_overflow(known, *axis, &known);
  }
  const std::string requested = shape_text(shape);
  if (inferred != shape.end()) {
    fits &= known != 0 && x->size() % std::max<Index>(known, 1) == 0;
    if (fits) *inferred = x->size() / known;
  } else {
    fits &= known == x->size();
  }
  if (!fits) {
    throw ValueError("reshape: expected a shape of " + std::to_string(x->size()) + " elements, as " +
                     shape_text(x->shape()) + " has, got " + requested);
  }
  Shape strides = contiguous_strides(shape);
  return view(x, {std::move(shape), std::move(strides), 0}, "reshape", requested);
}

NodePtr transpose(const NodePtr& x) {
  View v{x->shape(), contiguous_strides(x->shape()), 0};
  std::reverse(v.shape.begin(), v.shape.end());
  std::reverse(v.strides.begin(), v.strides.end());
  return view(x, std::move(v), "transpose");
}

NodePtr broadcast(const NodePtr& x, const Shape& shape) {
  if (x->shape() == shape) return x;
  return view(x, {shape, broadcast_strides(x->shape(), shape), 0}, "broadcast_to", shape_text(shape));
}

NodePtr cast(const NodePtr& x, Precision precision) {
  if (x->precision() == precision) return x;
  if (x->weak()) {
    auto node = std::make_shared<Node>(Node::Kind::constant, Shape{}, precision, true);
    with_type(precision, [&]<class T>() {
      with_type(x->precision(), [&]<class S>() { *node->fresh_value<T>() = static_cast<T>(*x->value<S>()); });
    });
    return node;
  }
  return std::make_shared<Node>(std::make_shared<CastOp>(), Inputs{x}, x->shape(), precision);
}

}  // namespace deltaprop::graph
