// Native exceptions become the Python classes of nextoken.errors.
#include "base/errors.h"

#include <cstring>

#include "bindings.h"

namespace py = pybind11;

namespace nextoken::bindings {
namespace {

void raise(const char* name, const std::string& message, py::dict fields = {}) {
  const py::object type = py::module_::import("nextoken.errors").attr(name);
  const py::object error = type(py::str(PyUnicode_DecodeUTF8(message.data(), (Py_ssize_t)message.size(), "replace")), **fields);
  PyErr_SetObject(type.ptr(), error.ptr());
}

py::object offset_of(int64_t offset) { return offset < 0 ? py::object(py::none()) : py::object(py::int_(offset)); }

void translate(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const TruncatedError& e) {
    raise("ModelTruncatedError", e.what(),
          py::dict(py::arg("field") = e.field, py::arg("offset") = offset_of(e.offset),
                   py::arg("expected") = e.expected, py::arg("actual") = e.actual));
  } catch (const FormatError& e) {
    raise("ModelFormatError", e.what(), py::dict(py::arg("field") = e.field, py::arg("offset") = offset_of(e.offset)));
  } catch (const UnsupportedError& e) {
    raise("UnsupportedModelError", e.what());
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
    const py::object error = py::reinterpret_borrow<py::object>(PyExc_OSError)(e.code, std::strerror(e.code), e.path);
    PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
  } catch (const OutOfMemory& e) {
    PyErr_SetString(PyExc_MemoryError, e.what());
  }
}

} // namespace

void bind_errors(py::module_&) { py::register_local_exception_translator(translate); }

} // namespace nextoken::bindings
