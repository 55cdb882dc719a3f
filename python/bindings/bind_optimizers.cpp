#include <pybind11/stl.h>

#include <memory>

#include "access.hpp"
#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/runtime/model.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

namespace py = pybind11;

/// A parameter's range of one of the optimizer's buffers, as a writable array in the parameter's shape; None if the
/// buffer is not allocated.
template <class T>
py::object run_of(const Buffer<T>& buffer, const Parameter& p) {
  if (buffer.size() == 0) return py::none();
  return view(buffer.data() + p.range.begin, p.shape.shape, p.shape.transposed, true, keep(buffer.owner()));
}

template <class T>
std::shared_ptr<optim::Optimizer<T>> make_optimizer(
    const std::string& rule, const runtime::Model<T>& model,
    const std::vector<std::pair<std::vector<Index>, optim::Options>>& groups) {
  const auto& parameters = model.network().parameters();
  std::vector<optim::Group> list;
  for (const auto& [members, options] : groups) {
    for (const Index p : members) {
      if (p < 0 || p >= static_cast<Index>(parameters->list.size())) throw py::index_error("no such parameter");
    }
    list.push_back({members, options});
  }
  if (list.empty()) throw ValueError(rule + ": expected one group of parameters or more, got none");
  return std::make_shared<optim::Optimizer<T>>(optim::find_rule(rule), parameters, std::move(list));
}

template <class T>
using OptimizerClass = py::class_<optim::Optimizer<T>, std::shared_ptr<optim::Optimizer<T>>>;

template <class T>
OptimizerClass<T> bind_optimizer(py::module_& m, const char* name) {
  using O = optim::Optimizer<T>;
  const auto checked = [](const O& o, Index group) {
    if (group < 0 || group >= o.groups()) throw py::index_error("no such group");
    return group;
  };
  OptimizerClass<T> optimizer(m, name);
  optimizer.def(py::init(&make_optimizer<T>), py::arg("rule"), py::arg("network"), py::arg("groups"))
      .def(
          "options", [checked](const O& o, Index group) { return o.group(checked(o, group)).options; },
          py::arg("group"))
      .def(
          "set_options",
          [checked](O& o, Index group, optim::Options options) {
            o.set_options(checked(o, group), std::move(options));
          },
          py::arg("group"), py::arg("options"))
      .def(
          "check_options", [](const O& o, const optim::Options& options) { o.rule().check(options); },
          py::arg("options"))
      .def("global_options",
           [](const O& o) {
             return std::make_tuple(o.global_options().clip_norm, o.global_options().clip_value,
                                    o.global_options().ema_decay);
           })
      .def(
          "set_global_options",
          [](O& o, std::optional<double> clip_norm, std::optional<double> clip_value, std::optional<double> ema_decay) {
            o.set_global_options({clip_norm, clip_value, ema_decay});
          },
          py::arg("clip_norm"), py::arg("clip_value"), py::arg("ema_decay"))
      .def("step",
           [](O& o) {
             const WithoutGil released;
             o.step();
           })
      .def("zero_grad", &O::zero_grad)
      .def("swap_in_ema", &O::swap_in_ema)
      .def("swap_out_ema", &O::swap_out_ema)
      .def(
          "access",
          [](const std::shared_ptr<O>& o, const char* call) {
            return std::make_unique<HeldAccess>(nn::find_call(call, true), o->guards(), o);
          },
          py::arg("call"));
  return optimizer;
}

/// The state of a parameter, as state dictionaries hold it.
template <class T>
void bind_state(OptimizerClass<T>& optimizer) {
  using O = optim::Optimizer<T>;
  const auto parameter = [](const O& o, Index i) -> const Parameter& {
    return o.parameters()->list.at(static_cast<std::size_t>(i));
  };
  optimizer
      .def("scalars",
           [](const O& o) { return std::vector<std::string>(o.rule().scalars.begin(), o.rule().scalars.end()); })
      .def(
          "states",
          [](const O& o, const optim::Options& options) {
            std::vector<std::pair<std::string, bool>> list;
            for (const optim::State& s : o.rule().states) list.emplace_back(s.name, s.needed(options));
            return list;
          },
          py::arg("options"))
      .def(
          "step_state",
          [](const O& o, Index i) {
            const optim::StepState& c = o.step_state(i);
            return std::make_tuple(c.step, c.scalars, o.averaged(i));
          },
          py::arg("parameter"))
      .def(
          "set_step_state",
          [](O& o, Index i, std::int64_t step, const std::array<double, 2>& scalars, bool averaged) {
            o.set_step_state(i, {step, scalars}, averaged);
          },
          py::arg("parameter"), py::arg("step"), py::arg("scalars"), py::arg("averaged"))
      .def(
          "state",
          [parameter](O& o, Index state, Index i, bool make) { return run_of(o.state(state, make), parameter(o, i)); },
          py::arg("state"), py::arg("parameter"), py::arg("make"))
      .def(
          "average", [parameter](O& o, Index i, bool make) { return run_of(o.averages(make), parameter(o, i)); },
          py::arg("parameter"), py::arg("make"));
}

template <class T>
void bind_optimizer_as(py::module_& m, const char* name) {
  OptimizerClass<T> optimizer = bind_optimizer<T>(m, name);
  bind_state(optimizer);
}

}  // namespace

void bind_optimizers(py::module_& m) {
  bind_optimizer_as<float>(m, "Optimizer32");
  bind_optimizer_as<double>(m, "Optimizer64");
}

}  // namespace deltaprop::python
