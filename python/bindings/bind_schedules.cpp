#include <cmath>

#include "arrays.hpp"
#include "bindings.hpp"

namespace deltaprop::python {

// The C library's functions, element by element: the last bit of NumPy's own depends on the machine, and on whether a
// value is a scalar or an array element.
void bind_schedules(py::module_& m) {
  m.def("cos", py::vectorize([](double x) { return std::cos(x); }), py::arg("x"));
  m.def("power", py::vectorize([](double base, double exponent) { return std::pow(base, exponent); }), py::arg("base"),
        py::arg("exponent"));
}

}  // namespace deltaprop::python
