#include <pybind11/stl.h>

#include "access.hpp"
#include "bindings.hpp"

namespace deltaprop::python {

namespace py = pybind11;

void bind_access(py::module_& m) {
  py::class_<HeldAccess>(m, "Access")
      .def("__enter__",
           [](py::object self) {
             self.cast<HeldAccess&>().enter();
             return self;
           })
      .def("__exit__", [](HeldAccess& access, const py::args&) { access.exit(); });
  m.def("access_table", [] {
    py::list table;
    for (const nn::Verdict& v : nn::access_table()) {
      table.append(py::make_tuple(v.state, v.calls, v.same_thread, v.other_thread));
    }
    return table;
  });
}

}  // namespace deltaprop::python
