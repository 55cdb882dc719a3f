#pragma once

#include <functional>
#include <vector>

#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop::engine {

/// Rows of a tile, no more than asked for, so that all are of one size and each thread has as many.
Index tile_for_each(Index rows, Index rows_per_tile, Index threads);

/// A step as a list of stages, and the one executor that runs it.
///
/// A stage of rows runs its operations one after the other over a tile of rows, then over the next tile: between
/// the first and the last of them the rows stay in cache. A stage of tiles runs one operation over numbered tiles.
/// Tiles of a stage touch nothing in common, so threads may share them; stages run in their order.
class Program {
 public:
  using RowOperation = std::function<void(Range rows)>;
  using TileOperation = std::function<void(Index tile)>;

  /// Joins the stage of rows that is being built, or, when all rows must be known at once (`rowwise` false), makes a
  /// stage of its own with all rows in one tile.
  void add_rows(RowOperation operation, bool rowwise = true);
  /// `interruptible`: an exception between two tiles does no harm.
  void add_tiles(Index tiles, TileOperation operation, bool interruptible = false);

  /// By so many threads at the most. `check_interrupt` is called, by this one alone, between tiles of stages that may
  /// be left by an exception; stages of rows always may. `often`: between the operations of a tile of rows as well,
  /// where each of them takes long.
  void run(Index rows, Index rows_per_tile, Index threads, const InterruptCheck* check_interrupt = nullptr,
           bool often = false) const;

 private:
  struct Stage {
    std::vector<RowOperation> row_operations;  // one or more: a stage of rows
    bool rowwise = false;
    TileOperation tile_operation;
    Index tiles = 0;
    bool interruptible = true;
  };

  std::vector<Stage> stages_;
};

}  // namespace deltaprop::engine
