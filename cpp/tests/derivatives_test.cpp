// Derivatives of inference.
#include <doctest/doctest.h>

#include <thread>

#include "differences.hpp"
#include "trees.hpp"

using namespace deltaprop;
using namespace deltaprop::testing;
using runtime::Model;

namespace {

/// Adds to its gradient in the backward pass, like layers written in Python.
class Adder final : public nn::BothPrecisions<Adder> {
 public:
  std::string describe() const override { return "Adder()"; }
  std::vector<ParameterShape> parameters() const override { return {{"w", {1}}}; }
  bool always_backward() const override { return true; }
  template <class T>
  void run_forward(const nn::Forward<T>& f) const {
    std::copy_n(f.x.data, f.x.size(), f.y.data);
  }
  template <class T>
  void run_backward(const nn::Backward<T>& b) const {
    ++runs;
    b.gradients[0] = b.accumulate ? b.gradients[0] + 1 : 1;
    std::copy_n(b.delta_y.data, b.delta_y.size(), b.delta_x.data);
  }
  mutable int runs = 0;
};

/// d(sum over rows of one output feature)/d(inputs) for each (output, feature): as rows are independent, this is the
/// derivative of each row.
using Jacobian = std::vector<std::vector<std::vector<double>>>;

Jacobian analytic(Model<double>& model, const train::Inputs& x, const std::vector<Index>& out) {
  Jacobian all;
  Index expected_output = 0, expected_feature = 0;
  model.jacobian(
      x,
      [&](Index output, Index feature, const std::vector<Matrix<const double>>& inputs) {
        CHECK(output == expected_output);
        CHECK(feature == expected_feature);
        if (++expected_feature == out[at(output)]) ++expected_output, expected_feature = 0;
        all.emplace_back();
        for (const auto& d : inputs) all.back().emplace_back(d.data, d.data + d.size());
      },
      [] {});
  CHECK(expected_output == static_cast<Index>(out.size()));
  return all;
}

Jacobian numeric(const Model<double>& model, Tables<double>& tables) {
  Jacobian all;
  for (std::size_t k = 0; k < tables.out.size(); ++k) {
    for (Index feature = 0; feature < tables.out[k]; ++feature) {
      const auto sum = [&] {
        const auto y = inferred(model, tables.inputs())[k];
        double total = 0;
        for (Index i = 0; i < tables.rows; ++i) total += y[at(i * tables.out[k] + feature)];
        return total;
      };
      all.emplace_back();
      for (auto& x : tables.x) {
        all.back().emplace_back();
        for (double& v : x) all.back().back().push_back(difference(v, sum));
      }
    }
  }
  return all;
}

double worst(const Jacobian& a, const Jacobian& b) {
  double error = a.size() == b.size() ? 0 : 1;
  for (std::size_t f = 0; f < a.size(); ++f) {
    for (std::size_t k = 0; k < a[f].size(); ++k) {
      for (std::size_t i = 0; i < a[f][k].size(); ++i) {
        error = std::max(error, relative_error(a[f][k][i], b.at(f).at(k).at(i)));
      }
    }
  }
  return error;
}

void spoil_gradients(const Model<double>& model) {
  const auto& p = *model.network().parameters();
  std::fill_n(p.gradients.data(), p.size(), 7.0);
}

}  // namespace

TEST_CASE("the jacobian of every tree agrees with finite differences and leaves the gradients unchanged") {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    Tables<double> tables(3, tree.in, tree.out);
    Model<double> model(tree.block, 3);
    spoil_gradients(model);
    const auto gradients = gradients_of(model);
    const auto values = values_of(model);
    CHECK(worst(analytic(model, tables.inputs(), tree.out), numeric(model, tables)) < 1e-6);
    CHECK(gradients_of(model) == gradients);
    CHECK(values_of(model) == values);
    CHECK(model.passes == 0);
  }
}

