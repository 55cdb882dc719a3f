#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <tuple>

#include "check.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/ops.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using graph::Axes;
using graph::Inputs;
using graph::Node;
using graph::NodePtr;
using graph::Precision;
using graph::Shape;

namespace {

using Function = std::function<NodePtr(const std::vector<NodePtr>&)>;

template <class T>
constexpr Precision precision_of() {
  return sizeof(T) == 4 ? Precision::float32 : Precision::float64;
}

template <class T>
void set(Node& leaf, const std::vector<T>& values) {
  std::copy(values.begin(), values.end(), leaf.fresh_value<T>());
}
template <class T = double>
NodePtr leaf(const Shape& shape, const std::vector<T>& values, Node::Kind kind = Node::Kind::variable) {
  auto node = std::make_shared<Node>(kind, shape, precision_of<T>());
  REQUIRE(node->size() == static_cast<Index>(values.size()));
  set(*node, values);
  return node;
}
/// Distinct numbers at which every formula is smooth.
template <class T = double>
NodePtr distinct_inputs(const Shape& shape, std::uint64_t seed) {
  std::vector<T> v = numbers<T>(element_count(shape), seed);
  for (T& x : v) x = T(0.85) + T(0.5) * x;
  return leaf<T>(shape, v);
}

template <class T = double>
std::vector<T> values(const NodePtr& node) {
  return {node->value<T>(), node->value<T>() + node->size()};
}
template <class T = double>
std::vector<T> deltas(const NodePtr& node) {
  REQUIRE(node->has_delta());
  return {node->delta<T>(), node->delta<T>() + node->size()};
}
template <class T = double>
void backward(const NodePtr& y, T delta = 1) {
  y->backward<T>(&delta, true);
}

double max_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double distance = std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i]));
    if (!(distance <= worst)) worst = distance;
  }
  return worst;
}

/// d(sum of w y)/dx by central differences: sets the leaf and evaluates y again.
std::vector<double> differences(const NodePtr& y, const std::vector<double>& w, const NodePtr& x) {
  const std::vector<double> before = values(x);
  const double h = 1e-5;
  std::vector<double> slopes;
  for (std::size_t i = 0; i < before.size(); ++i) {
    double sides[2];
    for (int side = 0; side < 2; ++side) {
      std::vector<double> moved = before;
      moved[i] += side == 0 ? h : -h;
      set(*x, moved);
      y->forward();
      sides[side] = 0;
      for (std::size_t k = 0; k < w.size(); ++k) sides[side] += w[k] * y->value<double>()[k];
    }
    slopes.push_back((sides[0] - sides[1]) / (2 * h));
  }
  set(*x, before);
  y->forward();
  return slopes;
}

/// Compares the deltas of f with finite differences and with gradient(), and then the deltas of gradient() likewise.
void check(const Function& f, const std::vector<NodePtr>& x, int order = 2) {
  const NodePtr y = f(x);
  const std::vector<double> w = numbers<double>(y->size(), 7);
  const auto gradient = [&](const NodePtr& of) {
    return graph::gradient(of, leaf(of->shape(), w, Node::Kind::constant), x);
  };
  if (y->active()) y->backward<double>(w.data(), false);
  const std::vector<NodePtr> nodes = gradient(y);
  for (std::size_t k = 0; k < x.size(); ++k) {
    CAPTURE(k);
    CAPTURE(order);
    const bool reached = y->active() && x[k]->has_delta();
    const std::vector<double> own = reached ? deltas(x[k]) : std::vector<double>(at(x[k]->size()), 0.0);
    CHECK(max_difference(own, differences(y, w, x[k])) < 1e-7);
    CHECK(nodes[k]->shape() == x[k]->shape());
    CHECK(max_difference(values(nodes[k]), own) < 1e-12);
    x[k]->forget_delta();
  }
  for (std::size_t k = 0; order > 1 && k < x.size(); ++k) {
    check(
        [&](const std::vector<NodePtr>& at_x) {
          const NodePtr again = f(at_x);
          return graph::gradient(again, leaf(again->shape(), w, Node::Kind::constant), at_x)[k];
        },
        x, order - 1);
  }
}

/// Calls f<F>(index) for each formula.
template <class F>
void for_each_formula(F&& f) {
  [&]<class... Fs>(std::tuple<Fs...>*) {
    (f.template operator()<Fs>(), ...);
  }(static_cast<formulas::Formulas*>(nullptr));
}

Inputs inputs(const std::vector<NodePtr>& nodes) {
  Inputs list;
  for (const NodePtr& node : nodes) list.push_back(node);
  return list;
}

}  // namespace

