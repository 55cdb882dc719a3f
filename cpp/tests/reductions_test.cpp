#include <doctest/doctest.h>

#include "chains.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

TEST_CASE_TEMPLATE("column sums add blocks of 256 rows in order", T, float, double) {
  for (const Index rows : {0, 1, 2, 255, 256, 257, 513, 1000, 1024, 2500}) {
    for (const Index cols : {1, 3, 4, 7, 8, 9, 17, 33}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const Guarded<T> a(numbers<T>(rows * cols, 1));
      const auto before = numbers<T>(cols, 2);
      for (const bool accumulate : {false, true}) {
        const Guarded<T> sums(before);
        kernels::get<T>().column_sums(
            {.rows = rows, .cols = cols, .a = a.data(), .sums = sums.data(), .accumulate = accumulate});
        REQUIRE(first_difference(sums.values(),
                                 chain_sums(rows, cols, a.data(), accumulate ? before : std::vector<T>{})) == -1);
        REQUIRE(sums.intact());
      }
    }
  }
}

TEST_CASE_TEMPLATE("all_finite checks every element and nothing beyond", T, float, double) {
  using Limits = std::numeric_limits<T>;
  for (const Index n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 40, 64, 67, 130}) {
    const Guarded<T> a(n, Limits::max());
    // Elements beyond the ends must not count.
    a.data()[-1] = a.data()[n] = Limits::quiet_NaN();
    CAPTURE(n);
    CHECK(kernels::get<T>().all_finite(a.data(), n));
    for (Index i = 0; i < n; ++i) {
      for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
        a[i] = bad;
        REQUIRE_FALSE(kernels::get<T>().all_finite(a.data(), n));
      }
      a[i] = i % 2 == 0 ? -Limits::max() : Limits::denorm_min();
    }
    CHECK(kernels::get<T>().all_finite(a.data(), n));
  }
}
