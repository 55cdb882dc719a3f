#include "deltaprop/nn/expression.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

// Size of the pool. With more shapes in use, the oldest trace is dropped and traced again when needed.
constexpr std::size_t kMaxTraces = 16;

template <class T>
void set(const graph::NodePtr& leaf, Matrix<const T> values) {
  std::copy_n(values.data, values.size(), leaf->fresh_value<T>());
}

/// Copies the delta of x after a backward pass from `from`; 0 if `from` does not depend on x.
template <class T>
void copy_delta(const graph::Node& x, const graph::Node& from, Matrix<T> to) {
  if (to.data == nullptr) return;
  if (from.active()) {
    std::copy_n(x.delta<T>(), to.size(), to.data);
  } else {
    std::fill_n(to.data, to.size(), T(0));
  }
}

/// The error for a result whose shape differs from that for two rows, for which the engine has allocated memory.
ValueError shape_error(const std::string& description, const graph::Shape& expected, const graph::Shape& got) {
  return ValueError(description + ": expected " + shape_text(expected) + " back, as two rows gave it, got " +
                    shape_text(got));
}

}  // namespace

Trace Traces::take(const TraceShape& shape) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(pool_.rbegin(), pool_.rend(), [&](const auto& r) { return r.first == shape; });
    if (found != pool_.rend()) {
      Trace trace = std::move(found->second);
      pool_.erase(std::next(found).base());
      return trace;
    }
  }
  return tracer_(shape);
}

void Traces::release(const TraceShape& shape, Trace trace) const {
  Trace oldest;  // destroyed after the lock is released: destroying a network in it may wait for the GIL
  const std::lock_guard lock(mutex_);
  if (pool_.size() == kMaxTraces) {
    oldest = std::move(pool_.front().second);
    pool_.erase(pool_.begin());
  }
  pool_.emplace_back(shape, std::move(trace));
}

Index ExpressionLayer::out_features(Index in) const {
  if (in < 0) return kAnyWidth;
  // Two rows reveal a function that reduces over the rows.
  return traces_.with({2, in, kNoTargets, graph::Precision::float64},
                      [](const Trace& t) { return t.result->size() / 2; });
}

// y = f(x)
template <class T>
void ExpressionLayer::run_forward(const Forward<T>& f) const {
  if (f.x.rows == 0) return;
  traces_.with({f.x.rows, f.x.cols, kNoTargets, graph::precision_of<T>}, [&](const Trace& t) {
    if (t.result->size() != f.y.size()) throw shape_error(description_, {f.y.rows, f.y.cols}, t.result->shape());
    set<T>(t.x, f.x);
    t.result->forward();
    std::copy_n(t.result->value<T>(), f.y.size(), f.y.data);
  });
}

// Recomputes the values before the backward pass: the trace may have been used for another batch since.
template <class T>
void ExpressionLayer::run_backward(const Backward<T>& b) const {
  if (b.x.rows == 0) return;
  traces_.with({b.x.rows, b.x.cols, kNoTargets, graph::precision_of<T>}, [&](const Trace& t) {
    set<T>(t.x, b.x);
    t.result->forward();
    if (t.result->active()) t.result->backward<T>(b.delta_y.data, false);
    copy_delta<T>(*t.x, *t.result, b.delta_x);
  });
}

template void ExpressionLayer::run_forward<float>(const Forward<float>&) const;
template void ExpressionLayer::run_forward<double>(const Forward<double>&) const;
template void ExpressionLayer::run_backward<float>(const Backward<float>&) const;
template void ExpressionLayer::run_backward<double>(const Backward<double>&) const;

graph::Shape ExpressionLoss::shape_for(Index cols, Index rows) const {
  return traces_.with({2, cols, targets_, graph::Precision::float64}, [rows](const Trace& t) {
    graph::Shape shape = t.result->shape();
    if (!shape.empty()) shape[0] = rows;
    return shape;
  });
}

Index ExpressionLoss::elements(Index cols) const {
  const graph::Shape shape = shape_for(cols);
  return shape.empty() ? 1 : element_count(shape) / 2;
}

template <class T>
void ExpressionLoss::call(const LossCall<T>& c) const {
  const Index rows = c.outputs.rows;
  if (rows == 0) return;
  const graph::Shape expected = shape_for(c.outputs.cols, rows);
  traces_.with({rows, c.outputs.cols, targets_, graph::precision_of<T>}, [&](const Trace& t) {
    if (t.result->shape() != expected) throw shape_error(description_, expected, t.result->shape());
    set<T>(t.x, c.outputs);
    set<T>(t.y, c.targets.values);
    t.result->forward();
    const T* result = t.result->value<T>();
    const bool final = t.result->shape().empty();
    if (final && (c.weights != nullptr || reduction() == Reduction::none)) {
      throw ValueError(description_ + ": expected " +
                       (c.weights != nullptr ? "no sample_weight" : "a reduction of 'mean' or 'sum'") +
                       " with an expression that gives one number, got " + (c.weights != nullptr ? "one" : "'none'"));
    }
    const Index width = final ? 1 : t.result->size() / rows;
    const auto weight = [&](Index i) { return c.weights == nullptr ? T(1) : c.weights[i]; };
    // Across batches, a scalar loss with reduction 'mean' counts as the mean of its rows.
    const double rows_of_one = reduction() == Reduction::mean ? static_cast<double>(rows) : 1;
    if (c.values != nullptr) {
      std::fill_n(c.values, rows, 0.0);
      if (final) c.values[0] = static_cast<double>(*result) * rows_of_one;
      for (Index i = 0; !final && i < rows; ++i) {
        for (Index j = 0; j < width; ++j) c.values[i] += static_cast<double>(weight(i) * result[i * width + j]);
      }
    }
    if (c.elements != nullptr) {
      for (Index i = 0; i < rows * width; ++i) c.elements[i] = weight(i / width) * result[i];
    }
    if (c.deltas.data == nullptr) return;
    if (t.result->active()) {
      if (final) {
        const double share = c.scale * rows_of_one;
        // n (1 / n) is 1 up to rounding.
        const auto one = static_cast<T>(std::abs(share - 1) < 4 * std::numeric_limits<double>::epsilon() ? 1 : share);
        t.result->backward<T>(&one, true);
      } else {
        const Buffer<T> shares(rows * width);
        for (Index i = 0; i < rows * width; ++i) {
          shares.data()[i] = static_cast<T>(static_cast<double>(weight(i / width)) * c.scale);
        }
        t.result->backward<T>(shares.data(), false);
      }
    }
    copy_delta<T>(*t.x, *t.result, c.deltas);
  });
}

template void ExpressionLoss::call<float>(const LossCall<float>&) const;
template void ExpressionLoss::call<double>(const LossCall<double>&) const;

}  // namespace deltaprop::nn
