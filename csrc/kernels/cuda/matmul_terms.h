// The terms of a matmul, family by family (see matmul.h), and how they are added up. Orders as in kernels/cpu:
// matmul_q32.inl, matmul_q256.inl, matmul_float.inl.
//   compute   thread t of TERM_THREADS fills its share of a buffer: STEP units from `first` on
//   add       the filled units of a row and token, in order, to `sum`
#pragma once
#include "kernels/cuda/formats.h"

namespace nextoken::cuda {

constexpr int TERM_THREADS = 128;

/// A unit is a block of 32; a thread has one of them for four rows.
template <class F>
struct TermsQ32 {
  static constexpr int STEP = TERM_THREADS / QUAD;
  template <int T>
  struct Buffer {
    float sums[T][STEP][16];
    float scale[STEP][16], minimum[F::HAS_MIN ? STEP : 1][16];
  };
  static NEXTOKEN_HD int64_t units(int64_t k) { return k / 32; }

  template <int T>
  static NEXTOKEN_HD void compute(const uint8_t* weights, const Activations& in, int64_t k, int64_t first,
                                  int64_t first_token, int n, int t, Buffer<T>& to) {
    const int unit = t / QUAD, quad = t % QUAD;
    const int64_t b = first + unit;
    if (b >= k / 32) return;
    const Place32<F> place(b);
    uint32_t codes[8][QUAD];
    F::unpack(weights + place.codes + quad * 16, codes);
    for (int r = 0; r < QUAD; ++r) {
      const int row = quad * QUAD + r;
      to.scale[unit][row] = F::scale(weights + place.scales, row);
      if (F::HAS_MIN) to.minimum[unit][row] = half_at(weights + place.minima + row * 2);
    }
    for (int i = 0; i < n; ++i) {
      const int8_t* const x = in.codes + (first_token + i) * in.codes_stride + b * 32;
      const Words low = load_words(x), high = load_words(x + 16);
      const int start = -F::ZERO * in.sum[(first_token + i) * in.sum_stride + b];
      for (int r = 0; r < QUAD; ++r) {
        int sum = start;
        for (int g = 0; g < 4; ++g) sum = dot4(codes[g][r], low.v[g], sum);
        for (int g = 0; g < 4; ++g) sum = dot4(codes[4 + g][r], high.v[g], sum);
        to.sums[i][unit][quad * QUAD + r] = (float)sum;
      }
    }
  }

  template <int T>
  static NEXTOKEN_HD float add(const Buffer<T>& from, const Activations& in, int64_t first, int filled, int64_t token,
                               int i, int row, float sum) {
    const float* const scale = in.scale + token * in.scale_stride + first;
    const float* const scaled_sum = in.scaled_sum + token * in.scale_stride + first;
    for (int u = 0; u < filled; ++u) {
      sum = fma1(from.scale[u][row] * scale[u], from.sums[i][u][row], sum);
      if (F::HAS_MIN) sum = fma1(from.minimum[u][row], scaled_sum[u], sum);
    }
    return sum;
  }
};

/// A unit is half a block of 32 that has two scales; a thread has one of them for four rows.
template <class F>
struct TermsHalves {
  static constexpr int STEP = TERM_THREADS / QUAD;
  static_assert(F::PARTS == 2 && F::ZERO == 0 && !F::HAS_MIN, "a scale for each half, and no more");
  template <int T>
  struct Buffer {
    float sums[T][STEP][16], scale[STEP][16];
  };
  static NEXTOKEN_HD int64_t units(int64_t k) { return k / 16; }

  template <int T>
  static NEXTOKEN_HD void compute(const uint8_t* weights, const Activations& in, int64_t k, int64_t first,
                                  int64_t first_token, int n, int t, Buffer<T>& to) {
    const int unit = t / QUAD, quad = t % QUAD;
    const int64_t at = first + unit;
    if (at >= k / 16) return;
    const Place32<F> place(at / 2);
    const int half = (int)(at % 2);
    uint32_t codes[4][QUAD];
    F::unpack_half(weights + place.codes + quad * 16, half, codes);
    for (int r = 0; r < QUAD; ++r) {
      const int row = quad * QUAD + r;
      to.scale[unit][row] = F::scale(weights + place.scales + part_scales(half), row);
    }
    for (int i = 0; i < n; ++i) {
      const Words words = load_words(in.codes + (first_token + i) * in.codes_stride + at * 16);
      for (int r = 0; r < QUAD; ++r) {
        int sum = 0;
        for (int g = 0; g < 4; ++g) sum = dot4(codes[g][r], words.v[g], sum);
        to.sums[i][unit][quad * QUAD + r] = (float)sum;
      }
    }
  }