TEST_CASE("the input gradient agrees with finite differences, with and without frozen layers") {
  for (const Tree& tree : trees()) {
    CAPTURE(tree.name);
    Tables<double> tables(3, tree.in, tree.out);
    Model<double> model(tree.block, 3);
    for (Index i = 0; i < model.network().size(); ++i) model.set_frozen(i, true);
    // J = sum of y^2 / 2, whose delta is y.
    const auto loss = [&] {
      double sum = 0;
      for (const auto& y : inferred(model, tables.inputs())) {
        for (const double v : y) sum += v * v / 2;
      }
      return sum;
    };
    std::vector<std::vector<double>> found;
    model.input_gradient(
        tables.inputs(),
        [](const std::vector<Matrix<const double>>& outputs, const std::vector<Matrix<double>>& deltas) {
          for (std::size_t k = 0; k < outputs.size(); ++k)
            std::copy_n(outputs[k].data, outputs[k].size(), deltas[k].data);
        },
        [&](const std::vector<Matrix<const double>>& inputs) {
          for (const auto& d : inputs) found.emplace_back(d.data, d.data + d.size());
        });
    REQUIRE(found.size() == tables.x.size());
    for (std::size_t k = 0; k < found.size(); ++k) {
      for (std::size_t i = 0; i < found[k].size(); ++i) {
        CHECK(relative_error(found[k][i], difference(tables.x[k][i], loss)) < 1e-6);
      }
    }
  }
}

TEST_CASE("derivatives use the running statistics and do not update them") {
  Tables<double> tables(3, {2}, {2});
  Model<double> model(sequential(std::make_shared<Centre>(2), linear(2, 2)), 1);
  const auto buffers = buffers_of(model);
  const Jacobian jacobian = analytic(model, tables.inputs(), {2});
  CHECK(worst(jacobian, numeric(model, tables)) < 1e-6);
  CHECK(buffers_of(model) == buffers);
}

TEST_CASE("gradients that a layer adds in backward are restored") {
  const Tables<double> tables(3, {2}, {2});
  const auto adder = std::make_shared<Adder>();
  Model<double> model(sequential(adder, activation("Tanh")), 1);
  spoil_gradients(model);
  analytic(model, tables.inputs(), {2});
  CHECK(adder->runs == 2);
  CHECK(gradients_of(model) == std::vector<double>{7});
}

TEST_CASE("an exception during a jacobian leaves the gradients and a manual pass intact") {
  const Tables<double> tables(3, {2}, {2});
  Model<double> model(Layers{linear(2, 2)}, 1), other(Layers{linear(2, 2)}, 1);
  const auto run_eval_with_grad = [&] {
    model.jacobian(tables.inputs(), [](Index, Index, const auto&) { throw std::out_of_range("mine"); }, [] {});
  };
  model.forward(tables.inputs());
  CHECK_THROWS_WITH_AS(run_eval_with_grad(), "mine", std::out_of_range);
  model.backward(tables.outputs());
  other.forward(tables.inputs());
  other.backward(tables.outputs());
  CHECK(gradients_of(model) == gradients_of(other));
  int calls = 0;
  const InterruptCheck check_interrupt = [&] {
    if (++calls == 2) throw std::out_of_range("between");
  };
  CHECK_THROWS_WITH_AS(
      model.jacobian(tables.inputs(), [](Index, Index, const auto&) {}, check_interrupt), "between", std::out_of_range);
  CHECK(gradients_of(model) == gradients_of(other));
}

TEST_CASE("callbacks of fit may compute derivatives, concurrent calls may not") {
  const Set<double> set(20, 2, 2);
  Model<double> model({linear(2, 5), activation("Tanh"), linear(5, 2)}, 1);
  auto rule = optimizer(model, "SGD", sgd_options(0.1));
  bool asked = false;
  fit(model, rule, squared_error(), set.values(), {.size = 5},
      {.epochs = 2, .epoch_end = [&](const auto&) {
         asked = true;
         CHECK(analytic(model, set.values().x, {2}).size() == 2);
         bool refused = false;
         std::thread([&] {
           try {
             model.jacobian(set.values().x, [](Index, Index, const auto&) {}, [] {});
           } catch (const std::runtime_error&) {
             refused = true;
           }
         }).join();
         CHECK(refused);
         return false;
       }});
  CHECK(asked);
  Model<double> unwatched({linear(2, 5), activation("Tanh"), linear(5, 2)}, 1);
  auto unwatched_rule = optimizer(unwatched, "SGD", sgd_options(0.1));
  fit(unwatched, unwatched_rule, squared_error(), set.values(), {.size = 5}, {.epochs = 2});
  CHECK(first_difference(values_of(model), values_of(unwatched)) == -1);
}
