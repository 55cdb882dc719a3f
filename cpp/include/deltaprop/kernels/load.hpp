#pragma once

#include <string>
#include <vector>

namespace deltaprop::kernels {

/// The instruction set whose kernels are loaded, and what there was to choose from, the best last.
struct Choice {
  std::string name;
  std::vector<std::string> built, available;  // available: built, and this CPU has it
  bool forced = false;                        // by DELTAPROP_ISA
};

/// Loads the best variant for this CPU from the folder `kernels` beside the calling binary, or the one that the
/// environment variable DELTAPROP_ISA names. Throws std::runtime_error with one clear line where the CPU or the file is
/// not there. Called once, before any other function of the library.
void load();

/// What load() has chosen.
const Choice& choice();

}  // namespace deltaprop::kernels
