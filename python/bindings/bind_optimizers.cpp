#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deltaprop/core/errors.hpp"
#include "deltaprop/optim/optimizer.hpp"
#include "deltaprop/train/model.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

namespace py = pybind11;

template <class T>
void bind_optimizer(py::module_& m, const char* name) {
  using O = optim::Optimizer<T>;
  const auto checked = [](const O& o, Index group) {
    if (group < 0 || group >= o.groups()) throw py::index_error("no such group");
    return group;
  };
  py::class_<O, std::shared_ptr<O>>(m, name)
      .def(py::init([](const std::string& rule, const train::Model<T>& model,
                       const std::vector<std::pair<std::vector<Index>, optim::Options>>& groups) {
             const auto& parameters = model.network().parameters();
             auto made = optim::make_rule(rule);
             std::vector<optim::Group> list;
             for (const auto& [members, options] : groups) {
               for (const Index p : members) {
                 if (p < 0 || p >= static_cast<Index>(parameters->list.size()))
                   throw py::index_error("no such parameter");
               }
               if (options.size() != made->options().size()) throw ValueError(rule + ": wrong number of options");
               list.push_back({members, options});
             }
             if (list.empty()) throw ValueError(rule + ": expected one group of parameters or more, got none");
             return std::make_shared<O>(std::move(made), parameters, std::move(list));
           }),
           py::arg("rule"), py::arg("network"), py::arg("groups"))
      .def(
          "options", [checked](const O& o, Index group) { return o.group(checked(o, group)).options; },
          py::arg("group"))
      .def(
          "set_options",
          [checked](O& o, Index group, optim::Options options) {
            if (options.size() != o.rule().options().size()) throw ValueError("wrong number of options");
            o.set_options(checked(o, group), std::move(options));
          },
          py::arg("group"), py::arg("options"))
      .def("step",
           [](O& o) {
             const WithoutGil released;
             o.step();
           })
      .def("zero_grad", &O::zero_grad);
}

}  // namespace

void bind_optimizers(py::module_& m) {
  bind_optimizer<float>(m, "Optimizer32");
  bind_optimizer<double>(m, "Optimizer64");
}

}  // namespace deltaprop::python
