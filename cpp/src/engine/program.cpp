#include "deltaprop/engine/program.hpp"

#include <algorithm>

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

void Program::add_once(std::function<void()> operation) {
  add_tiles(1, [operation = std::move(operation)](Index) { operation(); });
}

void Program::run(Index rows, Index rows_per_tile, const std::function<void()>* between, bool often) const {
  for (const Stage& stage : stages_) {
    for (Index tile = 0; tile < stage.tiles; ++tile) {
      if (between != nullptr && stage.interruptible) (*between)();
      stage.tile_operation(tile);
    }
    if (stage.row_operations.empty()) continue;
    // An empty batch still runs once: a layer written in Python has to say what it makes of it.
    const Index step = stage.rowwise ? rows_per_tile : std::max<Index>(rows, 1);
    Index begin = 0;
    do {
      if (between != nullptr && begin > 0) (*between)();
      const Range tile{begin, std::min(begin + step, rows)};
      for (const RowOperation& operation : stage.row_operations) {
        if (between != nullptr && often) (*between)();
        operation(tile);
      }
      begin += step;
    } while (begin < rows);
  }
}

}  // namespace deltaprop::engine
