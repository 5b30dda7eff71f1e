// From a file's tensors to a model: planned whole, then read and repacked in parallel straight into final place.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/poll.h"
#include "model/model.h"
#include "model/pass.h"
#include "model/sources.h"

namespace nextoken {

/// `headers`, if not empty, are the files that spec and sources were read from: each path must still lead to its own.
/// `isa` null picks the best; on a `device`, unless that is null. Without `check`, weights need not be finite. Throws
/// FormatError (missing tensors, shapes that do not fit the spec, a file that changes), TruncatedError,
/// UnsupportedError (weight types, what the device does not compute), NumericalError (weights that are not finite),
/// FileError, OutOfMemory, and what poll throws. Nothing refers to the files afterwards.
std::unique_ptr<Model> load_model(const Spec& spec, const TensorSources& sources, const std::vector<std::string>& paths,
                                  const std::vector<const File*>& headers, int n_threads, const char* isa,
                                  Device* device, bool check, Poll* poll, const Progress& progress);

} // namespace nextoken
