#include "deltaprop/engine/program.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

using namespace deltaprop;
using engine::Program;

namespace {

struct Trace {
  std::string text;

  Program::RowOperation rows(char name) {
    return [this, name](Range r) { text += name + std::to_string(r.begin) + "-" + std::to_string(r.end) + " "; };
  }
  Program::TileOperation tiles(char name) {
    return [this, name](Index tile) { text += name + std::to_string(tile) + " "; };
  }
  InterruptCheck check_interrupt(char name) {
    return [this, name] { text += std::string(1, name) + " "; };
  }
};

/// Two rowwise operations, one over all rows, another rowwise one, tiles, and a rowwise one.
Program every_kind(Trace& trace, bool interruptible) {
  Program program;
  program.add_rows(trace.rows('a'));
  program.add_rows(trace.rows('b'));
  program.add_rows(trace.rows('c'), false);
  program.add_rows(trace.rows('d'));
  program.add_tiles(2, trace.tiles('t'), interruptible);
  program.add_rows(trace.rows('e'));
  return program;
}

}  // namespace

TEST_CASE("stages run in order, rowwise stages tile by tile") {
  Trace trace;
  every_kind(trace, false).run(5, 2, 1);
  CHECK(trace.text == "a0-2 b0-2 a2-4 b2-4 a4-5 b4-5 c0-5 d0-2 d2-4 d4-5 t0 t1 e0-2 e2-4 e4-5 ");
}

TEST_CASE("there is no empty tile if the rows fill their tiles") {
  Trace trace;
  Program program;
  program.add_rows(trace.rows('a'));
  program.run(4, 2, 1);
  program.run(2, 100, 1);
  CHECK(trace.text == "a0-2 a2-4 a0-2 ");
}

TEST_CASE("threads get equal numbers of rows, but few rows are not split") {
  CHECK(engine::tile_for_each(256, 256, 2) == 128);
  CHECK(engine::tile_for_each(250, 256, 2) == 128);
  CHECK(engine::tile_for_each(600, 256, 1) == 200);
  CHECK(engine::tile_for_each(17, 256, 2) == 16);
  for (const Index threads : {1, 2, 8}) CHECK(engine::tile_for_each(16, 256, threads) == 256);
  CHECK(engine::tile_for_each(16, 8, 2) == 8);
}

TEST_CASE("a stage without rows runs once") {
  Trace trace;
  every_kind(trace, false).run(0, 3, 1);
  CHECK(trace.text == "a0-0 b0-0 c0-0 d0-0 t0 t1 e0-0 ");
}

TEST_CASE("two operations over all rows are two stages") {
  Trace trace;
  Program program;
  program.add_rows(trace.rows('a'), false);
  program.add_rows(trace.rows('b'), false);
  program.run(3, 1, 1);
  CHECK(trace.text == "a0-3 b0-3 ");
}

TEST_CASE("check_interrupt is called only where the program may stop") {
  const auto traced = [](bool interruptible) {
    Trace trace;
    const InterruptCheck check_interrupt = trace.check_interrupt('.');
    every_kind(trace, interruptible).run(3, 2, 1, &check_interrupt);
    return trace.text;
  };
  CHECK(traced(false) == "a0-2 b0-2 . a2-3 b2-3 c0-3 d0-2 . d2-3 t0 t1 e0-2 . e2-3 ");
  CHECK(traced(true) == "a0-2 b0-2 . a2-3 b2-3 c0-3 d0-2 . d2-3 . t0 . t1 e0-2 . e2-3 ");
}

TEST_CASE("after an exception the program can run again") {
  Trace trace;
  const Program program = every_kind(trace, true);
  const InterruptCheck check_interrupt = [] { throw std::runtime_error("stop"); };
  CHECK_THROWS_WITH(program.run(3, 2, 1, &check_interrupt), "stop");
  CHECK(trace.text == "a0-2 b0-2 ");
  trace.text.clear();
  program.run(1, 2, 1);
  CHECK(trace.text == "a0-1 b0-1 c0-1 d0-1 t0 t1 e0-1 ");
}
