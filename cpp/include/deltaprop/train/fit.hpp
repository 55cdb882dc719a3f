#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/nn/loss.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/train/data.hpp"
#include "deltaprop/train/model.hpp"

namespace deltaprop::train {

/// Stop when the whole set's loss, taken after an update, moved by less than eps since the last look.
struct StopOnPlateau {
  double eps;
  bool every_update;
  const nn::Loss* loss = nullptr;  // null: the one trained with
  const Data* data = nullptr;      // what that loss takes; null: the data trained on
};

struct History {
  std::vector<double> loss, val_loss, lr;  // an epoch each
  std::vector<double> stop_losses;         // a look of the stop rule each
  Index epochs = 0;
  Index updates = 0;
  std::string stop_reason;
};

struct FitOptions {
  Index epochs;
  Index batch_size;
  bool shuffle = true;
  std::optional<std::uint64_t> seed;  // none: the network's seed and its running count of epochs
  const Data* validation = nullptr;
  const nn::Loss* validation_loss = nullptr;  // null: the one trained with
  std::optional<StopOnPlateau> stop;
  /// After each epoch; true stops.
  std::function<bool(const History&)> epoch_end;
  /// Between steps and, within large ones, between tiles; stops the fit by throwing.
  std::function<void()> poll;
};

/// Trains `model`. Throws NotFinite, naming epoch and batch, before an update that would use a loss or a delta that is
/// not finite; the network is then, as after any other exception, as the last update left it.
template <class T>
History fit(Model<T>& model, optim::Optimizer<T>& optimizer, const nn::Loss& loss, const Data& data,
            const FitOptions& options);

}  // namespace deltaprop::train
