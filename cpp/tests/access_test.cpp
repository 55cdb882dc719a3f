#include "deltaprop/nn/access.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "child.hpp"

using namespace deltaprop;
using nn::Access;
using nn::Call;

namespace {

/// The message that f throws as RuntimeError, or nothing.
template <class F>
std::string refusal(F f) {
  try {
    f();
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

/// The same in another thread.
template <class F>
std::string refusal_elsewhere(F f) {
  std::string message;
  std::thread([&] { message = refusal(f); }).join();
  return message;
}

/// Attempts of each kind of access to a guard.
struct Attempts {
  AccessGuard& guard;

  auto shared() const {
    return [&guard = guard] { const SharedAccess access(guard, "shared"); };
  }
  auto exclusive() const {
    return [&guard = guard] { const ExclusiveAccess access(guard, "exclusive"); };
  }
  auto nested() const {
    return [&guard = guard] { const ExclusiveAccess access(guard, "nested", true); };
  }
  void all_allowed() const {
    CHECK(guard.free());
    for (const std::string& message :
         {refusal(shared()), refusal(exclusive()), refusal(nested()), refusal_elsewhere(shared()),
          refusal_elsewhere(exclusive()), refusal_elsewhere(nested())}) {
      CHECK(message.empty());
    }
    CHECK(guard.free());
  }
};

/// The guards of a network and of one optimizer.
struct Owner {
  AccessGuard network, averages, pass, optimizer;
  nn::Guards guards{network, averages, &pass, &optimizer, "SGD"};

  std::string refuses(Call call) const {
    return refusal([&] { const Access access(call, guards); });
  }
  std::string refuses_elsewhere(Call call) const {
    return refusal_elsewhere([&] { const Access access(call, guards); });
  }
  bool free() const { return network.free() && averages.free() && pass.free() && optimizer.free(); }
};

}  // namespace

TEST_CASE("exclusive access stands beside no access of another thread") {
  AccessGuard guard;
  const Attempts attempts{guard};
  attempts.all_allowed();
  {
    const ExclusiveAccess held(guard, "");
    CHECK_FALSE(guard.free());
    CHECK(guard.exclusive());
    CHECK(guard.mine());
    CHECK(refusal(attempts.exclusive()) == "exclusive");
    CHECK(refusal(attempts.shared()).empty());
    CHECK(refusal(attempts.nested()).empty());
    // What lay within it, or failed, did not end it.
    CHECK(guard.mine());
    CHECK(refusal_elsewhere(attempts.exclusive()) == "exclusive");
    CHECK(refusal_elsewhere(attempts.shared()) == "shared");
    CHECK(refusal_elsewhere(attempts.nested()) == "nested");
    bool mine_elsewhere = true;
    std::thread([&] { mine_elsewhere = guard.mine(); }).join();
    CHECK_FALSE(mine_elsewhere);
    CHECK(guard.mine());
  }
  attempts.all_allowed();
}

TEST_CASE("any number of threads share access, without exclusive access beside them") {
  AccessGuard guard;
  const Attempts attempts{guard};
  {
    std::optional<SharedAccess> first(std::in_place, guard, ""), second(std::in_place, guard, "");
    for (int left = 2; left > 0; --left) {
      CHECK_FALSE(guard.free());
      CHECK_FALSE(guard.exclusive());
      CHECK_FALSE(guard.mine());
      CHECK(refusal(attempts.shared()).empty());
      CHECK(refusal_elsewhere(attempts.shared()).empty());
      CHECK(refusal(attempts.exclusive()) == "exclusive");
      CHECK(refusal(attempts.nested()) == "nested");
      CHECK(refusal_elsewhere(attempts.exclusive()) == "exclusive");
      (left == 2 ? first : second).reset();
    }
  }
  attempts.all_allowed();
}

TEST_CASE("an exception ends access") {
  AccessGuard guard;
  CHECK_THROWS_AS(
      [&] {
        const ExclusiveAccess held(guard, "");
        const ExclusiveAccess nested(guard, "", true);
        const SharedAccess within(guard, "");
        throw 1;
      }(),
      int);
  CHECK_THROWS_AS(
      [&] {
        const SharedAccess held(guard, "");
        throw 1;
      }(),
      int);
  Attempts{guard}.all_allowed();
}

TEST_CASE("a guard counts exclusive accesses, and keeps the phase of a scope") {
  AccessGuard guard;
  CHECK(guard.count() == 0);
  {
    const SharedAccess shared(guard, "");
  }
  CHECK(guard.count() == 0);
  {
    const ExclusiveAccess held(guard, "");
    const ExclusiveAccess nested(guard, "", true);
    CHECK(guard.count() == 1);
    {
      const PhaseScope one(guard, 1);
      {
        const PhaseScope two(guard, 2);
        CHECK(guard.phase() == 2);
      }
      CHECK(guard.phase() == 1);
    }
    CHECK(guard.phase() == 0);
  }
  {
    const ExclusiveAccess held(guard, "");
  }
  CHECK(guard.count() == 2);
}

TEST_CASE("threads that compete for exclusive access have it one at a time") {
  AccessGuard guard;
  int inside = 0, most = 0;  // plain: exclusive access orders them
  std::atomic<int> entered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int own = 0; own < 200;) {
        try {
          const ExclusiveAccess held(guard, "");
          most = std::max(most, ++inside);
          std::this_thread::yield();
          --inside;
          ++entered;
          ++own;
        } catch (const std::runtime_error&) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(most == 1);
  CHECK(entered == 800);
  CHECK(guard.count() == 800);
  CHECK(guard.free());
}

TEST_CASE("a fork ends all accesses but the exclusive ones of its thread") {
  AccessGuard own, others, shared;
  const ExclusiveAccess held(own, "");
  const SharedAccess together(shared, "");
  std::atomic<bool> inside{false}, go_on{false};
  std::thread other([&] {
    const ExclusiveAccess of_other(others, "");
    inside = true;
    while (!go_on) std::this_thread::yield();
  });
  while (!inside) std::this_thread::yield();
  CHECK(testing::true_in_child([&] {
    const Attempts mine{own};
    if (!own.mine() || !refusal(mine.shared()).empty() || !refusal(mine.nested()).empty()) return false;
    if (refusal(mine.exclusive()) != "exclusive" || refusal_elsewhere(mine.shared()) != "shared") return false;
    if (!others.free() || !shared.free()) return false;
    for (AccessGuard* guard : {&others, &shared}) {
      const ExclusiveAccess access(*guard, "");
      if (!guard->mine() || refusal_elsewhere(Attempts{*guard}.shared()) != "shared") return false;
    }
    return others.free() && shared.free();
  }));
  // Nothing changes in the parent.
  CHECK(own.mine());
  CHECK_FALSE(shared.free());
  CHECK(refusal(Attempts{others}.shared()) == "shared");
  go_on = true;
  other.join();
  Attempts{others}.all_allowed();
}

TEST_CASE("accesses from before a fork may end in the child beside new ones") {
  AccessGuard shared, exclusive;
  std::optional<SharedAccess> before(std::in_place, shared, "");
  std::optional<ExclusiveAccess> held(std::in_place, exclusive, "");
  CHECK(testing::true_in_child([&] {
    const SharedAccess after(shared, "");
    before.reset();
    if (shared.free()) return false;
    held.reset();
    return exclusive.free();
  }));
  before.reset();
  held.reset();
  CHECK(shared.free());
  CHECK(exclusive.free());
}

TEST_CASE("calls are found by name, of the network or of the optimizer") {
  CHECK(nn::find_call("fit", true) == Call::fit);
  CHECK(nn::find_call("state_dict", false) == Call::state_dict);
  CHECK(nn::find_call("state_dict", true) == Call::optimizer_state_dict);
  CHECK(nn::find_call("load_state_dict", true) == Call::load_optimizer_state_dict);
  CHECK_THROWS_WITH_AS(nn::find_call("fit", false), "no such call: fit", std::invalid_argument);
  CHECK_THROWS_WITH_AS(nn::find_call("nothing", true), "no such call: nothing", std::invalid_argument);
}

TEST_CASE("an idle network allows every call, and each ends its accesses") {
  const Owner owner;
  for (const nn::Rule& rule : nn::kRules) {
    CAPTURE(rule.calls);
    CHECK(owner.refuses(rule.call).empty());
    CHECK(owner.free());
    CHECK(owner.refuses_elsewhere(rule.call).empty());
    CHECK(owner.free());
  }
}

TEST_CASE("a refused call keeps none of its accesses") {
  const Owner owner;
  const SharedAccess inference(owner.guards.network, "");
  for (const Call call : {Call::layer_derivatives, Call::fit, Call::learn}) {
    CHECK(owner.refuses(call) == nn::kNetworkInUse);
    CHECK(owner.pass.free());
    CHECK(owner.optimizer.free());
  }
  const ExclusiveAccess averages(owner.guards.averages, "");
  CHECK(owner.refuses(Call::step) == nn::kAveragesInUse);
  CHECK(owner.refuses(Call::averaged) == "SGD: the averages are shown already");
  CHECK(owner.optimizer.free());
}

TEST_CASE("fit excludes other threads, and within a step also most calls of its own") {
  const Owner owner;
  CHECK_FALSE(nn::fits(owner.network));
  {
    const Access fit(Call::fit, owner.guards);
    CHECK(nn::fits(owner.network));
    CHECK(owner.refuses_elsewhere(Call::infer) == nn::kNetworkInUse);
    CHECK(owner.refuses_elsewhere(Call::lr) == nn::kOptimizerInUse);
    CHECK(owner.refuses(Call::fit) == nn::kNetworkInUse);
    CHECK(owner.refuses(Call::forward).empty());
    {
      const nn::StepScope step(owner.guards);
      CHECK(nn::fits(owner.network));
      CHECK(owner.refuses(Call::infer).empty());
      CHECK(owner.refuses(Call::lr).empty());
      CHECK(owner.refuses(Call::forward) == "forward: not while a step of fit runs");
      CHECK(owner.refuses(Call::optimizer_state_dict) == "state_dict: not while a step of fit runs");
      // Another network is free, also in this thread.
      const Owner another;
      CHECK(another.refuses(Call::fit).empty());
    }
    CHECK(owner.refuses(Call::forward).empty());
    const Access averaged(Call::averaged, owner.guards);
    CHECK(refusal([&] { const nn::StepScope step(owner.guards); }) == nn::kAveragesInUse);
  }
  CHECK_FALSE(nn::fits(owner.network));
  CHECK(owner.free());
}

TEST_CASE("learning is exclusive, but no fit") {
  const Owner owner;
  const Access learn(Call::learn, owner.guards);
  CHECK_FALSE(nn::fits(owner.network));
  CHECK(owner.refuses(Call::infer).empty());
  CHECK(owner.refuses_elsewhere(Call::infer) == nn::kNetworkInUse);
}

TEST_CASE("the table holds each state and call once, and each verdict that the rules give") {
  const std::vector<nn::Verdict> table = nn::access_table();
  REQUIRE(table.size() == std::size(nn::kStates) * std::size(nn::kRules));
  std::size_t row = 0;
  for (const nn::State& state : nn::kStates) {
    for (const nn::Rule& rule : nn::kRules) {
      const nn::Verdict& verdict = table[row++];
      CHECK(std::string(verdict.state) == state.name);
      CHECK(std::string(verdict.calls) == rule.calls);
      if (!state.running) {
        CHECK(verdict.same_thread.empty());
        CHECK(verdict.other_thread.empty());
      }
      if (state.phase == nn::kStepping && !rule.within_step) {
        CHECK(verdict.same_thread == std::string(rule.name) + nn::kWithinStep);
      }
      if (state.phase != nn::kOther) CHECK_FALSE(verdict.other_thread.empty());
    }
  }
}
