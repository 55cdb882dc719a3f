#pragma once

#include <string>
#include <vector>

namespace deltaprop::kernels {

/// The selected instruction set and the candidates, the best last.
struct Choice {
  std::string name;
  std::vector<std::string> built, available;  // available: built and supported by this CPU
  bool forced = false;                        // by DELTAPROP_ISA
};

/// Loads the kernels of the best instruction set of this CPU, or of the one that the environment variable DELTAPROP_ISA
/// names, from the folder `kernels` next to this binary. std::runtime_error with a one-line message if the CPU supports
/// none or the file is missing. To be called once, before any other function of the library.
void load();

/// The selection made by load().
const Choice& choice();

}  // namespace deltaprop::kernels
