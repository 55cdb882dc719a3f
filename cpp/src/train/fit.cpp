#include "deltaprop/train/fit.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "deltaprop/core/errors.hpp"
#include "evaluator.hpp"
#include "step.hpp"

namespace deltaprop::train {

ArrayBatches::ArrayBatches(const Data& data, Index batch_size, bool shuffle, std::uint64_t seed)
    : data_(data), batch_size_(std::min(batch_size, data.rows())), seed_(seed) {
  if (shuffle && batch_size_ < data.rows()) order_.resize(static_cast<std::size_t>(data.rows()));
}

std::optional<Index> ArrayBatches::min_batch_size() const {
  const Index rest = data_.rows() % batch_size_;
  return rest == 0 ? batch_size_ : rest;
}

void ArrayBatches::begin_epoch(std::uint64_t epoch, const std::function<void()>& check_interrupt) {
  begin_ = 0;
  if (order_.empty()) return;
  permutation(Random(seed_, Purpose::shuffle, static_cast<std::uint32_t>(epoch)), order_, check_interrupt);
}

std::optional<Batch> ArrayBatches::next() {
  if (begin_ == data_.rows()) return std::nullopt;
  const Index first = begin_;
  begin_ = std::min(begin_ + batch_size_, data_.rows());
  return order_.empty() ? Batch{&data_, nullptr, first, begin_ - first}
                        : Batch{&data_, order_.data() + first, 0, begin_ - first};
}

namespace {

/// Zeroes the gradients when a fit ends, however it ends.
template <class T>
struct ZeroGradients {
  const Parameters<T>& parameters;
  ~ZeroGradients() { std::fill_n(parameters.gradients.data(), parameters.size(), T(0)); }
};

/// Whether the last two looks show a loss that has stopped moving.
bool on_plateau(double eps, const std::vector<double>& looks) {
  return looks.size() > 1 && std::abs(looks.end()[-1] - looks.end()[-2]) < eps;
}

/// A mean that is kept as one, so that an epoch of one batch has that batch's value.
class Mean {
 public:
  void add(double value, double weight) {
    seen_ += weight;
    mean_ += (value - mean_) * (weight / seen_);
  }
  double value() const { return mean_; }

 private:
  double mean_ = 0, seen_ = 0;
};

double norm(const auto* numbers, Index n) {
  double sum = 0;
  for (Index i = 0; i < n; ++i) sum += static_cast<double>(numbers[i]) * static_cast<double>(numbers[i]);
  return std::sqrt(sum);
}

/// The norms of what each layer computes, meant over an epoch.
template <class T>
class Norms {
 public:
  Norms(const nn::Network<T>& network, const FitOptions& options)
      : network_(network),
        any_(options.record_activations || options.record_deltas || options.record_gradients),
        activations_(options.record_activations ? network.size() : 0),
        deltas_(options.record_deltas ? network.size() : 0),
        gradients_(options.record_gradients ? network.size() : 0) {}

  void add(const engine::Workspace<T>& workspace) {
    if (!any_) return;
    for (const nn::Node& node : network_.plan().nodes()) {
      if (node.kind != nn::Node::Kind::layer) continue;
      const Matrix<T> a = workspace.a(node.outputs[0]), delta = workspace.delta(node.outputs[0]);
      activations_.add(node.layer, a.data, a.size());
      deltas_.add(node.layer, delta.data, delta.size());
      const Index found = network_.trains(node.layer) ? network_.parameters_of(node.layer).size() : 0;
      gradients_.add(node.layer, network_.gradients_of(node.layer), found);
    }
  }
  void end_epoch(History& history) {
    activations_.flush(history.activation_norms);
    deltas_.flush(history.delta_norms);
    gradients_.flush(history.gradient_norms);
  }

 private:
  /// One mean a layer, or none where they are not asked for.
  class List {
   public:
    explicit List(Index layers) : means_(static_cast<std::size_t>(layers)) {}
    template <class N>
    void add(Index layer, const N* numbers, Index n) {
      if (!means_.empty()) means_[static_cast<std::size_t>(layer)].add(norm(numbers, n), 1);
    }
    void flush(std::vector<double>& into) {
      for (Mean& mean : means_) {
        into.push_back(mean.value());
        mean = {};
      }
    }

   private:
    std::vector<Mean> means_;
  };

