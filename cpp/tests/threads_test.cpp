#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/threads.hpp"

using namespace deltaprop;

TEST_CASE("every piece runs exactly once") {
  for (const Index threads : {1, 2, 3, 8}) {
    for (int turn = 0; turn < 300; ++turn) {
      const Index pieces = turn % 23;
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(pieces));
      std::atomic<bool> fits{true};
      threads::parallel_for(pieces, threads, [&](Index piece, Index thread) {
        ++done[static_cast<std::size_t>(piece)];
        if (thread < 0 || thread >= threads) fits = false;
      });
      CHECK(fits);
      for (const auto& count : done) CHECK(count == 1);
    }
  }
}

TEST_CASE("concurrent pieces have different thread numbers") {
  for (int turn = 0; turn < 200; ++turn) {
    std::vector<std::atomic<int>> at_work(4);
    std::atomic<bool> alone{true};
    threads::parallel_for(64, 4, [&](Index, Index thread) {
      std::atomic<int>& own = at_work[static_cast<std::size_t>(thread)];
      if (own.fetch_add(1) != 0) alone = false;
      std::this_thread::yield();
      own.fetch_sub(1);
    });
    CHECK(alone);
  }
}

TEST_CASE("the exception of the lowest piece is thrown, and the pool stays usable") {
  for (int turn = 0; turn < 100; ++turn) {
    std::string found;
    try {
      threads::parallel_for(40, 4, [](Index piece, Index) {
        if (piece % 10 == 3) throw std::runtime_error(std::to_string(piece));
      });
    } catch (const std::runtime_error& e) {
      found = e.what();
    }
    CHECK(found == "3");
    std::atomic<Index> sum{0};
    threads::parallel_for(40, 4, [&](Index piece, Index) { sum += piece; });
    CHECK(sum == 780);
  }
}

TEST_CASE("nested and concurrent calls run on the calling thread") {
  std::vector<std::thread> callers;
  std::atomic<Index> sum{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int turn = 0; turn < 50; ++turn) {
        threads::parallel_for(
            8, 3, [&](Index, Index) { threads::parallel_for(5, 3, [&](Index piece, Index) { sum += piece; }); });
      }
    });
  }
  for (std::thread& t : callers) t.join();
  CHECK(sum == 4 * 50 * 8 * 10);
}

TEST_CASE("within a piece one thread is suggested") {
  const Index before = threads::count();
  threads::set_count(3);
  std::atomic<Index> most{0};
  threads::parallel_for(40, 3, [&](Index, Index) { most = std::max<Index>(most, threads::suggested_threads(1e12)); });
  CHECK(most == 1);
  CHECK(threads::suggested_threads(1e12) == 3);
  threads::set_count(before);
}

TEST_CASE("small jobs are not split over threads") {
  const Index before = threads::count();
  threads::set_count(4);
  CHECK(threads::suggested_threads(1e3) == 1);
  CHECK(threads::suggested_threads(1e12) == 4);
  {
    const threads::Limit limit(2);
    CHECK(threads::suggested_threads(1e12) == 2);
  }
  CHECK(threads::suggested_threads(1e12) == 4);
  CHECK_THROWS_WITH_AS(threads::set_count(0), "set_num_threads: expected 1 to 1024, got 0", ValueError);
  CHECK_THROWS_WITH_AS(threads::set_count(1025), "set_num_threads: expected 1 to 1024, got 1025", ValueError);
  threads::set_count(before);
}

namespace {

/// Total seconds of repeated runs on one thread or four; every tenth run is slowed down.
double total(threads::Trial& trial, int times, double alone, double shared) {
  double sum = 0;
  for (int i = 0; i < times; ++i) {
    const double work = 1 + i % 3, seconds = work * (trial.threads(4) == 1 ? alone : shared);
    trial.took(i % 10 == 0 ? 1.5 * seconds : seconds, work);
    sum += seconds / work;
  }
  return sum / times;
}

}  // namespace

TEST_CASE("Trial chooses the faster mode and adapts when it changes") {
  threads::Trial trial;
  CHECK(trial.threads(4) == 4);
  CHECK(total(trial, 3000, 2e-4, 1e-4) < 1.04e-4);
  CHECK(total(trial, 3000, 2e-4, 5e-4) < 2.3e-4);
  CHECK(total(trial, 3000, 2e-4, 5e-4) < 2.08e-4);
  CHECK(total(trial, 3000, 2e-4, 1e-4) < 1.15e-4);
  CHECK(total(trial, 3000, 2e-4, 1e-4) < 1.04e-4);
}

TEST_CASE("Trial always runs long jobs in parallel") {
  threads::Trial trial;
  CHECK(total(trial, 1000, 1, 2) == doctest::Approx(2));
}
