// From a file's tensors to a model: planned whole, then read and repacked in parallel straight into final place.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/poll.h"
#include "model/model.h"
#include "model/pass.h"

namespace nextoken {

/// Where a tensor lies in the file. shape[0] is the contiguous dimension, as in GGUF.
struct TensorSource {
  std::string name;
  int32_t type = 0; // GGUF's number
  std::vector<int64_t> shape;
  int64_t offset = 0, nbytes = 0;
};

/// Roles: "embedding", "lm_head" (absent if tied), "final_norm", "rope_factors" (optional), and for each layer
/// "layers.3.q", ".k", ".v" or ".qkv" in one, ".o", ".gate", ".up" or ".gate_up" in one, ".down", biases of any of
/// these as ".q_bias", and where the spec has them ".attn_norm", ".ffn_norm", ".q_norm", ".k_norm",
/// ".attn_post_norm", ".ffn_post_norm".
using TensorSources = std::map<std::string, TensorSource>;

/// `header`, if not null, is the file that spec and sources were read from: `path` must still lead to it.
/// `isa` null picks the best; without `check`, weights need not be finite. Throws FormatError (missing tensors, shapes
/// that do not fit the spec, a file that changes), TruncatedError, UnsupportedError (weight types), NumericalError
/// (weights that are not finite), FileError, OutOfMemory, and what poll throws. Nothing refers to the file afterwards.
std::unique_ptr<Model> load_model(const Spec& spec, const TensorSources& sources, const std::string& path,
                                  const File* header, int n_threads, const char* isa, bool check, Poll* poll,
                                  const Progress& progress);

} // namespace nextoken