TEST_CASE("first and second derivatives of every formula agree with finite differences") {
  for_each_formula([]<class F>() {
    CAPTURE(F::name);
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{19}}) {
      std::vector<NodePtr> x;
      for (int i = 0; i < F::inputs; ++i) x.push_back(distinct_inputs(shape, 1 + i));
      check([](const std::vector<NodePtr>& v) { return graph::apply<F>(inputs(v)); }, x);
    }
  });
}

TEST_CASE_TEMPLATE("arrays and scalars give the same bits", T, float, double) {
  for_each_formula([]<class F>() {
    CAPTURE(F::name);
    const Index n = 37;  // has a tail for every vector width
    std::vector<NodePtr> x;
    for (int i = 0; i < F::inputs; ++i) x.push_back(leaf<T>({n}, numbers<T>(n, 3 + i)));
    const NodePtr y = graph::apply<F>(inputs(x));
    if (y->active()) backward<T>(y, T(1.25));
    for (Index k = 0; k < n; ++k) {
      std::vector<NodePtr> one;
      for (const NodePtr& each : x) one.push_back(leaf<T>({}, {values<T>(each)[at(k)]}));
      const NodePtr z = graph::apply<F>(inputs(one));
      CHECK(same_bits(z->template value<T>()[0], y->template value<T>()[k]));
      if (!y->active()) continue;
      backward<T>(z, T(1.25));
      for (std::size_t i = 0; i < one.size(); ++i) {
        if (!F::differentiable[i]) continue;
        // 0 + -0 is 0: an accumulated delta loses the sign.
        CHECK(same_bits(one[i]->template delta<T>()[0], x[i]->template delta<T>()[k] + T(0)));
      }
    }
  });
}

TEST_CASE("broadcasting forward and backward") {
  const std::vector<std::pair<Shape, Shape>> pairs{{{3, 1}, {1, 4}}, {{4}, {2, 3, 4}},    {{}, {5}},
                                                   {{5}, {1}},       {{2, 1, 3}, {4, 1}}, {{1}, {}},
                                                   {{0, 1}, {1, 3}}, {{3, 1, 1}, {3}}};
  for_each_formula([&]<class F>() {
    CAPTURE(F::name);
    if constexpr (F::inputs > 1) {
      for (const auto& [a, b] : pairs) {
        std::vector<NodePtr> x{distinct_inputs(a, 1), distinct_inputs(b, 2)};
        if (F::inputs == 3) x.push_back(distinct_inputs(a, 3));
        const Function f = [](const std::vector<NodePtr>& v) { return graph::apply<F>(inputs(v)); };
        check(f, x, 1);
        std::swap(x[0], x[1]);
        check(f, x, 1);
      }
    }
  });
  CHECK_THROWS_WITH_AS(graph::apply<formulas::Add>({distinct_inputs({2}, 1), distinct_inputs({3}, 1)}),
                       "add: expected shapes that broadcast together, got (2,) and (3,)", ValueError);
}

