// The searches of the quantisers of K-types: the scale of a few elements that leaves the least squared error.
#pragma once
#include "quant/lanes.h"

namespace nextoken::quant {

struct Affine {
  float scale, minimum; // x = scale * code - minimum, neither below zero
};

/// The best of several ways to cover N elements with codes from 0 to `top`: the span of all of them is divided into
/// top - shrink + 0.1 i steps, i from 0 to `steps`, and each division of codes gets its scale and minimum by least
/// squares. The sums of codes are exact, those with elements go by lane.
template <int N>
Affine best_affine(const float* x, int top, float shrink, int steps) {
  const Range r = range_of(x, N);
  const float low = r.low < 0 ? r.low : 0; // a minimum above zero can not be stored
  if (!(r.high > low)) return {0.0f, -low};
  F32x4 sum{}, squares{};
  for (int i = 0; i < N; i += 4) {
    sum += load4(x + i);
    squares += load4(x + i) * load4(x + i);
  }
  const double sum_x = sum4(sum);
  Affine best{(r.high - low) / (float)top, -low};
  double most = -1.0; // of what the codes explain of the squares
  for (int step = 0; step <= steps; ++step) {
    const float inverse_step = ((float)top - shrink + 0.1f * (float)step) / (r.high - low);
    F32x4 codes{}, code_squares{}, products{};
    for (int i = 0; i < N; i += 4) {
      const F32x4 v = load4(x + i), code = codes4(v - low, inverse_step, 0.5f, (float)top);
      codes += code;
      code_squares += code * code;
      products += code * v;
    }
    const double n = sum4(codes), nn = sum4(code_squares), nx = sum4(products), determinant = N * nn - n * n;
    if (nn == 0.0) continue;
    double scale = nx / nn, base = 0.0;
    if (determinant > 0.0) {
      const double free_base = (nn * sum_x - n * nx) / determinant;
      if (free_base < 0.0) {
        base = free_base;
        scale = (N * nx - n * sum_x) / determinant;
      }
    }
    const double explained = scale * nx + base * sum_x;
    if (scale > 0.0 && explained > most) {
      most = explained;
      best = {(float)scale, (float)-base};
    }
  }
  return best;
}

/// Codes for x = d * sub_scale * code - m * sub_minimum, once d and m are rounded: of the sub-scales next to `scale`,
/// each with the sub-minimum that fits its codes, the pair that leaves the least squared error.
template <int N>
void best_codes(const float* x, int top, float d, float m, int scale, int minimum, uint8_t& sub_scale,
                uint8_t& sub_minimum, uint8_t* codes) {
  double least = -1.0;
  for (const int tried : {scale, scale - 1, scale + 1}) {
    if (tried < 0 || tried > 63) continue;
    const float step = d * (float)tried;
    uint8_t fitting = (uint8_t)minimum, found[N];
    for (int pass = 0; pass < 2; ++pass) {
      const float low = m * (float)fitting;
      F32x4 difference{}, squares{};
      for (int i = 0; i < N; i += 4) {
        const F32x4 v = load4(x + i), code = codes4(v + low, inverse(step), 0.5f, (float)top);
        const F32x4 apart = code * step - v;
        difference += apart;
        squares += (apart - low) * (apart - low);
        for (int lane = 0; lane < 4; ++lane) found[i + lane] = (uint8_t)code[lane];
      }
      const double error = sum4(squares);
      if (least < 0.0 || error < least) {
        least = error;
        sub_scale = (uint8_t)tried;
        sub_minimum = fitting;
        std::memcpy(codes, found, N);
      }
      fitting = code_from((float)sum4(difference) / (float)N * inverse(m) + 0.5f, 63);
    }
  }
}

/// The same for codes from -top to top - 1 without a minimum: the largest element lands on -top - 0.1 i, |i| <= 9.
template <int N>
float best_scale(const float* x, int top) {
  const float most = largest(x, N);
  if (most == 0.0f) return 0.0f;
  float best = most / (float)-top;
  double most_explained = 0.0;
  for (int step = -9; step <= 9; ++step) {
    const float inverse_step = -((float)top + 0.1f * (float)step) / most;
    F32x4 code_squares{}, products{};
    for (int i = 0; i < N; i += 4) {
      const F32x4 v = load4(x + i);
      const F32x4 code = codes4(v, inverse_step, (float)top + 0.5f, (float)(2 * top - 1)) - (float)top;
      code_squares += code * code;
      products += code * v;
    }
    const double nn = sum4(code_squares), nx = sum4(products);
    if (nn > 0.0 && nx * nx > most_explained * nn) {
      most_explained = nx * nx / nn;
      best = (float)(nx / nn);
    }
  }
  return best;
}

} // namespace nextoken::quant
