// Sixteen rows of sixteen floats turned into columns, of AVX2 and AVX-512 alike: registers of 256 bits take as many
// shuffles a cycle as wider ones that have one port for them.
#pragma once

// Four columns of rows 0 to 3 beside those of rows 4 to 7.
static inline __m256 load_quads(const float* from, int64_t stride) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + 4 * stride), 1);
}

// to[d * 16 + t] = from[t * stride + d]
static inline void transpose16(const float* from, int64_t stride, float* to) {
  for (int t = 0; t < 16; t += 8, from += 8 * stride)
    for (int d = 0; d < 16; d += 4) {
      const __m256 a = load_quads(from + d, stride), b = load_quads(from + stride + d, stride);
      const __m256 c = load_quads(from + 2 * stride + d, stride), e = load_quads(from + 3 * stride + d, stride);
      const __m256 ab = _mm256_unpacklo_ps(a, b), ce = _mm256_unpacklo_ps(c, e);
      const __m256 ab2 = _mm256_unpackhi_ps(a, b), ce2 = _mm256_unpackhi_ps(c, e);
      float* const column = to + d * 16 + t;
      _mm256_storeu_ps(column, _mm256_shuffle_ps(ab, ce, 0x44));
      _mm256_storeu_ps(column + 16, _mm256_shuffle_ps(ab, ce, 0xee));
      _mm256_storeu_ps(column + 32, _mm256_shuffle_ps(ab2, ce2, 0x44));
      _mm256_storeu_ps(column + 48, _mm256_shuffle_ps(ab2, ce2, 0xee));
    }
}
