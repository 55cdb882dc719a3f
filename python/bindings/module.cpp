#include "bindings.hpp"

#include <pybind11/pybind11.h>

#include <stdexcept>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/threads.hpp"
#include "deltaprop/kernels/load.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of deltaprop; its public face is the package around it.";
  try {
    deltaprop::kernels::load();
    deltaprop::threads::count();
  } catch (const std::runtime_error& e) {
    throw py::import_error(e.what());
  }
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const deltaprop::ValueError& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const deltaprop::TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    } catch (const deltaprop::NotFinite& e) {
      PyErr_SetString(PyExc_FloatingPointError, e.what());
    }
  });
  deltaprop::python::bind_config(m);
  deltaprop::python::bind_graph(m);
  deltaprop::python::bind_options(m);
  deltaprop::python::bind_layers(m);
  deltaprop::python::bind_init(m);
  deltaprop::python::bind_losses(m);
  deltaprop::python::bind_expressions(m);
  deltaprop::python::bind_access(m);
  deltaprop::python::bind_networks(m);
  deltaprop::python::bind_predictor(m);
  deltaprop::python::bind_optimizers(m);
  deltaprop::python::bind_schedules(m);
  deltaprop::python::bind_fit(m);
}
