#pragma once

#include <functional>
#include <vector>

#include "deltaprop/core/interrupt.hpp"
#include "deltaprop/core/types.hpp"

namespace deltaprop::engine {

/// Rows per tile, at most `rows` of them: tiles of equal size, the same number for each thread.
Index tile_for_each(Index rows, Index rows_per_tile, Index threads);

/// A step as a list of stages, and the one executor that runs it.
///
/// A row stage runs all its operations over one tile of rows before the next tile, so that the rows stay in cache. A
/// tile stage runs one operation over numbered tiles. The tiles of a stage are independent and run in parallel; stages
/// run in order.
class Program {
 public:
  using RowOperation = std::function<void(Range rows)>;
  using TileOperation = std::function<void(Index tile)>;

  /// Appends to the current row stage. An operation that needs all rows at once (`rowwise` false) gets a separate
  /// stage with all rows in one tile.
  void add_rows(RowOperation operation, bool rowwise = true);
  /// `interruptible`: an exception between two tiles leaves a consistent state.
  void add_tiles(Index tiles, TileOperation operation, bool interruptible = false);

  /// Runs on at most `threads` threads. `check_interrupt` is called on the calling thread between the tiles of row
  /// stages and of interruptible tile stages, and may throw. `check_each`: also between the operations of a tile of
  /// rows, for operations that take long.
  void run(Index rows, Index rows_per_tile, Index threads, const InterruptCheck* check_interrupt = nullptr,
           bool check_each = false) const;

 private:
  struct Stage {
    std::vector<RowOperation> row_operations;  // one or more: a row stage
    bool rowwise = false;
    TileOperation tile_operation;
    Index tiles = 0;
    bool interruptible = true;
  };

  std::vector<Stage> stages_;
};

}  // namespace deltaprop::engine
