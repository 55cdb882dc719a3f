#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/core/strided_view.hpp"

/// Conversions between NumPy arrays and the core: arrays to strided views, buffers to arrays. No other file does this.
namespace deltaprop::python {

namespace py = pybind11;

/// The type of an object, for messages.
inline std::string type_name(const py::handle& value) {
  return py::str(py::type::of(value).attr("__name__")).cast<std::string>();
}

inline std::vector<Index> shape_of(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

/// TypeError unless the elements are real numbers in native byte order.
inline Dtype dtype_of(const py::array& array, const char* name) {
  const py::dtype dtype = array.dtype();
  const auto size = dtype.itemsize();
  if (dtype.byteorder() != '>') {
    switch (dtype.kind()) {
      case 'b': return Dtype::boolean;
      case 'i': return size == 1 ? Dtype::int8 : size == 2 ? Dtype::int16 : size == 4 ? Dtype::int32 : Dtype::int64;
      case 'u': return size == 1 ? Dtype::uint8 : size == 2 ? Dtype::uint16 : size == 4 ? Dtype::uint32 : Dtype::uint64;
      case 'f':
        return size == 2 ? Dtype::float16 : size == 4 ? Dtype::float32 : size == 8 ? Dtype::float64 : Dtype::longdouble;
      default: break;
    }
  }
  throw TypeError(std::string(name) + ": expected real numbers, got dtype " + py::str(dtype).cast<std::string>());
}

/// The result of a method written in Python as an array in native byte order; null if it is not array-like.
inline py::array returned(const py::object& value) {
  py::array array = value.is_none() ? py::array() : py::array::ensure(value);
  if (value.is_none() || !array) {
    PyErr_Clear();
    return py::reinterpret_steal<py::array>(py::handle());
  }
  if (array.dtype().byteorder() == '>') array = array.attr("astype")(array.dtype().attr("newbyteorder")("="));
  return array;
}

/// TypeError or ValueError unless the result of `name` is an array of this shape.
inline void check_returned(const py::array& array, const py::object& value, const std::vector<Index>& shape,
                           const std::string& name) {
  const std::string expected = name + ": expected an array " + shape_text(shape) + " back, got ";
  if (!array) throw TypeError(expected + type_name(value));
  if (shape_of(array) != shape) throw ValueError(expected + shape_text(shape_of(array)));
}

/// Pins arrays in memory while the core reads them: NumPy does not resize an array that has weak references. Pins their
/// base arrays too.
class Pins {
 public:
  void add(const py::array& array) {
    for (py::object held = array; py::isinstance<py::array>(held);) {
      pins_.emplace_back(held);
      held = py::reinterpret_borrow<py::array>(held).base();
    }
  }
  void add(const std::vector<py::array>& arrays) {
    for (const py::array& array : arrays) add(array);
  }

 private:
  std::vector<py::weakref> pins_;
};

/// View of an array (rows, cols), which must outlive the view.
inline StridedView table(const py::array& array, const char* name) {
  return {static_cast<const std::byte*>(array.data()),
          dtype_of(array, name),
          array.shape(0),
          array.shape(1),
          array.strides(0),
          array.strides(1)};
}
/// View of (cols,) as one row.
inline StridedView row(const py::array& array, const char* name) {
  return {static_cast<const std::byte*>(array.data()), dtype_of(array, name), 1, array.shape(0), 0, array.strides(0)};
}
/// View of (rows,) as one column.
inline StridedView column(const py::array& array, const char* name) {
  return {static_cast<const std::byte*>(array.data()), dtype_of(array, name), array.shape(0), 1, array.strides(0), 0};
}
/// View of () as one element.
inline StridedView cell(const py::array& array, const char* name) {
  return {static_cast<const std::byte*>(array.data()), dtype_of(array, name), 1, 1, 0, 0};
}

/// View of (cols,) or (rows, cols): inputs and outputs.
inline StridedView one_or_more_rows(const py::array& array, const char* name) {
  return array.ndim() == 1 ? row(array, name) : table(array, name);
}

/// The arrays of one input, or of a tuple of inputs.
inline std::vector<py::array> array_or_tuple(const py::object& value) {
  if (!py::isinstance<py::tuple>(value)) return {value.cast<py::array>()};
  std::vector<py::array> list;
  for (const py::handle item : value) list.push_back(item.cast<py::array>());
  return list;
}
/// A single element as it is, several as a tuple.
inline py::object one_or_tuple(const std::vector<py::object>& list) {
  if (list.size() == 1) return list[0];
  py::tuple tuple(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) tuple[i] = list[i];
  return tuple;
}

/// A new array, uninitialised.
template <class T>
py::array_t<T> fresh(const std::vector<Index>& shape) {
  return py::array_t<T>(std::vector<py::ssize_t>(shape.begin(), shape.end()));
}

/// A view of `data`, row-major in `shape` (axes reversed if `transposed`), that keeps `owner` alive.
template <class T>
py::array view(T* data, std::vector<Index> shape, bool transposed, bool writable, const py::object& owner) {
  std::vector<py::ssize_t> sizes(shape.begin(), shape.end());
  std::vector<py::ssize_t> strides(sizes.size());
  py::ssize_t stride = sizeof(T);
  for (std::size_t i = sizes.size(); i-- > 0; stride *= sizes[i]) strides[i] = stride;
  if (transposed) {
    std::reverse(sizes.begin(), sizes.end());
    std::reverse(strides.begin(), strides.end());
  }
  py::array array(py::dtype::of<T>(), sizes, strides, data, owner);
  if (!writable) array.attr("flags").attr("writeable") = false;
  return array;
}

/// An owner that holds a reference to a buffer, for view().
inline py::capsule keep(std::shared_ptr<void> memory) {
  return py::capsule(new std::shared_ptr<void>(std::move(memory)),
                     [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
}

}  // namespace deltaprop::python
