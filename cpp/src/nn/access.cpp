#include "deltaprop/nn/access.hpp"

#include <thread>

#include "deltaprop/core/errors.hpp"

namespace deltaprop::nn {
namespace {

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kRules); ++i) {
    if (kRules[i].call != static_cast<Call>(i)) return false;
  }
  return true;
}
static_assert(in_order());

/// The error message of a forbidden call, empty if allowed.
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

void refuse(const char* message) { throw std::runtime_error(message); }

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
