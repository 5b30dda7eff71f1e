// nextoken._native.File: a regular file, open, read by position.
#include "base/file.h"

#include <memory>
#include <string>

#include "base/errors.h"
#include "bindings.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

std::unique_ptr<File> open(const py::object& path) {
  PyObject* encoded = nullptr; // str, bytes or os.PathLike, as open() takes them
  if (!PyUnicode_FSConverter(path.ptr(), &encoded)) throw py::error_already_set();
  const std::string bytes = py::reinterpret_steal<py::bytes>(encoded);
  const py::gil_scoped_release release;
  return std::make_unique<File>(bytes);
}

py::bytes read(const File& file, int64_t offset, int64_t n, const std::string& field) {
  if (offset < 0 || n < 0) throw py::value_error("offset and n must not be negative");
  // Before memory is taken for what can not be there.
  if (n > file.size() || offset > file.size() - n) {
    throw TruncatedError(file.path() + ": " + field + " at byte " + std::to_string(offset) + " needs " +
                             std::to_string(n) + " bytes of a file of " + std::to_string(file.size()),
                         field, offset, offset + n, file.size(), file.path());
  }
  std::string bytes((size_t)n, '\0');
  {
    const py::gil_scoped_release release;
    file.read(bytes.data(), bytes.size(), offset, field);
  }
  return bytes;
}

} // namespace

void bind_file(py::module_& m) {
  py::class_<File>(m, "File", "A regular file, open for reading by position; never mapped.")
      .def(py::init(&open), py::arg("path"),
           "Raises OSError, ModelFormatError for what is no regular file, ValueError for a NUL in the path.")
      .def_property_readonly(
          "size", [](const File& f) { return f.size(); }, "Bytes in the file when it was opened.")
      .def("read", &read, py::arg("offset"), py::arg("n"), py::arg("field"),
           "n bytes at offset. ModelTruncatedError, with the field, if the file ends before.")
      .def("close", [](File& f) { f.close(); }, "Give the file descriptor back.");
}

} // namespace nextoken::bindings
