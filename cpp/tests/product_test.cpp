#include <doctest/doctest.h>

#include "chains.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

struct Shape {
  Index m, n, k;
};

std::vector<Shape> small_shapes() {
  std::vector<Shape> shapes;
  for (const Index m : {0, 1, 2, 5, 6, 7, 13}) {
    for (const Index n : {0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33}) {
      for (const Index k : {0, 1, 2, 4, 5, 9, 17}) shapes.push_back({m, n, k});
    }
  }
  return shapes;
}

// More than kBlock along k, more than a packed block of each operand, rows more than 1 KiB apart; few columns of c with
// many rows.
std::vector<Shape> large_shapes() {
  std::vector<Shape> shapes;
  for (const Index m : {1, 6, 8}) {
    for (const Index n : {1, 8, 16, 19}) {
      for (const Index k : {255, 256, 257, 512, 515}) shapes.push_back({m, n, k});
    }
  }
  for (const Shape s : {Shape{192, 17, 40},
                        {193, 33, 300},
                        {385, 20, 6},
                        {31, 300, 20},
                        {50, 513, 260},
                        {13, 300, 9},
                        {40, 700, 300},
                        {530, 140, 1030},
                        {300, 1, 1100},
                        {70, 2, 600},
                        {45, 4, 30},
                        {1, 700, 1100},
                        {2, 300, 40},
                        {3, 1500, 1500}}) {
    shapes.push_back(s);
  }
  return shapes;
}

/// Operands in both storage orders, with no vector aligned.
template <class T>
struct Operand {
  Guarded<T> plain, turned;
  Index rows, cols;

  Operand(Index rows_, Index cols_, std::uint64_t seed)
      : plain(numbers<T>(rows_ * cols_, seed)), turned(rows_ * cols_), rows(rows_), cols(cols_) {
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) turned[j * rows + i] = plain[i * cols + j];
    }
  }
  Strided<T> view(bool transposed) const {
    return transposed ? Strided<T>{turned.data(), 1, rows} : Strided<T>{plain.data(), cols, 1};
  }
};

template <class T>
kernels::Product<T> product(Shape s, Strided<T> a, Strided<T> b, T* c, Index c_row) {
  return {.m = s.m,
          .n = s.n,
          .k = s.k,
          .a = a.data,
          .a_row = a.row,
          .a_col = a.col,
          .b = b.data,
          .b_row = b.row,
          .b_col = b.col,
          .c = c,
          .c_row = c_row,
          .bias = nullptr,
          .accumulate = false};
}

/// c with guards after each row, to detect stores beyond its end.
template <class T>
struct Output {
  static constexpr Index kGap = 3;
  Index m, n;
  Guarded<T> memory;

  Output(Index m_, Index n_, const std::vector<T>& before = {})
      : m(m_), n(n_), memory(m_ * (n_ + kGap), Guarded<T>::guard()) {
    for (Index i = 0; !before.empty() && i < m; ++i) std::copy_n(before.data() + i * n, n, memory.data() + i * row());
  }
  Index row() const { return n + kGap; }
  std::vector<T> values() const {
    std::vector<T> v;
    for (Index i = 0; i < m; ++i) v.insert(v.end(), memory.data() + i * row(), memory.data() + i * row() + n);
    return v;
  }
  bool intact() const {
    bool gaps = memory.intact();
    for (Index i = 0; i < m; ++i) {
      for (Index j = n; j < row(); ++j) gaps = gaps && same_bits(memory[i * row() + j], Guarded<T>::guard());
    }
    return gaps;
  }
};

