#include <algorithm>
#include <array>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/ops.hpp"
#include "deltaprop/kernels/table.hpp"
#include "expression.hpp"
#include "scalar_step.hpp"
#include "walk.hpp"

namespace deltaprop::graph {
namespace {

constexpr std::size_t kArrays = formulas::kMaxInputs + 1;  // inputs, then output

/// An elementwise formula over arrays that broadcast.
template <class F>
class Elementwise final : public Op {
 public:
  const char* name() const override { return F::name; }
  int formula() const override { return formulas::formula_index<F>(); }
  bool differentiable(std::size_t i) const override { return F::differentiable[i]; }

  void forward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      T* out = y.fresh_value<T>();
      if (y.size() == 1) {
        const kernels::ScalarStep step = scalar_step(y);
        return kernels::get<T>().scalars_forward(&step, 1);
      }
      const Walk<kArrays> walk = walk_of(y);
      kernels::FormulaForward<T> call{
          .n = walk.length(), .x = {}, .is_scalar = {}, .y = nullptr, .streamed = y.streamed()};
      set_is_scalar(walk, call);
      walk.each([&](const auto& at) {
        set_inputs(y, at, call);
        call.y = out + at[kArrays - 1];
        kernel<T>().forward(call);
      });
    });
  }

  void backward(Node& y) const override {
    with_type(y.precision(), [&]<class T>() {
      const Walk<kArrays> walk = walk_of(y);
      kernels::FormulaBackward<T> call{.n = walk.length(), .x = {}, .is_scalar = {}};
      call.streamed = y.streamed();
      set_is_scalar(walk, call);
      for (std::size_t i = 0; i < F::inputs; ++i) {
        Node& input = *y.inputs()[i];
        if (!y.sends_delta(i)) continue;
        if (F::passes_delta(i) && input.size() == y.size() && input.borrow_delta(y)) continue;
        call.input = static_cast<int>(i);
        // The delta of a broadcast input is a sum over the broadcast axes, so it is accumulated from 0.
        T* gradient = nullptr;
        if (input.size() == y.size()) {
          const auto share = input.share<T>();
          gradient = share.data;
          call.accumulate = share.accumulate;
        } else {
          gradient = input.sum<T>();
          call.accumulate = true;
        }
        walk.each([&](const auto& at) {
          set_inputs(y, at, call);
          call.y = y.value<T>() + at[kArrays - 1];
          call.delta = y.delta<T>() + at[kArrays - 1];
          call.gradient = gradient + at[i];
          kernel<T>().backward(call);
        });
      }
    });
  }

  Expression delta(const NodePtr& y, std::size_t input, const Expression& d) const override {
    std::array<Expression, F::inputs> x;
    for (std::size_t i = 0; i < x.size(); ++i) x[i].node = y->inputs()[i];
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      Expression share;
      ((i == input ? void(share = delta_of<i>(x, y, d)) : void()), ...);
      return share;
    }(std::make_index_sequence<F::inputs>{});
  }

 private:
  template <std::size_t i>
  static Expression delta_of(const std::array<Expression, F::inputs>& x, const NodePtr& y, const Expression& d) {
    if constexpr (F::differentiable[i]) {
      return F::template delta<static_cast<int>(i)>(x.data(), Expression{y}, d);
    } else {
      return {};
    }
  }

  template <class T>
  const kernels::Elementwise<T>& kernel() const {
    return kernels::get<T>().formulas[formula()];
  }

  static Walk<kArrays> walk_of(const Node& y) {
    std::array<Shape, kArrays> strides;
    strides.fill(Shape(y.shape().size(), 0));
    for (std::size_t i = 0; i < y.inputs().size(); ++i)
      strides[i] = broadcast_strides(y.inputs()[i]->shape(), y.shape());
    strides[kArrays - 1] = contiguous_strides(y.shape());
    return {y.shape(), strides};
  }

  template <class Call>
  static void set_is_scalar(const Walk<kArrays>& walk, Call& call) {
    for (std::size_t i = 0; i < F::inputs; ++i) call.is_scalar[i] = walk.strides()[i] == 0;
  }
  template <class Call>
  static void set_inputs(const Node& y, const std::array<Index, kArrays>& at, Call& call) {
    using T = std::remove_pointer_t<decltype(call.y)>;
    for (std::size_t i = 0; i < F::inputs; ++i) {
      call.x[i] = y.inputs()[i]->value<std::remove_const_t<T>>() + at[i];
    }
  }
};

template <class F>
const Op* instance() {
  static const Elementwise<F> op;
  return &op;
}

/// The op of a formula. It is static, so the pointer needs no reference count.
std::shared_ptr<const Op> op_of(int formula) {
  static const auto list = formulas::each_formula<const Op*>([]<class F>() { return instance<F>(); });
  return {std::shared_ptr<void>(), list[static_cast<std::size_t>(formula)]};
}

Shape broadcast_shape(const char* name, const Inputs& inputs) {
  Shape shape;
  for (const NodePtr& x : inputs) {
    if (broadcast_into(shape, x->shape())) continue;
    std::string shapes;
    for (const NodePtr& each : inputs) shapes += (shapes.empty() ? "" : " and ") + shape_text(each->shape());
    throw ValueError(std::string(name) + ": expected shapes that broadcast together, got " + shapes);
  }
  return shape;
}

}  // namespace

Precision common_precision(const NodePtr* begin, const NodePtr* end) {
  bool strong = false, wide = false;
  for (const NodePtr* x = begin; x != end; ++x) {
    strong |= !(*x)->weak();
    wide |= !(*x)->weak() && (*x)->precision() == Precision::float64;
  }
  return strong && !wide ? Precision::float32 : Precision::float64;
}

NodePtr number(double value) {
  auto node = std::make_shared<Node>(Node::Kind::constant, Shape{}, Precision::float64, true);
  *node->fresh_value<double>() = value;
  return node;
}

NodePtr apply(int formula, Inputs inputs) {
  auto op = op_of(formula);
  // The condition of `where` does not take part in the precision. It is compared with 0 before it is cast, as a cast
  // may round a number to 0.
  const bool is_where = formula == formulas::formula_index<formulas::Where>();
  const Precision precision = common_precision(inputs.begin() + is_where, inputs.end());
  if (is_where && inputs[0]->precision() != precision) {
    *inputs.begin() = apply<formulas::NotEqual>({inputs[0], number(0)});
  }
  for (NodePtr& x : inputs) {
    if (x->precision() != precision) x = cast(x, precision);
  }
  Shape shape = broadcast_shape(op->name(), inputs);
  return std::make_shared<Node>(std::move(op), std::move(inputs), std::move(shape), precision);
}

NodePtr power(const NodePtr& x, const NodePtr& y) {
  if (y->weak() && y->precision() == Precision::float64) {
    const double exponent = *y->value<double>();
    if (exponent == 2) return apply<formulas::Square>({x});
    if (exponent == 0.5) return apply<formulas::Sqrt>({x});
    if (exponent == -1) return apply<formulas::Divide>({number(1), x});
  }
  return apply<formulas::Power>({x, y});
}

}  // namespace deltaprop::graph
