// What the bytes of a weight type mean in a file, and how they are laid out for the kernels.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/types.h"

namespace nextoken::quant {

/// Only in files, F32 in memory: no kernel knows it.
constexpr WeightType FILE_F64 = (WeightType)28;

struct TypeInfo {
  WeightType type;
  const char* name;    // "Q4_1"
  int64_t block_size;  // elements
  int64_t block_bytes; // in the file
  ActivationForm form; // what its matmul multiplies with
};

/// All that are multiplied with, the common ones first.
std::vector<WeightType> weight_types();

/// Throws UnsupportedError for a number that is no weight type of ours.
const TypeInfo& type_info(WeightType type);

/// Bytes of one packed panel of 16 rows of k elements, a multiple of 64; of F64 the F32 it becomes.
int64_t panel_bytes(WeightType type, int64_t k);

/// Packs n_rows (1 to 16) consecutive rows as they stand in a file into one panel; missing rows become zeros.
/// Returns false if a scale, or an element of a float type, is not finite.
bool pack_panel(WeightType type, const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel);

/// n elements (a multiple of block_size) from file bytes to float, exactly as the format defines.
void dequantize(WeightType type, const uint8_t* bytes, int64_t n, float* out);

/// Whether floats can be written as this type; some are only read.
bool can_quantize(WeightType type);

/// n elements (a multiple of block_size) to file bytes, as the reference quantiser of the format does.
void quantize(WeightType type, const float* x, int64_t n, uint8_t* bytes);

} // namespace nextoken::quant