  const nn::Network<T>& network_;
  bool any_;
  List activations_, deltas_, gradients_;
};

/// A fit under way.
template <class T>
class Training {
 public:
  Training(Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads, BatchSource& batch_source,
           const FitOptions& options)
      : model_(model),
        optimizer_(optimizer),
        heads_(heads),
        batch_source_(batch_source),
        options_(options),
        check_interrupt_(options.check_interrupt ? options.check_interrupt : [] {}),
        step_(model, optimizer, heads, batch_source.example(),
              options.record_deltas ? engine::GradientScope::inputs : engine::GradientScope::gradients,
              options.record_activations || options.record_deltas),
        norms_(model.network(), options) {
    if (const auto rows = batch_source.min_batch_size()) model.network().check_rows(*rows, kAdvice);
    if (options.stop) {
      const StopOnPlateau& stop = *options.stop;
      history_.stop_losses = options.stop_losses;
      whole_set_.emplace(model, stop.heads == nullptr ? heads : *stop.heads, *stop.data);
    }
    if (options.validation != nullptr) {
      held_out_.emplace(model, options.validation_heads == nullptr ? heads : *options.validation_heads,
                        *options.validation);
    }
    if (heads.size() > 1) {
      history_.losses.resize(heads.size());
      history_.val_losses.resize(held_out_ ? heads.size() : 0);
    }
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
    if (!options_.schedule.every_update) set_options(history_.epochs);
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
    if (options_.schedule.every_update) set_options(history_.updates);
    lr_ = optimizer_.group(0).options[0];
    double rows = 0;
    for (const Batch& batch : batches_) rows += static_cast<double>(batch.rows);
    check_interrupt_after_some_work(rows);
    try {
      const nn::StepScope step(model_.guards());
      step_.run(batches_, rows, check_interrupt_);
    } catch (const NotFinite& e) {
      throw NotFinite("fit: " + std::string(e.what()) + " in epoch " + std::to_string(history_.epochs) + ", batch " +
                      std::to_string(batches_seen_) +
                      "; the network is as the last update left it (a smaller lr may help)");
    }
    batches_seen_ += static_cast<Index>(batches_.size());
    loss_.add(step_.value(), rows);
    for (std::size_t k = 0; k < losses_.size(); ++k) losses_[k].add(step_.value(k), rows);
    norms_.add(step_.workspace());
    ++history_.updates;
    if (options_.stop && options_.stop->every_update) look_at_plateau();
    if (options_.batch_end && options_.batch_end(history_, step_.value()) && history_.stop_reason.empty()) {
      history_.stop_reason = "callback";
    }
  }

  /// A step may take less time than a look at the clock.
  void check_interrupt_after_some_work(double rows) {
    constexpr double kSome = 1e4;
    work_ += step_.work_of_row() * rows;
    if (work_ < kSome) return;
    work_ = 0;
    check_interrupt_();
  }

  void end_epoch() {
    history_.loss.push_back(loss_.value());
    for (std::size_t k = 0; k < losses_.size(); ++k) history_.losses[k].push_back(losses_[k].value());
    history_.lr.push_back(lr_);
    norms_.end_epoch(history_);
    if (held_out_) {
      history_.val_loss.push_back((*held_out_)(check_interrupt_));
      for (std::size_t k = 0; k < history_.val_losses.size(); ++k) {
        history_.val_losses[k].push_back(held_out_->value(k));
      }
    }
    if (options_.stop && !options_.stop->every_update && history_.stop_reason.empty()) look_at_plateau();
    if (options_.epoch_end && options_.epoch_end(history_) && history_.stop_reason.empty()) {
      history_.stop_reason = "callback";
    }
  }

  void look_at_plateau() {
    history_.stop_losses.push_back((*whole_set_)(check_interrupt_));
    stop_on_plateau();
  }
  void stop_on_plateau() {
    if (on_plateau(options_.stop->eps, history_.stop_losses)) history_.stop_reason = "plateau";
  }

  void set_options(Index row) {
    for (const Schedule::Column& c : options_.schedule.columns) {
      optimizer_.set_option(c.group, c.option, c.values[static_cast<std::size_t>(row)]);
    }
  }

  Model<T>& model_;
  optim::Optimizer<T>& optimizer_;
  const std::vector<Head>& heads_;
  BatchSource& batch_source_;
  const FitOptions& options_;
  std::function<void()> check_interrupt_;
  Step<T> step_;
  std::optional<Evaluator<T>> whole_set_, held_out_;
  Norms<T> norms_;
  std::vector<Batch> batches_;
  Mean loss_;
  std::vector<Mean> losses_;
  double lr_ = 0;    // of the last update
  double work_ = 0;  // since the last poll
  Index batches_seen_ = 0;
  History history_;
};

}  // namespace

template <class T>
History fit(Model<T>& model, optim::Optimizer<T>& optimizer, const std::vector<Head>& heads, BatchSource& batch_source,
            const FitOptions& options, const nn::Access* held) {
  std::optional<nn::Access> access;
  if (held == nullptr) access.emplace(nn::Call::fit, optimizer.guards());
  Training<T> training(model, optimizer, heads, batch_source, options);
  // Last of all that may refuse the fit.
  if (options.learn_from != nullptr) {
    model.learn(0, *options.learn_from, false, options.check_interrupt ? options.check_interrupt : [] {});
  }
  model.forget_pass();
  const ZeroGradients<T> zero{*model.network().parameters()};
  try {
    History history = training.run();
    model.forget_pass();  // one that a callback made
    return history;
  } catch (...) {
    if (options.on_exception) options.on_exception(training.history());
    throw;
  }
}

template History fit(Model<float>&, optim::Optimizer<float>&, const std::vector<Head>&, BatchSource&, const FitOptions&,
                     const nn::Access*);
template History fit(Model<double>&, optim::Optimizer<double>&, const std::vector<Head>&, BatchSource&,
                     const FitOptions&, const nn::Access*);

}  // namespace deltaprop::train
