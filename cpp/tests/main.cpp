#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "deltaprop/kernels/table.hpp"

int main(int argc, char** argv) {
  deltaprop::kernels::load();
  return doctest::Context(argc, argv).run();
}
