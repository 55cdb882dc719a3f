#include <doctest/doctest.h>

#include <string>

#include "check.hpp"
#include "deltaprop/kernels/table.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;

namespace {

template <class T>
const kernels::Activation<T>& functions(const std::string& name) {
  const auto& k = kernels::get<T>();
  return *std::find_if(k.activations, k.activations + k.activation_count,
                       [&](const auto& a) { return name == a.name; });
}

template <class T>
std::vector<T> forward(const std::string& name, const std::vector<T>& x) {
  std::vector<T> y(x.size());
  functions<T>(name).forward(x.data(), y.data(), static_cast<Index>(x.size()));
  return y;
}

template <class T, class Exact>
void check_ulps(const std::string& name, Exact exact, double most) {
  const auto x = wide_range<T>();
  const auto y = forward(name, x);
  double worst = 0;
  T where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double distance = ulps(y[i], exact(static_cast<long double>(x[i])));
    if (distance > worst) worst = distance, where = x[i];
  }
  CAPTURE(where);
  CHECK(worst <= most);
}

}  // namespace

TEST_CASE_TEMPLATE("sigmoid is within 4 ulp", T, float, double) {
  check_ulps<T>("Sigmoid", [](long double x) { return 1 / (1 + std::exp(-x)); }, 4);
  CHECK(forward<T>("Sigmoid", {T(0), T(-0.0)}) == std::vector<T>{T(0.5), T(0.5)});
}

TEST_CASE_TEMPLATE("tanh is within 4 ulp and odd", T, float, double) {
  check_ulps<T>("Tanh", [](long double x) { return std::tanh(x); }, 4);
  const auto x = wide_range<T>();
  std::vector<T> minus_x = x;
  for (T& v : minus_x) v = -v;
  const auto y = forward("Tanh", x), z = forward("Tanh", minus_x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] != 0 && !std::isnan(x[i])) REQUIRE(same_bits(y[i], -z[i]));
  }
}

TEST_CASE_TEMPLATE("tanh of -0 is -0", T, float, double) {
  CHECK(same_bits(forward<T>("Tanh", {T(-0.0)})[0], T(-0.0)));
  CHECK(same_bits(forward<T>("Tanh", {T(0)})[0], T(0)));
}

TEST_CASE_TEMPLATE("sigmoid and tanh stay within their range", T, float, double) {
  std::vector<T> x;
  for (int i = -4000; i <= 4000; ++i) x.push_back(static_cast<T>(i) / 100);
  const auto s = forward("Sigmoid", x), t = forward("Tanh", x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE((s[i] >= 0 && s[i] <= 1));
    REQUIRE((t[i] >= -1 && t[i] <= 1));
  }
}

TEST_CASE_TEMPLATE("relu and identity are exact", T, float, double) {
  const auto x = wide_range<T>();
  const auto relu = forward("ReLU", x);
  CHECK(first_difference(forward("Identity", x), x) == -1);
  for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(same_bits(relu[i], x[i] < 0 ? T(0) : x[i]));
}

TEST_CASE_TEMPLATE("derivatives are their formulas to the bit", T, float, double) {
  const auto x = numbers<T>(101, 1), dy = numbers<T>(101, 2);
  const auto check = [&](const std::string& name, auto expected) {
    CAPTURE(name);
    const auto y = forward(name, x);
    std::vector<T> dx(x.size());
    functions<T>(name).backward(x.data(), y.data(), dy.data(), dx.data(), static_cast<Index>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(same_bits(dx[i], expected(x[i], y[i], dy[i])));
  };
  check("Identity", [](T, T, T d) { return d; });
  check("Sigmoid", [](T, T v, T d) { return d * (v * (1 - v)); });
  check("Tanh", [](T, T v, T d) { return d * ((1 - v) * (1 + v)); });
  check("ReLU", [](T u, T, T d) { return u > 0 ? d : T(0); });
  T dx = 1;
  const T zero = 0, one = 1;
  functions<T>("ReLU").backward(&zero, &zero, &one, &dx, 1);
  CHECK(dx == 0);
}

TEST_CASE_TEMPLATE("an element's bits depend on neither its place nor its neighbours", T, float, double) {
  auto x = numbers<T>(60, 3);
  const auto dy = numbers<T>(60, 4);
  for (T& v : x) v *= 6;
  x[7] = std::numeric_limits<T>::infinity();
  x[20] = std::numeric_limits<T>::denorm_min();
  for (Index k = 0; k < kernels::get<T>().activation_count; ++k) {
    const auto& f = kernels::get<T>().activations[k];
    CAPTURE(f.name);
    std::vector<T> alone(x.size()), delta_alone(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      f.forward(&x[i], &alone[i], 1);
      f.backward(&x[i], &alone[i], &dy[i], &delta_alone[i], 1);
    }
    for (Index offset = 0; offset < 17; ++offset) {
      for (Index n = 0; n <= 40; ++n) {
        const Guarded<T> y(n), dx(n);
        f.forward(x.data() + offset, y.data(), n);
        f.backward(x.data() + offset, y.data(), dy.data() + offset, dx.data(), n);
        REQUIRE(first_difference(y.data(), alone.data() + offset, n) == -1);
        REQUIRE(first_difference(dx.data(), delta_alone.data() + offset, n) == -1);
        REQUIRE(y.intact());
        REQUIRE(dx.intact());
      }
    }
  }
}
