#include <cmath>

#include "arrays.hpp"
#include "bindings.hpp"

namespace deltaprop::python {

// The C library's functions, number by number: NumPy's own differ in the last bit from machine to machine, and between
// a value alone and the same one in a table.
void bind_schedules(py::module_& m) {
  m.def("cos", py::vectorize([](double x) { return std::cos(x); }), py::arg("x"));
  m.def("power", py::vectorize([](double base, double exponent) { return std::pow(base, exponent); }), py::arg("base"),
        py::arg("exponent"));
}

}  // namespace deltaprop::python
