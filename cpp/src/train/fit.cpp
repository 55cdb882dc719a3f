#include "deltaprop/train/fit.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/kernels/table.hpp"
#include "deltaprop/train/evaluator.hpp"
#include "deltaprop/train/first_order.hpp"
#include "layer_norms.hpp"

namespace deltaprop::train {
namespace {

/// Zeroes the gradients on destruction.
template <class T>
struct ZeroGradients {
  const Parameters<T>& parameters;
  ~ZeroGradients() { std::fill_n(parameters.gradients.data(), parameters.size(), T(0)); }
};

/// Whether the last two checks differ by less than eps.
bool on_plateau(double eps, const std::vector<double>& losses) {
  return losses.size() > 1 && std::abs(losses.end()[-1] - losses.end()[-2]) < eps;
}

/// One training: the loop over epochs and batches, its history and its stop rules.
template <class T>
class Training {
 public:
  Training(runtime::Model<T>& model, const Trainer<T>& trainer, const std::vector<Head>& heads,
           BatchSource& batch_source, const FitOptions& options)
      : model_(model),
        guards_(trainer.guards),
        batch_source_(batch_source),
        options_(options),
        check_interrupt_(options.check_interrupt ? options.check_interrupt : [] {}),
        stepper_(trainer.stepper),
        objective_(model, heads, batch_source.example(), {options.record_activations, options.record_deltas},
                   trainer.reduction),
        norms_(model.network(), options) {
    if (const auto rows = batch_source.min_batch_size()) model.network().check_rows(*rows, kBatchSizeAdvice);
    if (options.stop) {
      const StopOnPlateau& stop = *options.stop;
      history_.stop_losses = options.stop_losses;
      stop_loss_.emplace(model, stop.heads == nullptr ? heads : *stop.heads, *stop.data);
    }
    if (options.validation != nullptr) {
      validation_.emplace(model, options.validation_heads == nullptr ? heads : *options.validation_heads,
                          *options.validation);
    }
    if (heads.size() > 1) {
      history_.losses.resize(heads.size());
      history_.val_losses.resize(validation_ ? heads.size() : 0);
    }
    stepper_.begin(objective_);
  }

  History run() {
    if (options_.stop) stop_on_plateau();
    while (history_.stop_reason.empty() && history_.epochs < options_.epochs) run_epoch();
    if (history_.stop_reason.empty()) history_.stop_reason = "epochs";
    const Parameters<T>& parameters = *model_.network().parameters();
    if (history_.updates > 0 && !kernels::get<T>().all_finite(parameters.values.data(), parameters.size())) {
      throw NotFinite("fit: the last updates made parameters infinite or nan (a smaller lr may help)");
    }
    return std::move(history_);
  }

  const History& history() const { return history_; }

 private:
  void run_epoch() {
    const auto done = static_cast<std::uint64_t>(history_.epochs);
    batch_source_.begin_epoch(options_.first_epoch ? *options_.first_epoch + done : model_.epochs, check_interrupt_);
    if (!options_.schedule.every_update) apply_schedule(history_.epochs);
    loss_ = {};
    losses_.assign(history_.losses.size(), {});
    batches_seen_ = 0;
    while (history_.stop_reason.empty() && take_batches()) update();
    if (batches_seen_ == 0) {
      throw ValueError("fit: expected batches in each epoch, got none in epoch " + std::to_string(history_.epochs));
    }
    ++history_.epochs;
    ++model_.epochs;
    end_epoch();
  }

  bool take_batches() {
    batch_source_.begin_step();
    batches_.clear();
    while (static_cast<Index>(batches_.size()) < options_.accumulate) {
      const std::optional<Batch> batch = batch_source_.next();
      if (!batch) break;
      batches_.push_back(*batch);
    }
    return !batches_.empty();
  }

  void update() {
    if (options_.schedule.every_update) apply_schedule(history_.updates);
    double rows = 0;
    for (const Batch& batch : batches_) rows += static_cast<double>(batch.rows);
    check_interrupt_after_some_work(rows);
    try {
      const nn::StepScope step(guards_);
      lr_ = stepper_.step(batches_, rows, check_interrupt_);
    } catch (const NotFinite& e) {
      throw NotFinite("fit: " + std::string(e.what()) + " in epoch " + std::to_string(history_.epochs) + ", batch " +
                      std::to_string(batches_seen_) +
                      "; the network is as the last update left it (a smaller lr may help)");
    }
    batches_seen_ += static_cast<Index>(batches_.size());
    loss_.add(objective_.value(), rows);
    for (std::size_t k = 0; k < losses_.size(); ++k) losses_[k].add(objective_.value(k), rows);
    norms_.add(objective_.workspace());
    ++history_.updates;
    if (options_.stop && options_.stop->every_update) check_plateau();
    if (options_.batch_end && options_.batch_end(history_, objective_.value()) && history_.stop_reason.empty()) {
      history_.stop_reason = "callback";
    }
  }

