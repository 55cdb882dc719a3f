#include "deltaprop/core/strided_view.hpp"

#include <doctest/doctest.h>

#include "check.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

/// gather() into guarded memory.
template <class T>
std::vector<T> gathered(const StridedView& source, const std::vector<Index>& order) {
  const Guarded<T> out(static_cast<Index>(order.size()) * source.cols);
  gather<T>(source, order.data(), 0, {out.data(), static_cast<Index>(order.size()), source.cols});
  CHECK(out.intact());
  return out.values();
}

template <class S>
StridedView dense(const std::vector<S>& v, Dtype dtype, Index cols) {
  const auto size = static_cast<Index>(sizeof(S));
  return {reinterpret_cast<const std::byte*>(v.data()),
          dtype,
          static_cast<Index>(v.size()) / cols,
          cols,
          cols * size,
          size};
}

/// Rows 1, 0, 1 of a table of two rows, gathered into each supported type.
template <class S>
void check_dtype(Dtype dtype, const std::vector<S>& v) {
  CAPTURE(static_cast<int>(dtype));
  const auto cols = static_cast<Index>(v.size()) / 2;
  const StridedView source = dense(v, dtype, cols);
  const auto check = [&]<class T>(T) {
    std::vector<T> expected;
    for (const Index row : {1, 0, 1}) {
      for (Index j = 0; j < cols; ++j) expected.push_back(static_cast<T>(v[at(row * cols + j)]));
    }
    CHECK(first_difference(gathered<T>(source, {1, 0, 1}), expected) == -1);
  };
  check(float{});
  check(double{});
  check(std::int64_t{});
}

template <class S>
void check_integer(Dtype dtype) {
  using Limits = std::numeric_limits<S>;
  check_dtype<S>(dtype, {Limits::min(), 0, 1, 7, 100, Limits::max()});
}

}  // namespace

TEST_CASE("gather converts every dtype") {
  check_dtype<std::uint8_t>(Dtype::boolean, {0, 1, 1, 0});
  check_integer<std::int8_t>(Dtype::int8);
  check_integer<std::int16_t>(Dtype::int16);
  check_integer<std::int32_t>(Dtype::int32);
  check_integer<std::int64_t>(Dtype::int64);
  check_integer<std::uint8_t>(Dtype::uint8);
  check_integer<std::uint16_t>(Dtype::uint16);
  check_integer<std::uint32_t>(Dtype::uint32);
  check_dtype<std::uint64_t>(Dtype::uint64, {0, 1, 3, (1ull << 53) + 1, 1ull << 62, (1ull << 63) - 1});
  check_dtype<float>(Dtype::float32, {0.5f, -1.25f, 0x1.fffffep+20f, 3, -4, 1e-40f});
  check_dtype<double>(Dtype::float64, {0.1, -1e10, 1.0 + 0x1p-40, 3, -4, 1e-300});
  check_dtype<long double>(Dtype::longdouble, {0.1L, -1e10L, 1.0L + 0x1p-60L, 3, -4, 1e-300L});
}

TEST_CASE("gather converts normal, subnormal and special float16 values") {
  const std::vector<std::uint16_t> halves{0x3c00, 0xc000, 0x8000, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00};
  const auto got = gathered<double>(dense(halves, Dtype::float16, 9), {0});
  CHECK(got[0] == 1);
  CHECK(got[1] == -2);
  CHECK(same_bits(got[2], -0.0));
  CHECK(got[3] == 0x1p-24);
  CHECK(got[4] == 0x3ffp-24);
  CHECK(got[5] == 65504);
  CHECK(got[6] == std::numeric_limits<double>::infinity());
  CHECK(got[7] == -std::numeric_limits<double>::infinity());
  CHECK(std::isnan(got[8]));
}

TEST_CASE("numbers beyond the range of float32 become infinite") {
  const std::vector<double> v{1e300, -1e300};
  const auto got = gathered<float>(dense(v, Dtype::float64, 2), {0});
  CHECK(got[0] == std::numeric_limits<float>::infinity());
  CHECK(got[1] == -std::numeric_limits<float>::infinity());
}