  template <int T>
  static NEXTOKEN_HD float add(const Buffer<T>& from, const Activations& in, int64_t first, int filled, int64_t token,
                               int i, int row, float sum) {
    const float* const scale = in.scale + token * in.scale_stride;
    for (int u = 0; u < filled; ++u) sum = fma1(from.scale[u][row] * scale[(first + u) / 2], from.sums[i][u][row], sum);
    return sum;
  }
};

/// A unit is a block of 256; a thread has a quarter of one for four rows, and then one row's minima.
template <class F>
struct TermsQ256 {
  static constexpr int PARTS = 4, STEP = TERM_THREADS / QUAD / PARTS;
  template <int T>
  struct Buffer {
    int sums[T][STEP][PARTS][16];
    float minima[F::HAS_MIN ? T : 1][STEP][16];
    float scale[STEP][16], min_scale[STEP][16];
  };
  static NEXTOKEN_HD int64_t units(int64_t k) { return k / 256; }

  template <int T>
  static NEXTOKEN_HD void compute(const uint8_t* weights, const Activations& in, int64_t k, int64_t first,
                                  int64_t first_token, int n, int t, Buffer<T>& to) {
    const int unit = t / (QUAD * PARTS), part = t / QUAD % PARTS, quad = t % QUAD, row = t % 16;
    const int64_t b = first + unit;
    if (b >= k / 256) return;
    const uint8_t* const block = weights + b * F::BLOCK_BYTES;
    const F f(block, part, quad);
    for (int i = 0; i < n; ++i) {
      const int8_t* const x = in.codes + (first_token + i) * in.codes_stride + b * 256;
      const int32_t* const sums16 = in.sum + (first_token + i) * in.sum_stride + b * 16;
      int total[QUAD] = {};
      for (int s = 0; s < F::SUBS; ++s) {
        const int sub = F::sub_block(part, s);
        int sums[QUAD];
        for (int r = 0; r < QUAD; ++r) sums[r] = F::ZERO ? -F::ZERO * sums16[sub] : 0; // of Q6_K's sixteen
        for (int g = 0; g < F::GROUPS; g += 4) {
          const Words words = load_words(x + (sub * F::GROUPS + g) * 4);
          for (int j = 0; j < 4; ++j)
            for (int r = 0; r < QUAD; ++r) sums[r] = dot4(f.codes(s, g + j, r), words.v[j], sums[r]);
        }
        for (int r = 0; r < QUAD; ++r) total[r] += sub_scale<F>(block, sub, quad * QUAD + r) * sums[r];
      }
      for (int r = 0; r < QUAD; ++r) to.sums[i][unit][part][quad * QUAD + r] = total[r];
      if (F::HAS_MIN) to.minima[i][unit][row] = (float)total_minimum<F>(block, row, sums16);
    }
    to.scale[unit][row] = F::scale(block, row);
    if (F::HAS_MIN) to.min_scale[unit][row] = half_at(block + F::MIN_SCALE + row * 2);
  }

  template <int T>
  static NEXTOKEN_HD float add(const Buffer<T>& from, const Activations& in, int64_t first, int filled, int64_t token,
                               int i, int row, float sum) {
    const float* const scale = in.scale + token * in.scale_stride + first;
    for (int u = 0; u < filled; ++u) {
      int total = 0;
      for (int p = 0; p < PARTS; ++p) total += from.sums[i][u][p][row];
      sum = fma1(from.scale[u][row] * scale[u], (float)total, sum);
      if (F::HAS_MIN) sum = fma1(-(from.min_scale[u][row] * scale[u]), from.minima[i][u][row], sum);
    }
    return sum;
  }
};

/// A unit is one k: f32 and f16 have a single chain over all of them, and only reading is shared out.
template <class Element>
struct TermsFloat {
  static constexpr int STEP = 128, IN_WORDS = 16 / sizeof(Element);
  template <int T>
  struct Buffer {
    float weights[STEP][16];
  };
  static NEXTOKEN_HD int64_t units(int64_t k) { return k; }
  static NEXTOKEN_HD float to_float(float x) { return x; }
  static NEXTOKEN_HD float to_float(uint16_t x) { return from_half(x); }

  template <int T>
  static NEXTOKEN_HD void compute(const uint8_t* weights, const Activations&, int64_t k, int64_t first, int64_t, int,
                                  int t, Buffer<T>& to) {
    for (int i = t * IN_WORDS; i < STEP * 16; i += TERM_THREADS * IN_WORDS) {
      if (first + i / 16 >= k) return;
      const Words words = load_words(weights + (first * 16 + i) * (int64_t)sizeof(Element));
      Element elements[IN_WORDS];
      memcpy(elements, &words, 16);
      for (int j = 0; j < IN_WORDS; ++j) to.weights[i / 16][i % 16 + j] = to_float(elements[j]);
    }
  }

  template <int T>
  static NEXTOKEN_HD float add(const Buffer<T>& from, const Activations& in, int64_t first, int filled, int64_t token,
                               int, int row, float sum) {
    const float* const x = in.x + token * in.x_stride + first;
    for (int u = 0; u < filled; ++u) sum = fma1(from.weights[u][row], x[u], sum);
    return sum;
  }
};

} // namespace nextoken::cuda
