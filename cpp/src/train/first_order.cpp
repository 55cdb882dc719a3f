#include "deltaprop/train/first_order.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

namespace deltaprop::train {

using Clock = std::chrono::steady_clock;

template <class T>
void FirstOrder<T>::begin(Objective<T>& objective) {
  objective_ = &objective;
  version_ = -1;
}

template <class T>
void FirstOrder<T>::compile() {
  version_ = objective_->version();
  const auto tasks = static_cast<Index>(objective_->tasks().size());
  const auto update = [this](Index i) {
    const GradientTask& task = objective_->tasks()[static_cast<std::size_t>(i)];
    optimizer_.update(task.parameter, task.run);
  };
  update_ = gradients_and_update_ = {};
  update_.add_tiles(tasks, update);
  gradients_and_update_.add_tiles(tasks, [this, update](Index i) {
    objective_->compute_gradient(i);
    update(i);
  });
}

template <class T>
double FirstOrder<T>::step(std::span<const Batch> batches, double rows, const InterruptCheck& check_interrupt) {
  Objective<T>& objective = *objective_;
  const double learning_rate = optimizer_.group(0).options[0];
  typename Objective<T>::Statistics statistics(objective);
  objective.begin(batches);
  if (version_ != objective.version()) compile();

  const double work = static_cast<double>(objective.parameters().size()) * static_cast<double>(objective.max_rows());
  constexpr double kLong = 4e9;  // operations: some tens of milliseconds
  // In a long step all gradients precede the updates: an interrupt between them leaves no partial update.
  const bool all_gradients_first =
      batches.size() > 1 || optimizer_.needs_all_gradients() || objective.reduces() || work > kLong;
  // A product over one tile of rows with 1e7 multiplications takes a tenth of a millisecond.
  const double tile_work = static_cast<double>(objective.parameters().size()) *
                           static_cast<double>(std::min(objective.max_rows(), objective.tile_rows()));
  const Index suggested =
      threads::suggested_threads(objective.work_per_row() * static_cast<double>(objective.max_rows()));
  const Execution execution{trial_.threads(suggested), check_interrupt, tile_work > 1e7};
  std::optional<threads::Limit> limit;  // of products within the step too
  if (suggested > 1) limit.emplace(execution.threads);
  const auto start = suggested > 1 ? Clock::now() : Clock::time_point();

  for (const Batch& batch : batches) {
    objective.differentiate(batch, &batch != &batches.front(), execution);
    if (all_gradients_first) objective.compute_gradients(execution);
  }
  if (all_gradients_first) objective.sum_gradients();
  optimizer_.begin_step();
  (all_gradients_first ? update_ : gradients_and_update_).run(0, 1, execution.threads, &check_interrupt);
  optimizer_.end_step();
  statistics.commit();
  if (suggested > 1) trial_.took(std::chrono::duration<double>(Clock::now() - start).count(), rows);
  return learning_rate;
}

template class FirstOrder<float>;
template class FirstOrder<double>;

}  // namespace deltaprop::train
