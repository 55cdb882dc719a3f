#pragma once

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>

/// Elementwise functions: value and vector-Jacobian product side by side. Each formula is a template over a type P with
/// the operators that it uses: SIMD vectors in the kernels, and graph nodes, which give derivatives that can be
/// differentiated again.
///
/// x: the inputs, y: the value, d: dJ/dy; delta<i> gives d dy/dx_i. `differentiable` says which inputs have one.
namespace deltaprop::formulas {

/// The constant v as a P.
template <class P>
struct Number;
template <class P>
P number(double v) {
  return Number<P>::of(v);
}

template <int count, bool... differentiable_>
struct Inputs {
  static constexpr int inputs = count;
  static constexpr bool differentiable[] = {differentiable_...};
  /// Whether the delta of this input is d itself (dy/dx_i = 1).
  static constexpr bool passes_delta(std::size_t) { return false; }
  /// Whether the value is expensive: worth storing rather than recomputing; and whether the deltas are.
  static constexpr bool expensive = false, expensive_delta = false;
};
struct Unary : Inputs<1, true> {};
struct Function : Unary {
  static constexpr bool expensive = true;
};
struct Binary : Inputs<2, true, true> {};

struct Negative : Unary {
  static constexpr const char* name = "negative";
  template <class P>
  static P value(const P* x) {
    return -x[0];
  }
  template <int, class P>
  static P delta(const P*, const P&, const P& d) {
    return -d;
  }
};

struct Exp : Function {
  static constexpr const char* name = "exp";
  template <class P>
  static P value(const P* x) {
    return exp(x[0]);
  }
  template <int, class P>
  static P delta(const P*, const P& y, const P& d) {
    return d * y;
  }
};

struct Expm1 : Function {
  static constexpr const char* name = "expm1";
  template <class P>
  static P value(const P* x) {
    return expm1(x[0]);
  }
  template <int, class P>
  static P delta(const P*, const P& y, const P& d) {
    return d * (y + number<P>(1));
  }
};

struct Log : Function {
  static constexpr const char* name = "log";
  template <class P>
  static P value(const P* x) {
    return log(x[0]);
  }
  template <int, class P>
  static P delta(const P* x, const P&, const P& d) {
    return d / x[0];
  }
};

struct Log1p : Function {
  static constexpr const char* name = "log1p";
  template <class P>
  static P value(const P* x) {
    return log1p(x[0]);
  }
  template <int, class P>
  static P delta(const P* x, const P&, const P& d) {
    return d / (x[0] + number<P>(1));
  }
};

struct Sqrt : Unary {
  static constexpr const char* name = "sqrt";
  template <class P>
  static P value(const P* x) {
    return sqrt(x[0]);
  }
  template <int, class P>
  static P delta(const P*, const P& y, const P& d) {
    return d / (y + y);
  }
};

struct Sin : Function {
  static constexpr const char* name = "sin";
  static constexpr bool costly_delta = true;
  template <class P>
  static P value(const P* x) {
    return sin(x[0]);
  }
  template <int, class P>
  static P delta(const P* x, const P&, const P& d) {
    return d * cos(x[0]);
  }
};

struct Cos : Function {
  static constexpr const char* name = "cos";
  static constexpr bool costly_delta = true;
  template <class P>
  static P value(const P* x) {
    return cos(x[0]);
  }
  template <int, class P>
  static P delta(const P* x, const P&, const P& d) {
    return -(d * sin(x[0]));
  }
};

struct Tan : Function {
  static constexpr const char* name = "tan";
  template <class P>
  static P value(const P* x) {
    return tan(x[0]);
  }
  template <int, class P>
  static P delta(const P*, const P& y, const P& d) {
    return d * (y * y + number<P>(1));
  }
};

struct Tanh : Function {
  static constexpr const char* name = "tanh";
  template <class P>
  static P value(const P* x) {
    return tanh(x[0]);
  }
  template <int, class P>
  static P delta(const P*, const P& y, const P& d) {
    return d * ((number<P>(1) - y) * (number<P>(1) + y));
  }
};

struct Sigmoid : Function {
  static constexpr const char* name = "sigmoid";
  template <class P>
  static P value(const P* x) {
    return sigmoid(x[0]);
  }
  template <int, class P>
  static P delta(const P*, const P& y, const P& d) {
    return d * (y * (number<P>(1) - y));
  }
};

struct Absolute : Unary {
  static constexpr const char* name = "abs";
  template <class P>
  static P value(const P* x) {
    return abs(x[0]);
  }
  template <int, class P>
  static P delta(const P* x, const P&, const P& d) {
    return d * sign(x[0]);
  }
};

struct Sign : Inputs<1, false> {
  static constexpr const char* name = "sign";
  template <class P>
  static P value(const P* x) {
    return sign(x[0]);
  }
};

struct Square : Unary {
  static constexpr const char* name = "square";
  template <class P>
  static P value(const P* x) {
    return x[0] * x[0];
  }
  template <int, class P>
  static P delta(const P* x, const P&, const P& d) {
    return d * (x[0] + x[0]);
  }
};

struct Add : Binary {
  static constexpr const char* name = "add";
  static constexpr bool passes_delta(std::size_t) { return true; }
  template <class P>
  static P value(const P* x) {
    return x[0] + x[1];
  }
  template <int, class P>
  static P delta(const P*, const P&, const P& d) {
    return d;
  }
};

struct Subtract : Binary {
  static constexpr const char* name = "subtract";
  static constexpr bool passes_delta(std::size_t i) { return i == 0; }
  template <class P>
  static P value(const P* x) {
    return x[0] - x[1];
  }
  template <int i, class P>
  static P delta(const P*, const P&, const P& d) {
    if constexpr (i == 0) {
      return d;
    } else {
      return -d;
    }
  }
};

struct Multiply : Binary {
  static constexpr const char* name = "multiply";
  template <class P>
  static P value(const P* x) {
    return x[0] * x[1];
  }
  template <int i, class P>
  static P delta(const P* x, const P&, const P& d) {
    return d * x[1 - i];
  }
};

struct Divide : Binary {
  static constexpr const char* name = "divide";
  template <class P>
  static P value(const P* x) {
    return x[0] / x[1];
  }
  template <int i, class P>
  static P delta(const P* x, const P& y, const P& d) {
    if constexpr (i == 0) {
      return d / x[1];
    } else {
      return -(d * y / x[1]);
    }
  }
};

struct Power : Binary {
  static constexpr const char* name = "power";
  static constexpr bool expensive = true, expensive_delta = true;
  template <class P>
  static P value(const P* x) {
    return pow(x[0], x[1]);
  }
  // At base 0 the limits, where the plain formula is 0 * infinity.
  template <int i, class P>
  static P delta(const P* x, const P& y, const P& d) {
    const P zero = number<P>(0);
    if constexpr (i == 0) {
      const P less = x[1] - number<P>(1);
      return d * x[1] * pow(x[0], select(x[0] == zero, select(x[1] == zero, zero, less), less));
    } else {
      return select(x[0] == zero, select(zero <= x[1], zero, d * -y), d * y * log(x[0]));
    }
  }
};

/// Equal inputs get half of the delta each, as in PyTorch; NaN propagates, as in NumPy.
struct Maximum : Binary {
  static constexpr const char* name = "maximum";
  template <class P>
  static P value(const P* x) {
    return select(x[1] == x[1], select(x[0] < x[1], x[1], x[0]), x[1]);
  }
  template <int i, class P>
  static P delta(const P* x, const P&, const P& d) {
    const P zero = number<P>(0);
    return select(x[i] < x[1 - i], zero, select(x[i] == x[1 - i], d * number<P>(0.5), d));
  }
};

struct Minimum : Binary {
  static constexpr const char* name = "minimum";
  template <class P>
  static P value(const P* x) {
    return select(x[1] == x[1], select(x[1] < x[0], x[1], x[0]), x[1]);
  }
  template <int i, class P>
  static P delta(const P* x, const P&, const P& d) {
    const P zero = number<P>(0);
    return select(x[1 - i] < x[i], zero, select(x[i] == x[1 - i], d * number<P>(0.5), d));
  }
};

/// 1 where true, 0 elsewhere.
struct Comparison : Inputs<2, false, false> {};

struct Less : Comparison {
  static constexpr const char* name = "less";
  template <class P>
  static P value(const P* x) {
    return select(x[0] < x[1], number<P>(1), number<P>(0));
  }
};

struct LessEqual : Comparison {
  static constexpr const char* name = "less_equal";
  template <class P>
  static P value(const P* x) {
    return select(x[0] <= x[1], number<P>(1), number<P>(0));
  }
};

struct Equal : Comparison {
  static constexpr const char* name = "equal";
  template <class P>
  static P value(const P* x) {
    return select(x[0] == x[1], number<P>(1), number<P>(0));
  }
};

struct NotEqual : Comparison {
  static constexpr const char* name = "not_equal";
  template <class P>
  static P value(const P* x) {
    return select(x[0] == x[1], number<P>(0), number<P>(1));
  }
};

/// x0 ? x1 : x2
struct Where : Inputs<3, false, true, true> {
  static constexpr const char* name = "where";
  template <class P>
  static P value(const P* x) {
    return select(x[0] == number<P>(0), x[2], x[1]);
  }
  template <int i, class P>
  static P delta(const P* x, const P&, const P& d) {
    const P zero = number<P>(0);
    if constexpr (i == 1) {
      return select(x[0] == zero, zero, d);
    } else {
      return select(x[0] == zero, d, zero);
    }
  }
};

/// All formulas; the position in this list identifies a formula.
using Formulas =
    std::tuple<Negative, Exp, Expm1, Log, Log1p, Sqrt, Sin, Cos, Tan, Tanh, Sigmoid, Absolute, Sign, Square, Add,
               Subtract, Multiply, Divide, Power, Maximum, Minimum, Less, LessEqual, Equal, NotEqual, Where>;
inline constexpr int kFormulas = std::tuple_size_v<Formulas>;
inline constexpr int kMaxInputs = 3;

/// Table of make.template operator()<F>() for each formula, in the order of the list.
template <class Entry, class Make>
constexpr std::array<Entry, kFormulas> each_formula(Make&& make) {
  return [&]<class... Fs>(std::tuple<Fs...>*) {
    return std::array<Entry, kFormulas>{make.template operator()<Fs>()...};
  }(static_cast<Formulas*>(nullptr));
}

/// Position of a formula in the list.
template <class F>
constexpr int formula_index() {
  return []<class... Fs>(std::tuple<Fs...>*) {
    int i = 0;
    (void)((std::is_same_v<F, Fs> ? false : (++i, true)) && ...);
    return i;
  }(static_cast<Formulas*>(nullptr));
}

}  // namespace deltaprop::formulas