TEST_CASE_TEMPLATE("gather follows any strides", T, float, double) {
  constexpr Index rows = 5, cols = 40, size = sizeof(T);
  const auto v = numbers<T>(rows * cols, 1);
  const auto* begin = reinterpret_cast<const std::byte*>(v.data());
  const auto expect = [&](const StridedView& source, auto&& element) {
    std::vector<T> expected;
    for (Index i = 0; i < source.rows; ++i) {
      for (Index j = 0; j < source.cols; ++j) expected.push_back(v[at(element(i, j))]);
    }
    std::vector<Index> order(at(source.rows));
    for (Index i = 0; i < source.rows; ++i) order[at(i)] = i;
    CHECK(first_difference(gathered<T>(source, order), expected) == -1);
  };
  const Index row = cols * size;
  const auto d = dtype_of<T>();
  for (const Index width : {1, 3, 16, 17, 40}) {  // short and long rows take different paths
    CAPTURE(width);
    expect({begin, d, rows, width, row, size}, [](Index i, Index j) { return i * cols + j; });
    expect({begin + 4 * row, d, rows, width, -row, size}, [](Index i, Index j) { return (4 - i) * cols + j; });
    expect({begin + 39 * size, d, rows, width, row, -size}, [](Index i, Index j) { return i * cols + 39 - j; });
    expect({begin + row, d, rows, width, 0, size}, [](Index, Index j) { return cols + j; });
    expect({begin + size, d, rows, width, row, 0}, [](Index i, Index) { return i * cols + 1; });
    expect({begin, d, 3, std::min<Index>(width, 20), 2 * row, 2 * size},
           [](Index i, Index j) { return 2 * i * cols + 2 * j; });
    expect({begin, d, 30, std::min<Index>(width, rows), size, row}, [](Index i, Index j) { return j * cols + i; });
  }
}

TEST_CASE_TEMPLATE("gather reads unaligned numbers", T, float, double) {
  for (const Index cols : {3, 40}) {
    const auto v = numbers<T>(2 * cols, 2);
    std::vector<std::byte> bytes(v.size() * sizeof(T) + 1);
    std::memcpy(bytes.data() + 1, v.data(), v.size() * sizeof(T));
    const StridedView source{bytes.data() + 1, dtype_of<T>(), 2, cols, cols * static_cast<Index>(sizeof(T)), sizeof(T)};
    CHECK(first_difference(gathered<T>(source, {0, 1}), v) == -1);
    const auto other = gathered<std::int64_t>(source, {0, 1});
    CHECK(std::all_of(other.begin(), other.end(), [](std::int64_t x) { return x == 0 || x == -1; }));
  }
}

TEST_CASE("without an order, rows start at `first`") {
  const auto v = numbers<double>(40, 3);
  for (const Index rows : {3, 15}) {  // a few, and enough for one memcpy
    const Guarded<double> out(2 * rows);
    gather<double>(table(v.data(), 20, 2), nullptr, 4, {out.data(), rows, 2});
    CHECK(first_difference(out.data(), v.data() + 8, 2 * rows) == -1);
    CHECK(out.intact());
  }
}

TEST_CASE("gather accepts views without rows, columns or data") {
  const Guarded<float> out(0);
  gather<float>(StridedView{nullptr, Dtype::float32, 0, 3, 12, 4}, nullptr, 0, {out.data(), 0, 3});
  const float x = 1;
  gather<float>(StridedView{reinterpret_cast<const std::byte*>(&x), Dtype::float32, 1, 0, 4, 4}, nullptr, 0,
                {out.data(), 1, 0});
  CHECK(out.intact());
}

TEST_CASE("is_floating holds for the floating-point dtypes") {
  CHECK(is_floating(Dtype::float16));
  CHECK(is_floating(Dtype::float32));
  CHECK(is_floating(Dtype::float64));
  CHECK(is_floating(Dtype::longdouble));
  CHECK_FALSE(is_floating(Dtype::boolean));
  CHECK_FALSE(is_floating(Dtype::int64));
  CHECK_FALSE(is_floating(Dtype::uint8));
}
