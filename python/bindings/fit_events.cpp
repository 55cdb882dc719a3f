#include "fit_events.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <utility>

#include "gil.hpp"

namespace deltaprop::python {

py::dict as_dict(const train::History& h, bool validation, Index layers) {
  py::dict result;
  result["loss"] = h.loss;
  for (std::size_t k = 0; k < h.losses.size(); ++k) result[py::str("loss_" + std::to_string(k))] = h.losses[k];
  if (validation) result["val_loss"] = h.val_loss;
  for (std::size_t k = 0; k < h.val_losses.size(); ++k) {
    result[py::str("val_loss_" + std::to_string(k))] = h.val_losses[k];
  }
  result["lr"] = h.lr;
  result["stop_losses"] = h.stop_losses;
  const auto norms = [&](const char* key, const std::vector<double>& list) {
    if (list.empty()) return;
    py::array_t<double> table = fresh<double>({static_cast<Index>(list.size()) / layers, layers});
    std::copy(list.begin(), list.end(), table.mutable_data());
    result[key] = table;
  };
  norms("activation_norm", h.activation_norms);
  norms("delta_norm", h.delta_norms);
  norms("gradient_norm", h.gradient_norms);
  return result;
}

train::History FitEvents::latest(const train::History& h, const Position& from) const {
  const auto last = [&](const std::vector<double>& list, Index width = 1) {
    if (list.empty()) return list;
    return std::vector<double>(list.begin() + from.epochs * width, list.begin() + dispatched_.epochs * width);
  };
  train::History latest;
  latest.loss = last(h.loss);
  latest.val_loss = last(h.val_loss);
  latest.lr = last(h.lr);
  for (const auto& list : h.losses) latest.losses.push_back(last(list));
  for (const auto& list : h.val_losses) latest.val_losses.push_back(last(list));
  latest.activation_norms = last(h.activation_norms, layers_);
  latest.delta_norms = last(h.delta_norms, layers_);
  latest.gradient_norms = last(h.gradient_norms, layers_);
  latest.stop_losses.assign(h.stop_losses.begin() + static_cast<Index>(from.stop_checks),
                            h.stop_losses.begin() + static_cast<Index>(dispatched_.stop_checks));
  return latest;
}

bool FitEvents::dispatch(const train::History& h) {
  // Before the call: values are passed once, even if the function raises.
  const Position from = std::exchange(dispatched_, complete_);
  const py::dict columns = as_dict(latest(h, from), validation_, layers_);
  return call(epoch_end_, py::dict(), dispatched_.epochs, dispatched_.updates, columns).cast<bool>();
}

bool FitEvents::epoch_end(const train::History& h) {
  complete_ = {h.epochs, h.updates, h.stop_losses.size()};
  if (Clock::now() - last_call_ < interval_) return false;
  const WithGil gil;
  const bool stop = dispatch(h);
  last_call_ = Clock::now();
  return stop;
}

void FitEvents::on_exception(const train::History& h) {
  const WithGil gil;
  try {
    if (dispatched_.epochs < complete_.epochs) dispatch(h);
  } catch (const py::error_already_set&) {
    // The exception of the fit takes precedence; the history got its values before any callback was called.
  }
  call(on_exception_, py::dict(), h.epochs, h.updates);
}

}  // namespace deltaprop::python
