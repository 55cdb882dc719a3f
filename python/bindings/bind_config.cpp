#include <pybind11/stl.h>

#include "bindings.hpp"
#include "deltaprop/core/threads.hpp"
#include "deltaprop/kernels/load.hpp"

namespace py = pybind11;

namespace deltaprop::python {

void bind_config(py::module_& m) {
  m.def("config", [] {
    const auto& choice = kernels::choice();
    py::dict d;
    d["instruction_set"] = choice.name;
    d["chosen_by"] = choice.forced ? "DELTAPROP_ISA" : "CPU";
    d["available"] = choice.available;
    d["built"] = choice.built;
    d["threads"] = threads::count();
    d["compiler"] = DELTAPROP_COMPILER;
    d["build_type"] = DELTAPROP_BUILD_TYPE;
    d["eigen"] = DELTAPROP_EIGEN;
    return d;
  });
  m.attr("MAX_THREADS") = threads::kMax;
  m.def("num_threads", &threads::count);
  m.def("set_num_threads", &threads::set_count, py::arg("count"));
  m.def("set_operations_per_thread", &threads::set_operations_per_thread, py::arg("operations"));
}

}  // namespace deltaprop::python
