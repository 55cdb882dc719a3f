#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "deltaprop/core/access_guard.hpp"

/// Rules of concurrent calls of a network and its optimizers: access taken by each call. Defined only here.
namespace deltaprop::nn {

enum class Call {
  fit,
  forward,
  backward,
  activations,
  infer,
  derivatives,
  layer_derivatives,
  learn,
  step,
  zero_grad,
  state_dict,
  load_state_dict,
  write,
  freeze,
  seed,
  lr,
  options,
  optimizer_state_dict,
  load_optimizer_state_dict,
  averaged,
};

/// Access that a call takes of a guard. `nested`: exclusive, and may nest in exclusive access of the same thread.
/// `free`: none, but no thread may have access.
enum class Take { nothing, free, shared, exclusive, nested };

struct Rule {
  Call call;
  const char* name;   // in messages
  const char* calls;  // as users write them
  Take pass;          // activations and deltas of the manual pass
  Take network;
  Take optimizer;
  Take averages;     // of the optimizer, in place of the parameters
  bool within_step;  // may be called by layers and losses written in Python, within a step of fit
};

// Accesses are taken in the order of the columns, and the first that fails gives the message.
// Views of parameters and gradients take nothing: they read and write at any time.
// clang-format off
inline constexpr Rule kRules[] = {
    {Call::fit, "fit", "fit",
     Take::nothing, Take::exclusive, Take::exclusive, Take::free, true},
    {Call::forward, "forward", "forward",
     Take::exclusive, Take::shared, Take::nothing, Take::nothing, false},
    {Call::backward, "backward", "backward",
     Take::exclusive, Take::shared, Take::nothing, Take::nothing, false},
    {Call::activations, "activations", "activations, deltas",
     Take::exclusive, Take::shared, Take::nothing, Take::nothing, true},
    {Call::infer, "infer", "net(x), predict, evaluate, a node",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, true},
    {Call::derivatives, "derivatives", "jacobian, backward of a node",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, true},
    {Call::layer_derivatives, "derivatives", "the same with layers written in Python",
     Take::exclusive, Take::nested, Take::nothing, Take::nothing, false},
    {Call::learn, "learn", "Standardize.learn",
     Take::nothing, Take::exclusive, Take::nothing, Take::nothing, true},
    {Call::step, "step", "optimizer.step",
     Take::nothing, Take::shared, Take::exclusive, Take::free, false},
    {Call::zero_grad, "zero_grad", "zero_grad",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, false},
    {Call::state_dict, "state_dict", "state_dict, save, deepcopy, pickle, predictor",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, true},
    {Call::load_state_dict, "load_state_dict", "load_state_dict",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, false},
    {Call::write, "write", "layer.weight = w, nn.init",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, true},
    {Call::freeze, "freeze", "freeze, unfreeze",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, false},
    {Call::seed, "seed", "seed of a checkpoint",
     Take::nothing, Take::shared, Take::nothing, Take::nothing, false},
    {Call::lr, "lr", "optimizer.lr = r, options of a group",
     Take::nothing, Take::nothing, Take::nested, Take::nothing, true},
    {Call::options, "options", "optimizer.clip_norm = c, clip_value, ema_decay",
     Take::nothing, Take::nothing, Take::nested, Take::nothing, false},
    {Call::optimizer_state_dict, "state_dict", "optimizer.state_dict",
     Take::nothing, Take::nothing, Take::nested, Take::nothing, false},
    {Call::load_optimizer_state_dict, "load_state_dict", "optimizer.load_state_dict",
     Take::nothing, Take::nothing, Take::nested, Take::nothing, false},
    {Call::averaged, "averaged", "optimizer.averaged",
     Take::nothing, Take::shared, Take::nested, Take::exclusive, false},
};
// clang-format on

constexpr const Rule& rule_of(Call call) { return kRules[static_cast<std::size_t>(call)]; }

/// The call of that name, of a network or of an optimizer; ValueError for an unknown name.
Call find_call(std::string_view name, bool of_optimizer);

/// Messages for a guard in use.
inline constexpr const char* kPassInUse = "the network is in use: expected one forward or backward at a time";
inline constexpr const char* kNetworkInUse = "the network is in use: expected no other call while fit runs";
inline constexpr const char* kOptimizerInUse =
    "the optimizer is in use: expected no other call while it steps, fit runs or its averages are shown";
inline constexpr const char* kAveragesInUse =
    "the averages stand in for the parameters: expected no step before averaged() ends";
inline constexpr const char* kAveragesShown = ": the averages are shown already";  // after the optimizer's name
inline constexpr const char* kWithinStep = ": not while a step of fit runs";       // after the call's name

/// Phases of exclusive access to a network.
enum Phase { kOther, kFitting, kStepping };

/// A state of a network: the call that runs.
struct State {
  const char* name;
  std::optional<Call> running;
  Phase phase = kOther;
};
inline constexpr State kStates[] = {
    {"idle", std::nullopt},
    {"inference", Call::infer},
    {"forward or backward", Call::forward},
    {"Standardize.learn", Call::learn},
    {"optimizer.state_dict", Call::optimizer_state_dict},
    {"within averaged()", Call::averaged},
    {"fit, between steps", Call::fit, kFitting},
    {"fit, within a step", Call::fit, kStepping},
};

/// Guards taken by calls of a network or of an optimizer; null if not applicable.
struct Guards {
  AccessGuard& network;
  AccessGuard& averages;
  AccessGuard* pass = nullptr;
  AccessGuard* optimizer = nullptr;
  const char* optimizer_name = "";
};

/// Scoped accesses of a call.
class Access {
 public:
  /// RuntimeError if the rule of the call forbids it in the present state.
  Access(Call call, const Guards& guards);