template <class T>
void check_all_orders(Shape s) {
  CAPTURE(s.m);
  CAPTURE(s.n);
  CAPTURE(s.k);
  const Operand<T> a(s.m, s.k, 1), b(s.k, s.n, 2);
  const Guarded<T> bias(numbers<T>(s.n, 3));
  const auto before = numbers<T>(s.m * s.n, 4);
  const auto plain = chain_product(s.m, s.n, s.k, a.view(false), b.view(false), static_cast<const T*>(nullptr));
  const auto biased = chain_product<T>(s.m, s.n, s.k, a.view(false), b.view(false), bias.data());
  const auto blocked = chain_blocked(s.m, s.n, s.k, a.view(false), b.view(false), {});
  const auto added = chain_blocked(s.m, s.n, s.k, a.view(false), b.view(false), before);
  for (const bool a_turned : {false, true}) {
    for (const bool b_turned : {false, true}) {
      CAPTURE(a_turned);
      CAPTURE(b_turned);
      const auto check = [&](auto kernel, const T* with_bias, bool accumulate, const std::vector<T>& expected) {
        const Output<T> c(s.m, s.n, accumulate ? before : std::vector<T>{});
        auto p = product(s, a.view(a_turned), b.view(b_turned), c.memory.data(), c.row());
        p.bias = with_bias;
        p.accumulate = accumulate;
        kernel(p);
        REQUIRE(first_difference(c.values(), expected) == -1);
        REQUIRE(c.intact());
      };
      const auto& kernels = kernels::get<T>();
      check(kernels.product, nullptr, false, plain);
      check(kernels.product, bias.data(), false, biased);
      check(kernels.blocked_product, nullptr, false, blocked);
      check(kernels.blocked_product, nullptr, true, added);
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("small products equal reference chains bit for bit", T, float, double) {
  for (const Shape s : small_shapes()) check_all_orders<T>(s);
}

TEST_CASE_TEMPLATE("large products equal reference chains bit for bit", T, float, double) {
  for (const Shape s : large_shapes()) check_all_orders<T>(s);
}

TEST_CASE_TEMPLATE("a row of a product does not depend on the other rows", T, float, double) {
  const Shape s{205, 300, 270};
  const Operand<T> a(s.m, s.k, 5), b(s.k, s.n, 6);
  for (const bool a_turned : {false, true}) {
    for (const bool b_turned : {false, true}) {
      const auto av = a.view(a_turned), bv = b.view(b_turned);
      std::vector<T> whole(at(s.m * s.n)), parts(at(s.m * s.n));
      kernels::get<T>().product(product(s, av, bv, whole.data(), s.n));
      Index row = 0;
      for (const Index rows : {1, 6, 5, 193}) {
        kernels::get<T>().product(
            product<T>({rows, s.n, s.k}, {av.data + row * av.row, av.row, av.col}, bv, parts.data() + row * s.n, s.n));
        row += rows;
      }
      REQUIRE(row == s.m);
      CHECK(first_difference(whole, parts) == -1);
    }
  }
}

TEST_CASE_TEMPLATE("a contiguous column equals reference chains bit for bit", T, float, double) {
  const Shape s{205, 1, 270};
  const Operand<T> a(s.m, s.k, 9), b(s.k, s.n, 10);
  const Guarded<T> bias(numbers<T>(s.n, 11));
  const auto before = numbers<T>(s.m, 12);
  for (const bool turned : {false, true}) {
    const auto av = a.view(turned), bv = b.view(false);
    const Guarded<T> plain(s.m), added(before);
    auto p = product(s, av, bv, plain.data(), s.n);
    p.bias = bias.data();
    kernels::get<T>().product(p);
    CHECK(first_difference(plain.values(), chain_product<T>(s.m, s.n, s.k, av, bv, bias.data())) == -1);
    p = product(s, av, bv, added.data(), s.n);
    p.accumulate = true;
    kernels::get<T>().blocked_product(p);
    CHECK(first_difference(added.values(), chain_blocked(s.m, s.n, s.k, av, bv, before)) == -1);
    CHECK((plain.intact() && added.intact()));
  }
}

TEST_CASE_TEMPLATE("NaN and infinity stay in their row and column", T, float, double) {
  const Shape s{7, 19, 30};
  for (const T poison : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    for (const bool turned : {false, true}) {
      const Operand<T> a(s.m, s.k, 7), b(s.k, s.n, 8);
      const auto clean = chain_product(s.m, s.n, s.k, a.view(false), b.view(false), static_cast<const T*>(nullptr));
      a.plain[2 * s.k + 4] = a.turned[4 * s.m + 2] = poison;
      b.plain[5 * s.n + 18] = b.turned[18 * s.k + 5] = poison;
      std::vector<T> c(at(s.m * s.n));
      kernels::get<T>().product(product(s, a.view(turned), b.view(turned), c.data(), s.n));
      for (Index i = 0; i < s.m; ++i) {
        for (Index j = 0; j < s.n; ++j) {
          const T got = c[at(i * s.n + j)];
          REQUIRE((i == 2 || j == 18 ? !std::isfinite(got) : same_bits(got, clean[at(i * s.n + j)])));
        }
      }
    }
  }
}
