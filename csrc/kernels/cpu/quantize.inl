// Activations for the matmuls: int8 with a scale per 32 or per 256, or rounded to bf16.
//   amax = max |x|; below 2^-100 the block is zero; scale = amax / 127; code = round(x * (127 / amax)), ties to even

// x * 0 is NaN if and only if x is not finite; `seen` collects it.
static inline bool all_finite(F32x16 seen) {
  float lanes[16];
  store16(lanes, seen);
  bool finite = true;
  for (int i = 0; i < 16; ++i) finite &= lanes[i] == 0.0f;
  return finite;
}

constexpr float SMALLEST_AMAX = 7.888609052210118e-31f; // 2^-100: 127 / amax must not overflow

// N elements, a multiple of 16: codes, their sums per 16 in sum16, and the scale.
template <int N>
static inline float quantize_block(const float* x, int8_t* codes, int32_t* sum16, F32x16& seen) {
  F32x16 most = zero16();
  for (int i = 0; i < N; i += 16) {
    const F32x16 v = load16(x + i);
    most = max16(abs16(v), most);
    seen = fma16(v, zero16(), seen);
  }
  const float amax = fold_max16(most); // no lane is NaN: for one, max16 gives its second operand
  const bool zero = !(amax >= SMALLEST_AMAX);
  const F32x16 factor = all16(zero ? 0.0f : 127.0f / amax);
  for (int i = 0; i < N; i += 16) sum16[i / 16] = store16_i8(codes + i, round16(mul16(load16(x + i), factor)));
  return zero ? 0.0f : amax / 127.0f;
}

static bool quantize_q32(const float* x, int64_t k, int8_t* codes, float* scale, float* scaled_sum, int32_t* sum) {
  F32x16 seen = zero16();
  for (int64_t b = 0; b < k / 32; ++b) {
    int32_t sum16[2];
    scale[b] = quantize_block<32>(x + b * 32, codes + b * 32, sum16, seen);
    sum[b] = sum16[0] + sum16[1];
    scaled_sum[b] = scale[b] * (float)sum[b];
  }
  return all_finite(seen);
}

static bool quantize_q256(const float* x, int64_t k, int8_t* codes, float* scale, int32_t* sum) {
  F32x16 seen = zero16();
  for (int64_t b = 0; b < k / 256; ++b)
    scale[b] = quantize_block<256>(x + b * 256, codes + b * 256, sum + b * 16, seen);
  return all_finite(seen);
}

static void round_bf16(const float* x, int64_t k, float* y) {
  for (int64_t i = 0; i < k; ++i) {
    uint32_t u;
    memcpy(&u, x + i, 4);
    const uint32_t nan = (u & 0x7fffffffu) > 0x7f800000u ? 0xffffffffu : 0;
    const uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1), quiet = u | 0x400000u;
    u = ((rounded & ~nan) | (quiet & nan)) & 0xffff0000u;
    memcpy(y + i, &u, 4);
  }
}