 private:
  static void take(Take what, AccessGuard& guard, const char* refusal, std::optional<ExclusiveAccess>& access);

  std::optional<ExclusiveAccess> pass_, network_, optimizer_, averages_;
  std::optional<SharedAccess> shared_;
  std::optional<PhaseScope> phase_;
};

/// Scoped step of fit.
class StepScope {
 public:
  /// RuntimeError while averages replace the parameters.
  explicit StepScope(const Guards& guards);

 private:
  PhaseScope phase_;
};

// Inline: a constant call folds most of it, and inference of one row takes a microsecond.

inline void Access::take(Take what, AccessGuard& guard, const char* refusal, std::optional<ExclusiveAccess>& access) {
  if (what == Take::free && !guard.free()) throw std::runtime_error(refusal);
  if (what == Take::exclusive || what == Take::nested) access.emplace(guard, refusal, what == Take::nested);
}

inline Access::Access(Call call, const Guards& g) {
  const Rule& rule = rule_of(call);
  if (!rule.within_step && g.network.mine() && g.network.phase() == kStepping) {
    const bool concerned = rule.network != Take::nothing || g.optimizer->mine();
    if (concerned) throw std::runtime_error(std::string(rule.name) + kWithinStep);
  }
  if (rule.pass != Take::nothing) take(rule.pass, *g.pass, kPassInUse, pass_);
  if (rule.network == Take::shared) shared_.emplace(g.network, kNetworkInUse);
  take(rule.network, g.network, kNetworkInUse, network_);
  if (call == Call::fit) phase_.emplace(g.network, kFitting);
  if (g.optimizer != nullptr) take(rule.optimizer, *g.optimizer, kOptimizerInUse, optimizer_);
  if (rule.averages == Take::exclusive && !g.averages.free()) {
    throw std::runtime_error(std::string(g.optimizer_name) + kAveragesShown);
  }
  take(rule.averages, g.averages, kAveragesInUse, averages_);
}

[[noreturn, gnu::cold]] void refuse(const char* message);

inline StepScope::StepScope(const Guards& g) : phase_(g.network, kStepping) {
  if (!g.averages.free()) [[unlikely]]
    refuse(kAveragesInUse);
}

/// Whether fit runs in any thread.
inline bool fits(const AccessGuard& network) { return network.exclusive() && network.phase() != kOther; }

/// Verdict of the rules on a call in a state: error messages, empty if allowed.
struct Verdict {
  const char* state;
  const char* calls;
  std::string same_thread;  // as the call that runs: callbacks, layers and losses written in Python, a `with` block
  std::string other_thread;
};
/// The verdicts of all states and calls.
std::vector<Verdict> access_table();

}  // namespace deltaprop::nn
