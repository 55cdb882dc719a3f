#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>
#include <stdexcept>

#include "deltaprop/kernels/load.hpp"

int main(int argc, char** argv) {
  try {
    deltaprop::kernels::load();
  } catch (const std::runtime_error& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
  return doctest::Context(argc, argv).run();
}
