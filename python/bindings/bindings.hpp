#pragma once

#include <pybind11/pybind11.h>

namespace deltaprop::python {

void bind_config(pybind11::module_& m);
void bind_options(pybind11::module_& m);
void bind_layers(pybind11::module_& m);
void bind_init(pybind11::module_& m);
void bind_losses(pybind11::module_& m);
void bind_networks(pybind11::module_& m);
void bind_access(pybind11::module_& m);
void bind_predictor(pybind11::module_& m);
void bind_optimizers(pybind11::module_& m);
void bind_schedules(pybind11::module_& m);
void bind_fit(pybind11::module_& m);
void bind_graph(pybind11::module_& m);
void bind_expressions(pybind11::module_& m);

}  // namespace deltaprop::python
