#include "kernels/multiply.h"

#include <algorithm>
#include <string>

#include "base/errors.h"
#include "base/float_environment.h"
#include "quant/pack.h"

namespace nextoken {
namespace {

// Activations in the form a type wants, and the memory behind them.
struct Prepared {
  Activations view{};
  Buffer x, codes, scale, scaled_sum, sum;
};

Prepared prepare(const KernelTable& kernels, ActivationForm form, Rows<const float> x) {
  Prepared p;
  Activations& a = p.view;
  a.rows = x.rows;
  a.k = x.cols;
  const int64_t block = form == ActivationForm::q32 ? 32 : 256, n_scales = x.cols / block;
  const int64_t n_sums = x.cols / (form == ActivationForm::q32 ? 32 : 16);
  const char* const what = "activations";
  switch (form) {
    case ActivationForm::f32:
      a.x = x.data;
      a.x_stride = x.stride;
      return p;
    case ActivationForm::bf16:
      a.x_stride = (x.cols + 3) / 4 * 4;
      p.x = Buffer(x.rows * a.x_stride * 4, what);
      for (int64_t t = 0; t < x.rows; ++t) kernels.round_bf16(x[t], x.cols, p.x.as<float>() + t * a.x_stride);
      a.x = p.x.as<float>();
      return p;
    case ActivationForm::q32:
    case ActivationForm::q256:
      break;
  }
  p.codes = Buffer(x.rows * x.cols, what);
  p.scale = Buffer(x.rows * n_scales * 4, what);
  p.scaled_sum = Buffer(x.rows * n_scales * 4, what);
  p.sum = Buffer(x.rows * n_sums * 4, what);
  bool finite = true;
  for (int64_t t = 0; t < x.rows; ++t) {
    int8_t* codes = p.codes.as<int8_t>() + t * x.cols;
    float* scale = p.scale.as<float>() + t * n_scales;
    int32_t* sum = p.sum.as<int32_t>() + t * n_sums;
    finite &= form == ActivationForm::q32
                  ? kernels.quantize_q32(x[t], x.cols, codes, scale, p.scaled_sum.as<float>() + t * n_scales, sum)
                  : kernels.quantize_q256(x[t], x.cols, codes, scale, sum);
  }
  if (!finite) throw NumericalError("x holds NaN or infinity, which has no int8 form");
  a.codes = p.codes.as<int8_t>();
  a.codes_stride = x.cols;
  a.scale = p.scale.as<float>();
  a.scaled_sum = p.scaled_sum.as<float>();
  a.scale_stride = n_scales;
  a.sum = p.sum.as<int32_t>();
  a.sum_stride = n_sums;
  return p;
}

} // namespace

OwnedMatrix pack_matrix(WeightType type, const uint8_t* bytes, int64_t n_rows, int64_t k) {
  const quant::TypeInfo& info = quant::type_info(type);
  OwnedMatrix result;
  Matrix& m = result.matrix;
  m.type = type;
  m.form = info.form;
  m.n_rows = n_rows;
  m.k = k;
  m.panel_bytes = quant::panel_bytes(type, k);
  result.storage = Buffer(m.bytes(), "packed weights");
  m.panels = result.storage.data();
  const int64_t row_bytes = k / info.block_size * info.block_bytes;
  bool finite = true;
  for (int64_t p = 0; p < m.n_panels(); ++p) {
    const int64_t first = p * PANEL_ROWS, rows = std::min(PANEL_ROWS, n_rows - first);
    finite &= quant::pack_panel(type, bytes + first * row_bytes, rows, k, result.storage.data() + p * m.panel_bytes);
  }
  if (!finite) throw NumericalError(std::string("weights of type ") + info.name + " hold NaN or infinity");
  return result;
}

void multiply(const KernelTable& kernels, const Matrix& weights, Rows<const float> x, Rows<float> out,
              int64_t panel_step, int64_t token_step) {
  const DefaultFloatEnvironment environment;
  const Prepared prepared = prepare(kernels, weights.form, x);
  MatmulArgs args{};
  args.type = weights.type;
  args.panels = weights.panels;
  args.panel_bytes = weights.panel_bytes;
  args.n_rows = weights.n_rows;
  args.k = weights.k;
  args.in = prepared.view;
  args.out = out.data;
  args.out_stride = out.stride;
  for (int64_t p = 0; p < weights.n_panels(); p += panel_step) {
    args.panel_begin = p;
    args.panel_end = std::min(p + panel_step, weights.n_panels());
    for (int64_t t = 0; t < x.rows; t += token_step) {
      args.token_begin = t;
      args.token_end = std::min(t + token_step, x.rows);
      kernels.matmul(args);
    }
  }
}

} // namespace nextoken
