#include "deltaprop/engine/program.hpp"

#include <algorithm>

#include "deltaprop/core/threads.hpp"

namespace deltaprop::engine {

void Program::add_rows(RowOperation operation, bool rowwise) {
  const bool joins = rowwise && !stages_.empty() && stages_.back().rowwise;
  if (!joins) {
    stages_.emplace_back();
    stages_.back().rowwise = rowwise;
  }
  stages_.back().row_operations.push_back(std::move(operation));
}

void Program::add_tiles(Index tiles, TileOperation operation, bool interruptible) {
  stages_.emplace_back();
  stages_.back().tile_operation = std::move(operation);
  stages_.back().tiles = tiles;
  stages_.back().interruptible = interruptible;
}

void Program::run(Index rows, Index rows_per_tile, Index threads, const InterruptCheck* check_interrupt,
                  bool check_each) const {
  for (const Stage& stage : stages_) {
    threads::parallel_for(stage.tiles, threads, [&](Index tile, Index thread) {
      if (check_interrupt != nullptr && stage.interruptible && thread == 0) (*check_interrupt)();
      stage.tile_operation(tile);
    });
    if (stage.row_operations.empty()) continue;
    const Index step = stage.rowwise ? tile_for_each(rows, rows_per_tile, threads) : std::max<Index>(rows, 1);
    // An empty batch runs once: only a layer written in Python knows the result for it.
    const Index tiles = std::max<Index>(ceil_div(rows, step), 1);
    threads::parallel_for(tiles, threads, [&](Index number, Index thread) {
      const bool mine = check_interrupt != nullptr && thread == 0;
      if (mine && number > 0) (*check_interrupt)();
      const Range tile{number * step, std::min((number + 1) * step, rows)};
      for (const RowOperation& operation : stage.row_operations) {
        if (mine && check_each) (*check_interrupt)();
        operation(tile);
      }
    });
  }
}

Index tile_for_each(Index rows, Index rows_per_tile, Index threads) {
  constexpr Index kFew = 16;   // rows; below, products are divided among threads by columns
  constexpr Index kWhole = 8;  // rows: a multiple leaves few remainder rows in products
  if (rows <= (threads == 1 ? rows_per_tile : std::min(rows_per_tile, kFew))) return rows_per_tile;
  const Index some = std::max<Index>(rows, 1);
  const Index tiles = ceil_div(ceil_div(some, rows_per_tile), threads) * threads;
  return std::min(rows_per_tile, ceil_div(ceil_div(some, tiles), kWhole) * kWhole);
}

}  // namespace deltaprop::engine
