#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/core/buffer.hpp"
#include "deltaprop/nn/initialise.hpp"
#include "gil.hpp"

namespace deltaprop::python {

void bind_init(py::module_& m) {
  m.def(
      "initial_values",
      [](const std::string& name, std::vector<double> options, const std::vector<Index>& shape, std::uint64_t seed) {
        const nn::Initialiser init(name, std::move(options));
        py::array_t<double> values = fresh<double>({element_count(shape)});
        double* data = values.mutable_data();
        {
          const WithoutGil released;
          init.fill(Random(seed, Purpose::initialise), shape, data);
        }
        return values;
      },
      py::arg("name"), py::arg("options"), py::arg("shape"), py::arg("seed"));
}

}  // namespace deltaprop::python
