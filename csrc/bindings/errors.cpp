// Native exceptions become the Python classes of nextoken.errors.
#include "base/errors.h"

#include <cstring>

#include "bindings.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

py::object text(const std::string& bytes) {
  return py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(bytes.data(), Py_ssize_t(bytes.size()), "replace"));
}

py::object path_or_none(const std::string& bytes) {
  if (bytes.empty()) return py::none();
  return py::reinterpret_steal<py::object>(PyUnicode_DecodeFSDefaultAndSize(bytes.data(), Py_ssize_t(bytes.size())));
}

py::object offset_or_none(int64_t offset) { return offset < 0 ? py::object(py::none()) : py::object(py::int_(offset)); }

void raise(const char* name, const std::string& message, py::dict fields = {}) {
  const py::object type = py::module_::import("nextoken.errors").attr(name);
  const py::object error = type(text(message), **fields);
  PyErr_SetObject(type.ptr(), error.ptr());
}

py::dict format_fields(const FormatError& e) {
  return py::dict(py::arg("path") = path_or_none(e.path), py::arg("field") = text(e.field),
                  py::arg("offset") = offset_or_none(e.offset));
}

void translate(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const TruncatedError& e) {
    py::dict fields = format_fields(e);
    fields["expected"] = e.expected;
    fields["actual"] = e.actual;
    raise("ModelTruncatedError", e.what(), fields);
  } catch (const FormatError& e) {
    raise("ModelFormatError", e.what(), format_fields(e));
  } catch (const UnsupportedError& e) {
    raise("UnsupportedModelError", e.what());
  } catch (const TokenizerError& e) {
    raise("TokenizerError", e.what());
  } catch (const ContextLengthError& e) {
    raise("ContextLengthError", e.what(), py::dict(py::arg("n_prompt") = e.n_prompt, py::arg("n_ctx") = e.n_ctx));
  } catch (const NumericalError& e) {
    raise("NumericalError", e.what());
  } catch (const ClosedError& e) {
    raise("ClosedError", e.what());
  } catch (const CancelledError& e) {
    raise("Cancelled", e.what());
  } catch (const ForkedError& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (const FileError& e) {
    // OSError(errno, text, filename) picks FileNotFoundError, PermissionError and the like by itself.
    const py::object error =
        py::reinterpret_borrow<py::object>(PyExc_OSError)(e.code, std::strerror(e.code), path_or_none(e.path));
    PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
  } catch (const OutOfMemory& e) {
    PyErr_SetString(PyExc_MemoryError, e.what());
  }
}

} // namespace

void bind_errors(py::module_&) { py::register_local_exception_translator(translate); }

} // namespace nextoken::bindings