TEST_CASE("sum, mean and max over axes") {
  const std::vector<Axes> choices{std::nullopt,      Axes(Shape{0}),    Axes(Shape{1}),       Axes(Shape{-1}),
                                  Axes(Shape{0, 2}), Axes(Shape{1, 0}), Axes(Shape{0, 1, 2}), Axes(Shape{})};
  for (const Axes& axes : choices) {
    for (const bool keepdims : {false, true}) {
      const std::vector<NodePtr> x{distinct_inputs({2, 3, 4}, 1)};
      check([&](const auto& v) { return graph::sum(v[0], axes, keepdims); }, x);
      check([&](const auto& v) { return graph::mean(graph::apply<formulas::Square>({v[0]}), axes, keepdims); }, x);
      check([&](const auto& v) { return graph::max(graph::apply<formulas::Square>({v[0]}), axes, keepdims); }, x);
    }
  }
  const NodePtr x = leaf({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(values(graph::sum(x, Axes(Shape{0}))) == std::vector<double>{5, 7, 9});
  CHECK(values(graph::mean(x, Axes(Shape{1}))) == std::vector<double>{2, 5});
  CHECK(values(graph::max(x)) == std::vector<double>{6});
  CHECK(graph::sum(x, Axes(Shape{0}), true)->shape() == Shape{1, 3});
  CHECK_THROWS_WITH_AS(graph::sum(x, Axes(Shape{2})), "sum: expected different axes of an array (2, 3), got axis 2",
                       ValueError);
  CHECK_THROWS_WITH_AS(graph::mean(leaf({0}, {})), "mean: expected an element or more, got an array (0,)", ValueError);
}

TEST_CASE("tied maxima share the delta, and NaN is the maximum") {
  const NodePtr ties = leaf({4}, {3, 1, 3, 2});
  backward(graph::max(ties));
  CHECK(deltas(ties) == std::vector<double>{0.5, 0, 0.5, 0});
  const NodePtr lost = leaf({3}, {1, std::nan(""), 2});
  const NodePtr most = graph::max(lost);
  CHECK(std::isnan(values(most)[0]));
  backward(most);
  CHECK(deltas(lost) == std::vector<double>{0, 1, 0});
  CHECK(values(graph::gradient(most, graph::number(1), {lost})[0]) == std::vector<double>{0, 1, 0});
}

TEST_CASE("reshape, transpose, broadcast and strided views") {
  const std::vector<NodePtr> x{distinct_inputs({3, 4}, 1)};
  const auto square = [](const NodePtr& v) { return graph::apply<formulas::Square>({v}); };
  check([&](const auto& v) { return square(graph::reshape(v[0], {2, -1})); }, x);
  check([&](const auto& v) { return square(graph::transpose(v[0])); }, x);
  check([&](const auto& v) { return square(graph::broadcast(v[0], {2, 3, 4})); }, x);
  // Every second column in reverse order, rows broadcast.
  check([&](const auto& v) { return square(graph::view(v[0], {{2, 3, 2}, {0, 4, -2}, 3}, "getitem")); }, x);
  check([&](const auto& v) { return square(graph::view(v[0], {{0, 4}, {4, 1}, 0}, "getitem")); }, x);
  CHECK(values(graph::transpose(leaf({2, 2}, {1, 2, 3, 4}))) == std::vector<double>{1, 3, 2, 4});
  CHECK(graph::reshape(leaf({0, 3}, {}), {-1})->shape() == Shape{0});
  for (const Shape& bad : {Shape{5, -1}, Shape{0, -1}, Shape{7}, Shape{Index{1} << 62, 4}, Shape{-1, 0}}) {
    CHECK_THROWS_AS(graph::reshape(x[0], bad), ValueError);
  }
  CHECK_THROWS_AS(graph::reshape(x[0], {-1, -1}), ValueError);
  CHECK_THROWS_AS(graph::reshape(leaf({0}, {}), {0, -1}), ValueError);
}

TEST_CASE("matrix products of vectors, matrices and stacks") {
  const std::vector<std::pair<Shape, Shape>> pairs{{{2, 3}, {3, 4}}, {{3}, {3, 4}},    {{2, 3}, {3}},
                                                   {{3}, {3}},       {{2, 0}, {0, 3}}, {{5, 2, 3}, {3, 2}},
                                                   {{4}, {2, 4, 3}}, {{0, 3}, {3, 2}}, {{2, 1, 2, 3}, {5, 3, 1}}};
  for (const auto& [a, b] : pairs) {
    check([](const auto& v) { return graph::matmul(v[0], v[1]); }, {distinct_inputs(a, 1), distinct_inputs(b, 2)});
  }
  CHECK(values(graph::matmul(leaf({2, 2}, {1, 2, 3, 4}), leaf({2}, {5, 6}))) == std::vector<double>{17, 39});
  CHECK_THROWS_WITH_AS(graph::matmul(distinct_inputs({2, 3}, 1), distinct_inputs({2, 3}, 1)),
                       "matmul: expected (..., m, k) and (..., k, n), got (2, 3) and (2, 3)", ValueError);
  CHECK_THROWS_AS(graph::matmul(distinct_inputs({}, 1), distinct_inputs({2}, 1)), ValueError);
}

TEST_CASE("float32 and float64 give float64, and Python numbers take the precision of the other operand") {
  const NodePtr narrow = leaf<float>({2}, {0.1F, 0.2F}), wide = leaf({2}, {0.3, 0.4});
  const NodePtr y = graph::apply<formulas::Multiply>({narrow, wide});
  CHECK(y->precision() == Precision::float64);
  CHECK(values(y) == std::vector<double>{double(0.1F) * 0.3, double(0.2F) * 0.4});
  backward(y);
  CHECK(deltas<float>(narrow) == std::vector<float>{0.3F, 0.4F});
  CHECK(deltas(wide) == std::vector<double>{double(0.1F), double(0.2F)});
  CHECK(graph::apply<formulas::Multiply>({narrow, graph::number(2)})->precision() == Precision::float32);
  CHECK(graph::apply<formulas::Multiply>({graph::number(3), graph::number(2)})->precision() == Precision::float64);

  // The condition of `where` does not widen the result, and is not rounded to 0.
  const NodePtr tiny = leaf({2}, {1e-300, 0.0});
  const NodePtr chosen = graph::apply<formulas::Where>({tiny, narrow, graph::number(7)});
  CHECK(chosen->precision() == Precision::float32);
  CHECK(values<float>(chosen) == std::vector<float>{0.1F, 7.0F});
}

TEST_CASE("derivatives of power at base 0 are the limits") {
  for (const Shape& shape : {Shape{}, Shape{5}}) {
    const std::vector<double> zero(at(element_count(shape)), 0.0);
    const auto power = [&](double exponent) {
      const NodePtr x = leaf(shape, zero), y = graph::power(x, graph::number(exponent));
      const NodePtr first = graph::gradient(y, graph::number(1), {x})[0];
      const NodePtr second = graph::gradient(first, graph::number(1), {x})[0];
      return std::vector<double>{values(y)[0], values(first)[0], values(second)[0]};
    };
    CHECK(power(0) == std::vector<double>{1, 0, 0});
    CHECK(power(1) == std::vector<double>{0, 1, 0});
    CHECK(power(2) == std::vector<double>{0, 0, 2});
    CHECK(power(3) == std::vector<double>{0, 0, 0});
  }
  // d2(x^y)/(dx dy) = x^(y-1) (1 + y log x), at y = 0 too.
  const NodePtr x = leaf({}, {2}), y = leaf({}, {0});
  const NodePtr first = graph::gradient(graph::power(x, y), graph::number(1), {x})[0];
  CHECK(values(graph::gradient(first, graph::number(1), {y})[0])[0] == doctest::Approx(0.5));
}

TEST_CASE("setting a leaf and forward() reevaluate the graph") {
  const NodePtr x = leaf({2}, {1, 2}), y = graph::sum(graph::apply<formulas::Square>({x}));
  CHECK(values(y)[0] == 5);
  set<double>(*x, {3, 4});
  CHECK(values(y)[0] == 5);
  y->forward();
  CHECK(values(y)[0] == 25);
  backward(y);
  CHECK(deltas(x) == std::vector<double>{6, 8});
  backward(y, 2.0);
  CHECK(deltas(x) == std::vector<double>{12, 16});
}

TEST_CASE("memory with other references is not overwritten") {
  const NodePtr x = leaf({3}, {1, 2, 3}), y = graph::apply<formulas::Square>({x});
  backward(y);
  const graph::Memory value = y->value_memory(), delta = x->delta_memory();
  const auto seen = [](const graph::Memory& memory) {
    const auto* p = reinterpret_cast<const double*>(memory.get());
    return std::vector<double>(p, p + 3);
  };
  set<double>(*x, {4, 5, 6});
  y->forward();
  backward(y);
  CHECK(seen(value) == std::vector<double>{1, 4, 9});
  CHECK(seen(delta) == std::vector<double>{2, 4, 6});
  CHECK(values(y) == std::vector<double>{16, 25, 36});
  CHECK(deltas(x) == std::vector<double>{8, 10, 12});

  // Memory without other references is reused.
  const double* own = y->value<double>();
  y->forward();
  CHECK(y->value<double>() == own);
}

TEST_CASE("a chain of 100,000 nodes does not overflow the stack") {
  for (const Shape& shape : {Shape{}, Shape{2}}) {
    const NodePtr x = leaf(shape, std::vector<double>(at(element_count(shape)), 1.0));
    NodePtr y = x;
    for (int i = 0; i < 100000; ++i) y = graph::apply<formulas::Add>({y, graph::number(1)});
    y->forward();
    CHECK(values(y)[0] == 100001);
    backward(y);
    CHECK(deltas(x)[0] == 1);
    CHECK(values(graph::gradient(y, graph::number(1), {x})[0])[0] == 1);
    y.reset();
  }
}

TEST_CASE("deltas of a graph with 2^60 paths are computed in linear time") {
  for (const Shape& shape : {Shape{}, Shape{2}}) {
    const NodePtr x = leaf(shape, std::vector<double>(at(element_count(shape)), 1.0));
    NodePtr y = x;
    for (int i = 0; i < 60; ++i) y = graph::apply<formulas::Add>({y, y});
    backward(y);
    CHECK(values(y)[0] == 0x1p60);
    CHECK(deltas(x)[0] == 0x1p60);
    CHECK(values(graph::gradient(y, graph::number(1), {x})[0])[0] == 0x1p60);
  }
}

TEST_CASE("constants get no delta") {
  const NodePtr c = leaf({}, {2}, Node::Kind::constant), x = leaf({}, {3});
  backward(graph::apply<formulas::Multiply>({c, x}));
  CHECK(!c->has_delta());
  CHECK(deltas(x)[0] == 2);
  CHECK(!graph::apply<formulas::Less>({x, c})->active());
  CHECK_THROWS_WITH_AS(backward(graph::apply<formulas::Square>({c})),
                       "backward: expected a node that depends on a variable, got one of constants alone", ValueError);
}
