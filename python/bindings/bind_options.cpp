#include <pybind11/stl.h>

#include <algorithm>

#include "bindings.hpp"
#include "deltaprop/core/options.hpp"
#include "deltaprop/nn/activation.hpp"
#include "deltaprop/nn/loss.hpp"
#include "deltaprop/optim/rule.hpp"

namespace deltaprop::python {
namespace {

namespace py = pybind11;

const char* name_of(OptionKind kind) {
  switch (kind) {
    case OptionKind::number: return "number";
    case OptionKind::flag: return "flag";
    case OptionKind::optional: return "optional";
    case OptionKind::columns: return "columns";
    case OptionKind::classes: return "classes";
    case OptionKind::outputs: return "outputs";
    case OptionKind::label: return "label";
  }
  return "";
}

/// The options of an update rule, a loss or an activation: their names differ.
std::vector<Option> options_of(const std::string& name) {
  const auto in = [&](const std::vector<std::string>& names) { return std::ranges::count(names, name) > 0; };
  if (in(nn::activation_names())) {
    const OptionList& list = nn::activation_options(name);
    return {list.begin(), list.end()};
  }
  if (in(nn::loss_names())) {
    const OptionList& list = nn::loss_options(name);
    return {list.begin(), list.end()};
  }
  return optim::find_rule(name).options;
}

}  // namespace

void bind_options(py::module_& m) {
  py::class_<Option>(m, "Option")
      .def_property_readonly("name", [](const Option& o) { return o.name; })
      .def_property_readonly("fallback", [](const Option& o) { return o.fallback; })
      .def_property_readonly("kind", [](const Option& o) { return name_of(o.kind); })
      .def_property_readonly("tuple", [](const Option& o) { return o.tuple; })
      .def_property_readonly("domain", [](const Option& o) { return o.domain->words; })
      .def("holds", [](const Option& o, double value) { return o.domain->holds(value); }, py::arg("value"));
  m.def("options", &options_of, py::arg("name"));
  m.def("activation_names", &nn::activation_names);
  m.def("loss_names", &nn::loss_names);
  m.def("rule_names", &optim::rule_names);
}

}  // namespace deltaprop::python
