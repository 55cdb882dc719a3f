#include "deltaprop/train/objective.hpp"

#include <algorithm>
#include <cmath>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::train {

template <class T>
Objective<T>::Objective(runtime::Model<T>& model, const std::vector<Head>& heads, const Data& example,
                        Recording recording, Reduction<T>* reduction)
    : model_(model),
      network_(model.network()),
      subgraph_(model.resolve_inputs(example.x)),
      scope_(recording.deltas ? engine::GradientScope::inputs : engine::GradientScope::gradients),
      reduction_(reduction) {
  for (const Head& head : heads) heads_.push_back({LossRows<T>(*head.loss), head.weight});
  for (const StridedView& x : example.x) features_.push_back(x.cols);
  const bool in_place = !recording.activations && !recording.deltas;
  workspace_.shape(network_, subgraph_, features_, in_place);
  tile_rows_ = engine::rows_per_tile<T>(parameters().size(), workspace_.widths());
  work_per_row_ = engine::work_of_row(network_, workspace_.widths());
  statistics_.resize(static_cast<std::size_t>(parameters().buffer_values.size()));
}

template <class T>
void Objective<T>::compile() {
  version_ = network_.version();
  min_batch_size_ = network_.min_batch_size();
  tiles_ = engine::gradient_tiles(network_);
  make_tasks();
  pass_ = gradients_ = {};
  pass_.add_rows([this](Range rows) { gather_inputs(rows); });
  engine::add_forward(pass_, network_, subgraph_, workspace_);
  add_losses(pass_, true);
  engine::add_backward(pass_, network_, subgraph_, workspace_, scope_);
  pass_.add_rows([this](Range rows) { check_deltas(rows); });
  gradients_.add_tiles(static_cast<Index>(tasks_.size()), [this](Index i) { compute_gradient(i); }, true);
}

template <class T>
void Objective<T>::compile_evaluation() {
  if (evaluation_version_ == version_) return;
  evaluation_version_ = version_;
  value_ = backward_ = {};
  value_.add_rows([this](Range rows) { gather_inputs(rows); });
  engine::add_forward(value_, network_, subgraph_, workspace_);
  add_losses(value_, false);
  engine::add_backward(backward_, network_, subgraph_, workspace_, scope_);
}

template <class T>
void Objective<T>::make_tasks() {
  // Small tiles share a task of up to this number of elements: a call would cost more than their gradients.
  constexpr Index kTaskSize = 1024;
  tasks_.clear();
  for (Index i = 0; i < static_cast<Index>(tiles_.size()); ++i) {
    const engine::GradientTile& tile = tiles_[static_cast<std::size_t>(i)];
    if (!tasks_.empty() && tasks_.back().run.end == tile.run.begin &&
        tile.run.end - tasks_.back().run.begin <= kTaskSize) {
      tasks_.back().run.end = tile.run.end;
      tasks_.back().tiles.end = i + 1;
    } else {
      tasks_.push_back({{i, i + 1}, tile.run, tile.parameter});
    }
  }
}

template <class T>
void Objective<T>::add_losses(engine::Program& program, bool deltas) {
  for (std::size_t k = 0; k < heads_.size(); ++k) {
    program.add_rows(
        [this, k, deltas](Range rows) {
          const HeadState& head = heads_[k];
          const Index output = subgraph_.outputs[k];
          head.rows.run(rows, workspace_.a(output), head.scale * head.weight,
                        deltas ? workspace_.delta(output) : Matrix<T>{});
        },
        heads_[k].rows.loss().rowwise());
  }
}

template <class T>
void Objective<T>::begin(std::span<const Batch> batches) {
  if (version_ != network_.version()) compile();
  max_rows_ = 0;
  for (const Batch& batch : batches) {
    if (batch.rows < min_batch_size_) network_.check_rows(batch.rows, kBatchSizeAdvice);
    check_features(*batch.data);
    max_rows_ = std::max(max_rows_, batch.rows);
  }
  several_ = batches.size() > 1;
  first_pass_ = model_.passes;
  compute_scales(batches);
}

template <class T>
void Objective<T>::set_batch(const Batch& batch) {
  batch_ = &batch;
  if (several_) gather_targets(batch);
  finite_.store(true, std::memory_order_relaxed);
  workspace_.resize(batch.rows);
  for (std::size_t k = 0; k < features_.size(); ++k) {
    workspace_.inputs[k] = {batch.data->x[k], batch.order, batch.first};
  }
}

template <class T>
void Objective<T>::differentiate(const Batch& batch, bool accumulate, const Execution& execution) {
  set_batch(batch);
  workspace_.accumulate = accumulate;
  workspace_.pass = static_cast<std::uint32_t>(model_.passes++);
  run(pass_, batch.rows, execution);
  collect_losses(accumulate);
  check_finite();
  engine::update_buffers(network_, workspace_);
}

template <class T>
void Objective<T>::compute_gradients(const Execution& execution) {
  gradients_.run(workspace_.rows(), tile_rows_, execution.threads, &execution.check_interrupt);
}

template <class T>
void Objective<T>::sum_gradients() {
  if (reduction_ == nullptr) return;
  reduction_->sum_gradient(std::span<T>(parameters().gradients.data(), static_cast<std::size_t>(parameters().size())));
}

template <class T>
double Objective<T>::value_and_gradient(std::span<const Batch> batches, const Execution& execution) {
  begin(batches);
  for (const Batch& batch : batches) {
    differentiate(batch, &batch != &batches.front(), execution);
    compute_gradients(execution);
  }
  sum_gradients();
  return value();
}

