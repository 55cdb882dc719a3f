#include "deltaprop/nn/access.hpp"

#include <thread>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

constexpr const Rule& rule_of(Call call) { return kRules[static_cast<std::size_t>(call)]; }

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kRules); ++i) {
    if (kRules[i].call != static_cast<Call>(i)) return false;
  }
  return true;
}
static_assert(in_order());

void take(Take what, AccessGuard& guard, const char* refusal, std::optional<ExclusiveAccess>& access) {
  if (what == Take::free && !guard.free()) throw std::runtime_error(refusal);
  if (what == Take::exclusive || what == Take::nested) access.emplace(guard, refusal, what == Take::nested);
}

/// The message of a refusal, empty where the call is allowed.
std::string refusal(Call call, const Guards& guards) {
  try {
    const Access access(call, guards);
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace

Call find_call(std::string_view name, bool of_optimizer) {
  for (const Rule& rule : kRules) {
    if (rule.name == name && (rule.optimizer != Take::nothing) == of_optimizer) return rule.call;
  }
  throw ValueError("no such call: " + std::string(name));
}

Access::Access(Call call, const Guards& g) {
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

StepScope::StepScope(const Guards& g) : phase_(g.network, kStepping) {
  if (!g.averages.free()) throw std::runtime_error(kAveragesInUse);
}

std::vector<Verdict> access_table() {
  std::vector<Verdict> table;
  for (const State& state : kStates) {
    AccessGuard network, averages, pass, optimizer;
    const Guards guards{network, averages, &pass, &optimizer, "Optimizer"};
    std::optional<Access> running;
    if (state.running) running.emplace(*state.running, guards);
    const PhaseScope phase(network, state.phase);
    const std::size_t first = table.size();
    for (const Rule& rule : kRules) table.push_back({state.name, rule.calls, refusal(rule.call, guards), ""});
    std::thread([&] {
      for (const Rule& rule : kRules) {
        table[first + static_cast<std::size_t>(rule.call)].other_thread = refusal(rule.call, guards);
      }
    }).join();
  }
  return table;
}

}  // namespace deltaprop::nn