  /// A small step takes less time than the check, which reads the clock.
  void check_interrupt_after_some_work(double rows) {
    constexpr double kMinWork = 1e4;
    work_ += objective_.work_per_row() * rows;
    if (work_ < kMinWork) return;
    work_ = 0;
    check_interrupt_();
  }

  void end_epoch() {
    history_.loss.push_back(loss_.value());
    for (std::size_t k = 0; k < losses_.size(); ++k) history_.losses[k].push_back(losses_[k].value());
    history_.lr.push_back(lr_);
    norms_.end_epoch(history_);
    if (validation_) {
      history_.val_loss.push_back((*validation_)(check_interrupt_));
      for (std::size_t k = 0; k < history_.val_losses.size(); ++k) {
        history_.val_losses[k].push_back(validation_->value(k));
      }
    }
    if (options_.stop && !options_.stop->every_update && history_.stop_reason.empty()) check_plateau();
    if (options_.epoch_end && options_.epoch_end(history_) && history_.stop_reason.empty()) {
      history_.stop_reason = "callback";
    }
  }

  void check_plateau() {
    history_.stop_losses.push_back((*stop_loss_)(check_interrupt_));
    stop_on_plateau();
  }
  void stop_on_plateau() {
    if (on_plateau(options_.stop->eps, history_.stop_losses)) history_.stop_reason = "plateau";
  }

  void apply_schedule(Index row) {
    for (const Schedule::Column& c : options_.schedule.columns) {
      stepper_.set_option(c.group, c.option, c.values[static_cast<std::size_t>(row)]);
    }
  }

  runtime::Model<T>& model_;
  const nn::Guards guards_;
  BatchSource& batch_source_;
  const FitOptions& options_;
  InterruptCheck check_interrupt_;
  Stepper<T>& stepper_;
  Objective<T> objective_;
  std::optional<Evaluator<T>> stop_loss_, validation_;
  LayerNorms<T> norms_;
  std::vector<Batch> batches_;
  Mean loss_;
  std::vector<Mean> losses_;
  double lr_ = 0;    // of the last update
  double work_ = 0;  // since the last interrupt check
  Index batches_seen_ = 0;
  History history_;
};

}  // namespace

template <class T>
History fit(runtime::Model<T>& model, const Trainer<T>& trainer, const std::vector<Head>& heads,
            BatchSource& batch_source, const FitOptions& options, const nn::Access* held) {
  std::optional<nn::Access> access;
  if (held == nullptr) access.emplace(nn::Call::fit, trainer.guards);
  Training<T> training(model, trainer, heads, batch_source, options);
  // After everything that may reject the arguments of the fit.
  if (options.learn_from != nullptr) {
    model.learn(0, *options.learn_from, false, options.check_interrupt ? options.check_interrupt : [] {});
  }
  model.forget_pass();
  const ZeroGradients<T> zero{*model.network().parameters()};
  try {
    History history = training.run();
    model.forget_pass();  // of a callback
    return history;
  } catch (...) {
    if (options.on_exception) options.on_exception(training.history());
    throw;
  }
}

template <class T>
History fit(runtime::Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads,
            BatchSource& batch_source, const FitOptions& options, const nn::Access* held) {
  FirstOrder<T> stepper(optimizer);
  return fit(model, Trainer<T>{stepper, optimizer.guards()}, heads, batch_source, options, held);
}

#define DELTAPROP_INSTANTIATE(T)                                                                         \
  template History fit(runtime::Model<T>&, const Trainer<T>&, const std::vector<Head>&, BatchSource&,    \
                       const FitOptions&, const nn::Access*);                                            \
  template History fit(runtime::Model<T>&, optim::Optimizer<T>&, const std::vector<Head>&, BatchSource&, \
                       const FitOptions&, const nn::Access*)
DELTAPROP_INSTANTIATE(float);
DELTAPROP_INSTANTIATE(double);
#undef DELTAPROP_INSTANTIATE

}  // namespace deltaprop::train