template <class T>
double Objective<T>::value_at(std::span<const Batch> batches, const Execution& execution) {
  compile_evaluation();
  double sum = 0;
  std::uint64_t pass = first_pass_;
  for (const Batch& batch : batches) {
    set_batch(batch);
    workspace_.pass = static_cast<std::uint32_t>(pass++);
    run(value_, batch.rows, execution);
    for (const HeadState& head : heads_) sum += head.weight * loss_of_batch(head);
  }
  return sum;
}

template <class T>
void Objective<T>::jacobian(const Batch& batch, const RowDerivatives& use, const Execution& execution) {
  begin({&batch, 1});
  for (Index i = 0; i < network_.size(); ++i) {
    if (network_.rowwise(i, true) && !network_.layer(i).always_backward()) continue;
    throw ValueError(network_.layer(i).describe() + ": expected a layer that takes each row by itself");
  }
  compile_evaluation();
  set_batch(batch);
  run(value_, batch.rows, execution);
  std::vector<T> derivatives(static_cast<std::size_t>(parameters().size()), T(0));
  for (std::size_t head = 0; head < heads_.size(); ++head) {
    const Index outputs = workspace_.width(subgraph_.outputs[head]);
    for (Index output = 0; output < outputs; ++output) {
      for (std::size_t k = 0; k < heads_.size(); ++k) {
        const Matrix<T> delta = workspace_.delta(subgraph_.outputs[k]);
        std::fill_n(delta.data, delta.size(), T(0));
        for (Index i = 0; k == head && i < delta.rows; ++i) delta.row(i)[output] = T(1);
      }
      run(backward_, batch.rows, execution);
      for (Index row = 0; row < batch.rows; ++row) {
        for (const engine::GradientTile& tile : tiles_) {
          engine::compute_row_gradient(network_, workspace_, tile, row, derivatives.data());
        }
        use(row, head, output, derivatives);
      }
    }
  }
}

/// An iterable may yield batches of different shapes.
template <class T>
void Objective<T>::check_features(const Data& data) const {
  const bool same = std::equal(data.x.begin(), data.x.end(), features_.begin(), features_.end(),
                               [](const StridedView& x, Index features) { return x.cols == features; });
  if (same) return;
  std::vector<Index> got;
  for (const StridedView& x : data.x) got.push_back(x.cols);
  throw ValueError("fit: expected batches of inputs with " + shape_text(features_) +
                   " features, as the first has, got " + shape_text(got));
}

template <class T>
double Objective<T>::gather_targets(const Batch& batch, std::size_t head) {
  return heads_[head].rows.gather_batch(batch.data->targets[head], batch.order, batch.first, batch.rows,
                                        workspace_.width(subgraph_.outputs[head]));
}

template <class T>
void Objective<T>::gather_targets(const Batch& batch) {
  for (std::size_t k = 0; k < heads_.size(); ++k) gather_targets(batch, k);
}

template <class T>
void Objective<T>::compute_scales(std::span<const Batch> batches) {
  for (std::size_t k = 0; k < heads_.size(); ++k) {
    double weight = 0;
    for (const Batch& batch : batches) weight += gather_targets(batch, k);
    if (reduction_ != nullptr) reduction_->sum_values(std::span<double>(&weight, 1));
    heads_[k].scale = heads_[k].rows.loss().scale(weight, workspace_.width(subgraph_.outputs[k]));
  }
}

template <class T>
void Objective<T>::gather_inputs(Range rows) {
  const Batch part = batch_->slice(rows);
  const Data& data = *part.data;
  for (std::size_t k = 0; k < data.x.size(); ++k) {
    const Matrix<T> x = workspace_.a(subgraph_.inputs[k]).slice(rows);
    gather<T>(workspace_.inputs[k].slice(rows), x);
    if (data.check_x_rows) check_gathered<T>(x, data.x_name, part.order, part.first, 0);
  }
}

template <class T>
double Objective<T>::loss_of_batch(const HeadState& head) const {
  double value = head.rows.loss().value(head.rows.sums(), workspace_.rows(), head.scale);
  if (reduction_ != nullptr) reduction_->sum_values(std::span<double>(&value, 1));
  return value;
}

template <class T>
void Objective<T>::collect_losses(bool accumulate) {
  for (HeadState& head : heads_) head.value = accumulate ? head.value + loss_of_batch(head) : loss_of_batch(head);
}

template <class T>
void Objective<T>::check_deltas(Range rows) {
  for (const engine::GradientTile& t : tiles_) {
    if (t.run.begin != network_.parameters_of(t.layer).begin) continue;  // once per layer
    const Matrix<T> delta = workspace_.delta(t.output).slice(rows);
    if (!kernels::get<T>().all_finite(delta.data, delta.size())) finite_.store(false, std::memory_order_relaxed);
  }
}

template <class T>
void Objective<T>::check_finite() const {
  double infinite = finite_.load(std::memory_order_relaxed) ? 0 : 1;
  if (reduction_ != nullptr) reduction_->sum_values(std::span<double>(&infinite, 1));
  if (!std::isfinite(value())) throw NotFinite("the loss is " + std::to_string(value()));
  if (infinite > 0) throw NotFinite("a delta is not finite");
}

template <class T>
void Objective<T>::run(const engine::Program& program, Index rows, const Execution& execution) const {
  program.run(rows, tile_rows_, execution.threads, &execution.check_interrupt, execution.check_each);
}

template class Objective<float>;
template class Objective<double>;

}  // namespace deltaprop::train
