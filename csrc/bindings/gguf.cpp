// The GGUF reader: metadata as Python and NumPy values, the tensor table, nothing of the weights.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <memory>

#include "bindings.h"
#include "gguf/reader.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

using gguf::GGUFFile;
using gguf::NumberArray;
using gguf::StringArray;
using gguf::Tensor;
using gguf::Value;
using gguf::ValueType;

/// UTF-8 to str; bytes that are none become lone surrogates, from which os.fsencode-like calls get them back.
py::str to_str(std::string_view text) {
  PyObject* str = PyUnicode_DecodeUTF8(text.data(), Py_ssize_t(text.size()), "surrogateescape");
  if (!str) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(str);
}

py::list to_list(const StringArray& strings) {
  py::list list(size_t(strings.size()));
  for (int64_t i = 0; i < strings.size(); ++i) PyList_SET_ITEM(list.ptr(), i, to_str(strings[i]).release().ptr());
  return list;
}

py::array to_numpy(const NumberArray& numbers) {
  static const char* const dtypes[] = {"u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?", "", "", "<u8", "<i8", "<f8"};
  return py::array(py::dtype(dtypes[size_t(numbers.element)]), {py::ssize_t(numbers.size())}, numbers.bytes.data());
}

struct ToPython {
  py::object operator()(uint64_t v) const { return py::int_(v); }
  py::object operator()(int64_t v) const { return py::int_(v); }
  py::object operator()(double v) const { return py::float_(v); }
  py::object operator()(bool v) const { return py::bool_(v); }
  py::object operator()(const std::string& v) const { return to_str(v); }
  py::object operator()(const NumberArray& v) const { return to_numpy(v); }
  py::object operator()(const StringArray& v) const { return to_list(v); }
};

std::unique_ptr<GGUFFile> open(const py::object& path) {
  // str, bytes or os.PathLike, as open() takes them; ValueError for a NUL inside.
  PyObject* encoded = nullptr;
  if (!PyUnicode_FSConverter(path.ptr(), &encoded)) throw py::error_already_set();
  const std::string bytes = py::reinterpret_steal<py::bytes>(encoded);
  py::gil_scoped_release release;
  return std::make_unique<GGUFFile>(bytes);
}

py::str path_of(const GGUFFile& file) {
  const std::string& path = file.file.path();
  return py::reinterpret_steal<py::str>(PyUnicode_DecodeFSDefaultAndSize(path.data(), Py_ssize_t(path.size())));
}

const Value& value_of(const GGUFFile& file, const std::string& key) {
  const Value* value = file.header.find(key);
  if (!value) throw py::key_error(key);
  return *value;
}

int64_t length_of(const GGUFFile& file, const std::string& key) {
  const Value& value = value_of(file, key);
  if (const auto* strings = std::get_if<StringArray>(&value.data)) return strings->size();
  if (const auto* numbers = std::get_if<NumberArray>(&value.data)) return numbers->size();
  return 1;
}

void bind_strings(py::module_& m) {
  py::class_<StringArray>(m, "Strings", "An array of strings, seen where the file's metadata hold it.")
      .def("__len__", &StringArray::size)
      .def(
          "__getitem__",
          [](const StringArray& strings, int64_t i) {
            if (i < 0 || i >= strings.size()) throw py::index_error();
            return py::bytes(strings[i].data(), strings[i].size());
          },
          py::arg("index"));
}

void bind_tensor(py::module_& m) {
  py::class_<Tensor>(m, "GGUFTensor", "One entry of a GGUF file's tensor table.")
      .def_property_readonly("name", [](const Tensor& t) { return to_str(t.name); })
      .def_property_readonly(
          "shape",
          [](const Tensor& t) -> py::typing::Tuple<py::int_, py::ellipsis> {
            return py::tuple(py::cast(std::vector<int64_t>(t.shape, t.shape + t.n_dims)));
          },
          "Elements in each dimension; the first is the length of a row.")
      .def_property_readonly(
          "type", [](const Tensor& t) { return t.type->number; }, "ggml's number of the type.")
      .def_property_readonly("type_name", [](const Tensor& t) { return t.type->name; })
      .def_readonly("offset", &Tensor::offset, "Position of the first byte in the file.")
      .def_readonly("nbytes", &Tensor::nbytes);
}

} // namespace

void bind_gguf(py::module_& m) {
  bind_strings(m);
  bind_tensor(m);
  py::class_<GGUFFile>(m, "GGUFFile", "A GGUF file, open, with its metadata and tensor table read and checked.")
      .def(py::init(&open), py::arg("path"))
      .def_property_readonly("path", &path_of)
      .def_property_readonly("version", [](const GGUFFile& f) { return f.header.version; })
      .def_property_readonly(
          "size", [](const GGUFFile& f) { return f.file.size(); }, "Bytes in the file.")
      .def_property_readonly("alignment", [](const GGUFFile& f) { return f.header.alignment; })
      .def_property_readonly(
          "data_offset", [](const GGUFFile& f) { return f.header.data_offset; }, "Where the tensor data begin.")
      .def_property_readonly(
          "data_end", [](const GGUFFile& f) { return f.header.data_end; },
          "Where the last tensor ends, its padding included.")
      .def_property_readonly(
          "tensors", [](const GGUFFile& f) { return f.header.tensors; }, "The tensor table, in the order of the file.")
      .def(
          "keys",
          [](const GGUFFile& f) {
            py::typing::List<py::str> keys;
            for (const auto& entry : f.header.entries) keys.append(to_str(entry.key));
            return keys;
          },
          "Metadata keys, in the order of the file.")
      .def(
          "get",
          [](const GGUFFile& f, const std::string& key) -> py::object {
            const Value* value = f.header.find(key);
            if (!value) return py::none();
            return std::visit(ToPython{}, value->data);
          },
          py::arg("key"),
          "The value: int, float, bool, str, a list of str or a NumPy array of numbers; None if there is none.")
      .def(
          "strings", [](const GGUFFile& f, const std::string& key) -> const StringArray& { return f.strings(key); },
          py::arg("key"), py::return_value_policy::reference_internal, "An array of strings as bytes, not copied.")
      .def(
          "kind", [](const GGUFFile& f, const std::string& key) { return value_of(f, key).kind(); }, py::arg("key"),
          "The type of a value: 'u32', 'str', 'arr[f32]'. KeyError if there is none.")
      .def(
          "offset_of", [](const GGUFFile& f, const std::string& key) { return value_of(f, key).offset; },
          py::arg("key"), "Where in the file a value stands. KeyError if there is none.")
      .def("length", &length_of, py::arg("key"),
           "How many elements an array has; 1 for any other value. KeyError if there is none.")
      .def(
          "check_unchanged", [](const GGUFFile& f) { f.file.check_unchanged(); },
          "Raise ModelFormatError if the file has changed since it was opened.")
      .def(
          "close", [](GGUFFile& f) { f.file.close(); },
          "Give the file descriptor back. Metadata and tensor table stay.");
}

} // namespace nextoken::bindings
