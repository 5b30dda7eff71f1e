// The list of weight types, and the checks that all of them share.
#include "quant/pack.h"

#include <cstring>
#include <string>
#include <vector>

#include "base/errors.h"
#include "quant/format.h"

namespace nextoken::quant {
namespace {

const Format* const FORMATS[] = {&F32,     &F16,   &BF16,   &Q8_0,   &Q4_0,  &Q4_1,  &Q5_0,    &Q5_1,   &Q2_K,
                                 &Q3_K,    &Q4_K,  &Q5_K,   &Q6_K,   &IQ1_S, &IQ1_M, &IQ2_XXS, &IQ2_XS, &IQ2_S,
                                 &IQ3_XXS, &IQ3_S, &IQ4_NL, &IQ4_XS, &TQ1_0, &TQ2_0, &MXFP4,   &NVFP4,  &F64};

const Format& format(WeightType type) {
  for (const Format* f : FORMATS)
    if (f->info.type == type) return *f;
  throw UnsupportedError("weight type " + std::to_string((int32_t)type) + " is none that nextoken multiplies with");
}

const Format& format_for(WeightType type, int64_t n) {
  const Format& f = format(type);
  if (n < 0 || n % f.info.block_size != 0)
    throw UnsupportedError(std::to_string(n) + " elements are no multiple of " + std::to_string(f.info.block_size) +
                           ", the block of " + f.info.name);
  return f;
}

} // namespace

std::vector<WeightType> weight_types() {
  std::vector<WeightType> types;
  for (const Format* f : FORMATS)
    if (f->pack) types.push_back(f->info.type);
  return types;
}

const TypeInfo& type_info(WeightType type) { return format(type).info; }

bool can_quantize(WeightType type) { return format(type).quantize != nullptr; }

int64_t panel_bytes(WeightType type, int64_t k) { return format_for(type, k).panel_bytes(k); }

bool pack_panel(WeightType type, const uint8_t* rows, int64_t n_rows, int64_t k, uint8_t* panel) {
  const Format& f = format_for(type, k);
  if (!f.pack) throw UnsupportedError(std::string("weights of type ") + f.info.name + " are multiplied as F32");
  if (n_rows < PANEL_ROWS) std::memset(panel, 0, (size_t)f.panel_bytes(k));
  return f.pack(rows, n_rows, k, panel);
}

void dequantize(WeightType type, const uint8_t* bytes, int64_t n, float* out) {
  format_for(type, n).dequantize(bytes, n, out);
}

void quantize(WeightType type, const float* x, int64_t n, uint8_t* bytes) {
  const Format& f = format_for(type, n);
  if (!f.quantize) throw UnsupportedError(std::string("weights of type ") + f.info.name + " are read, not written");
  f.quantize(x, n, bytes);
}

} // namespace nextoken::quant
