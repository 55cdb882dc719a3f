#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "deltaprop/graph/node.hpp"
#include "deltaprop/nn/layer.hpp"
#include "deltaprop/nn/loss.hpp"

/// A layer and a loss made of a function of nodes.
namespace deltaprop::nn {

inline constexpr Index kNoTargets = -1;

/// What a function is traced for.
struct TraceShape {
  Index rows, cols;
  Index targets;  // columns of y; kNoTargets for layers
  graph::Precision precision;

  bool operator==(const TraceShape&) const = default;
};

/// The function written down as a graph, for one shape: leaves to be set, and what they make.
struct Trace {
  graph::NodePtr x;
  graph::NodePtr y;  // for losses
  graph::NodePtr result;
};

using Tracer = std::function<Trace(const TraceShape&)>;

/// Traces at rest, one of which whoever runs borrows for that time: from many threads each has its own.
class Traces {
 public:
  explicit Traces(Tracer tracer) : tracer_(std::move(tracer)) {}

  /// f(trace), an old one where there is one of this shape.
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

/// y = f(x), with the derivative that the graph finds.
class ExpressionLayer final : public BothPrecisions<ExpressionLayer> {
 public:
  ExpressionLayer(Tracer tracer, std::string description)
      : traces_(std::move(tracer)), description_(std::move(description)) {}

  std::string describe() const override { return description_; }
  Index out_features(Index in) const override;
  /// Nobody knows: the function is asked only for widths that there are.
  bool keeps_width() const override { return false; }
  /// The function may bring rows together.
  bool rowwise(bool) const override { return false; }

  template <class T>
  void run_forward(const Forward<T>& f) const;
  template <class T>
  void run_backward(const Backward<T>& b) const;

 private:
  Traces traces_;
  std::string description_;
};

/// A loss f(outputs, y), with the derivative that the graph finds: one number for all rows of a batch, or rows that are
/// weighted and reduced as those of other losses.
class ExpressionLoss final : public Loss {
 public:
  /// For targets of so many columns.
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
  /// Of the result for so many rows, by that for two.
  graph::Shape shape_for(Index cols, Index rows = 2) const;

  Traces traces_;
  std::string description_;
  Index targets_;
};

}  // namespace deltaprop::nn
