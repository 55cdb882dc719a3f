#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/nn/layer.hpp"
#include "deltaprop/nn/loss.hpp"

/// A layer and a loss defined by a function of graph nodes.
namespace deltaprop::nn {

inline constexpr Index kNoTargets = -1;

/// The shapes and precision for which a function is traced.
struct TraceShape {
  Index rows, cols;
  Index targets;  // columns of y; kNoTargets for layers
  graph::Precision precision;

  bool operator==(const TraceShape&) const = default;
};

/// The graph of a function for one shape: the leaves to set, and the result.
struct Trace {
  graph::NodePtr x;
  graph::NodePtr y;  // for losses
  graph::NodePtr result;
};

using Tracer = std::function<Trace(const TraceShape&)>;

/// A pool of traces. Each call borrows one, so concurrent calls use different traces.
class Traces {
 public:
  explicit Traces(Tracer tracer) : tracer_(std::move(tracer)) {}

  /// Calls f(trace) with a pooled trace of this shape, or a new one.
  template <class F>
  auto with(const TraceShape& shape, F&& f) const {
    struct Borrowed {
      const Traces& from;
      TraceShape shape;
      Trace trace;
      ~Borrowed() { from.release(shape, std::move(trace)); }
    } borrowed{*this, shape, take(shape)};
    return f(std::as_const(borrowed.trace));
  }

 private:
  Trace take(const TraceShape& shape) const;
  void release(const TraceShape& shape, Trace trace) const;

  Tracer tracer_;
  mutable std::mutex mutex_;
  mutable std::vector<std::pair<TraceShape, Trace>> pool_;
};

/// y = f(x), differentiated by the graph.
class ExpressionLayer final : public BothPrecisions<ExpressionLayer> {
 public:
  ExpressionLayer(Tracer tracer, std::string description)
      : traces_(std::move(tracer)), description_(std::move(description)) {}

  std::string describe() const override { return description_; }
  Index out_features(Index in) const override;
  /// Unknown: the function is traced for actual widths only.
  bool keeps_width() const override { return false; }
  /// The function may combine rows.
  bool rowwise(bool) const override { return false; }

  template <class T>
  void run_forward(const Forward<T>& f) const;
  template <class T>
  void run_backward(const Backward<T>& b) const;

 private:
  Traces traces_;
  std::string description_;
};

/// A loss f(outputs, y), differentiated by the graph: either a scalar for the whole batch, or rows that are weighted
/// and reduced like those of other losses.
class ExpressionLoss final : public Loss {
 public:
  /// `targets`: number of columns of y.
  ExpressionLoss(Tracer tracer, std::string description, Reduction reduction, Index targets)
      : Loss(reduction, 1), traces_(std::move(tracer)), description_(std::move(description)), targets_(targets) {}

  std::string describe() const override { return description_; }
  TargetKind target_kind() const override { return TargetKind::values; }
  Index elements(Index cols) const override;
  bool per_row(Index cols) const override { return shape_for(cols).size() == 1; }
  Index target_cols(Index) const override { return targets_; }
  bool rowwise() const override { return false; }
  void run(const LossCall<float>& c) const override { call(c); }
  void run(const LossCall<double>& c) const override { call(c); }

 private:
  template <class T>
  void call(const LossCall<T>& c) const;
  /// Shape of the result for `rows` rows, from a trace with two rows.
  graph::Shape shape_for(Index cols, Index rows = 2) const;

  Traces traces_;
  std::string description_;
  Index targets_;
};

}  // namespace deltaprop::nn
