#include "deltaprop/train/fit.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "deltaprop/core/errors.hpp"
#include "evaluator.hpp"
#include "step.hpp"

namespace deltaprop::train {
namespace {

/// Zeroes the gradients when a fit ends, however it ends.
template <class T>
struct ZeroGradients {
  const Parameters<T>& parameters;
  ~ZeroGradients() { std::fill_n(parameters.gradients.data(), parameters.size(), T(0)); }
};

/// Whether the loss of the whole set has stopped moving.
template <class T>
bool on_plateau(double eps, Evaluator<T>& whole_set, History& history, const std::function<void()>& between) {
  const double now = whole_set(between);
  const bool still = !history.stop_losses.empty() && std::abs(now - history.stop_losses.back()) < eps;
  history.stop_losses.push_back(now);
  return still;
}

}  // namespace

template <class T>
History fit(Model<T>& model, optim::Optimizer<T>& optimizer, const nn::Loss& loss, const Data& data,
            const FitOptions& options) {
  const Busy::Claim fitting(model.network().parameters()->busy);
  model.passing.check();
  const Busy::Claim stepping(optimizer.busy);
  model.forget_pass();
  const ZeroGradients<T> zero{*model.network().parameters()};
  const Index rows = data.x.rows;
  const Index batch_size = std::min(options.batch_size, rows);
  Step<T> step(model.network(), optimizer, loss, data, batch_size);
  // One batch of everything is the same in any order but for rounding: keep the data's.
  const bool shuffle = options.shuffle && batch_size < rows;
  std::vector<Index> order(shuffle ? static_cast<std::size_t>(rows) : 0);

  History history;
  const std::function<void()> between = options.poll ? options.poll : [] {};

  std::optional<Evaluator<T>> whole_set, held_out;
  if (options.stop) {
    const StopOnPlateau& stop = *options.stop;
    whole_set.emplace(model, stop.loss == nullptr ? loss : *stop.loss, stop.data == nullptr ? data : *stop.data);
  }
  if (options.validation != nullptr) {
    held_out.emplace(model, options.validation_loss == nullptr ? loss : *options.validation_loss, *options.validation);
  }
  const bool stop_each_update = options.stop && options.stop->every_update;
  while (history.stop_reason.empty() && history.epochs < options.epochs) {
    if (shuffle) {
      const std::uint64_t seed = options.seed.value_or(model.network().seed());
      const std::uint64_t epoch = options.seed ? static_cast<std::uint64_t>(history.epochs) : model.epochs;
      permutation(Random(seed, Purpose::shuffle, static_cast<std::uint32_t>(epoch)), order, between);
    }
    double mean = 0;  // weighted by rows, kept as a mean so that an epoch of one batch has that batch's loss
    Index seen = 0;
    for (Index first = 0; first < rows && history.stop_reason.empty(); first += batch_size) {
      const Index size = std::min(batch_size, rows - first);
      between();
      double value = 0;
      try {
        value = step.run(shuffle ? order.data() + first : nullptr, shuffle ? 0 : first, size, between);
      } catch (const NotFinite& e) {
        throw NotFinite("fit: " + std::string(e.what()) + " in epoch " + std::to_string(history.epochs) + ", batch " +
                        std::to_string(first / batch_size) +
                        "; the network is as the last update left it (a smaller lr may help)");
      }
      seen += size;
      mean += (value - mean) * (static_cast<double>(size) / static_cast<double>(seen));
      ++history.updates;
      if (stop_each_update && on_plateau(options.stop->eps, *whole_set, history, between)) {
        history.stop_reason = "plateau";
      }
    }
    ++history.epochs;
    ++model.epochs;
    history.loss.push_back(mean);
    history.lr.push_back(optimizer.group(0).options[0]);
    if (held_out) {
      history.val_loss.push_back((*held_out)(between));
    }
    if (options.stop && !stop_each_update && on_plateau(options.stop->eps, *whole_set, history, between)) {
      history.stop_reason = "plateau";
    }
    if (options.epoch_end && options.epoch_end(history) && history.stop_reason.empty()) {
      history.stop_reason = "callback";
    }
  }
  if (history.stop_reason.empty()) history.stop_reason = "epochs";
  const Parameters<T>& parameters = *model.network().parameters();
  if (history.updates > 0 && !kernels::get<T>().all_finite(parameters.values.data(), parameters.size())) {
    throw NotFinite("fit: the last updates made parameters infinite or nan (a smaller lr may help)");
  }
  model.forget_pass();  // one that a callback made
  return history;
}

template History fit(Model<float>&, optim::Optimizer<float>&, const nn::Loss&, const Data&, const FitOptions&);
template History fit(Model<double>&, optim::Optimizer<double>&, const nn::Loss&, const Data&, const FitOptions&);

}  // namespace deltaprop::train
