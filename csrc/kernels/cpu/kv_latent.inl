// Latents into and out of a block of the cache: one row a token, a key whose first latent_dim elements are its value.
// [KV_BLOCK][head_dim rounded up to 16] with zeros past head_dim; of q8 int8, and behind all rows two scales a token,
// one of the latent and one of what rotates: [KV_BLOCK][2] float.

static inline float* latent_scales(const void* block, int64_t head_dim) {
  return (float*)((char*)block + KV_BLOCK * padded16(head_dim));
}

template <class T>
static void latent_write_as(const float* x, int64_t head_dim, int64_t slot, T* block) {
  T* const row = block + slot * padded16(head_dim);
  for (int64_t d = 0; d < head_dim; d += 16)
    store_elements(row + d, head_dim - d >= 16 ? load16(x + d) : load_first(x + d, head_dim - d, 0.0f));
}

static void latent_write(KvType type, const float* x, int64_t head_dim, int64_t latent_dim, int64_t slot, void* block) {
  if (type == KvType::f32) return latent_write_as(x, head_dim, slot, (float*)block);
  if (type == KvType::f16) return latent_write_as(x, head_dim, slot, (uint16_t*)block);
  int8_t* const row = (int8_t*)block + slot * padded16(head_dim);
  float* const scales = latent_scales(block, head_dim) + 2 * slot;
  int8_t codes[16];
  const auto write = [&](int64_t begin, int64_t end) {
    return quantize_to(x + begin, end - begin, 127.0f, [&](int64_t first, F32x16 whole) {
      store16_i8(codes, whole);
      for (int64_t d = begin + first; d < begin + first + 16 && d < end; ++d) row[d] = codes[d - begin - first];
    });
  };
  scales[0] = write(0, latent_dim);
  scales[1] = write(latent_dim, head_dim);
  for (int64_t d = head_dim; d < padded16(head_dim); ++d) row[d] = 0;
}

// Elements d to d + 15 of row `slot`, d a multiple of 16.
static inline F32x16 load16_latent(KvType type, const void* block, int64_t head_dim, int64_t latent_dim, int64_t slot,
                                   int64_t d) {
  const int64_t at = slot * padded16(head_dim) + d;
  if (type == KvType::f32) return load16((const float*)block + at);
  if (type == KvType::f16) return load16_f16((const uint16_t*)block + at);
  const int8_t* const codes = (const int8_t*)block + at;
  const float* const scales = latent_scales(block, head_dim) + 2 * slot;
  const F32x16 whole = to_float16(load16_i8(codes));
  if (d + 16 <= latent_dim || d >= latent_dim) return mul16(whole, all16(scales[d >= latent_dim]));
  float of_lanes[16];
  for (int64_t i = 0; i < 16; ++i) of_lanes[i] = scales[d + i >= latent_dim];
  return mul16(whole, load16(of_lanes));
}

static void latent_read(KvType type, const void* block, int64_t head_dim, int64_t latent_dim, int64_t slot, float* x) {
  for (int64_t d = 0; d < head_dim; d += 16)
    store_first(x + d, head_dim - d < 16 ? head_dim - d : 16,
                load16_latent(type, block, head_dim, latent_dim, slot, d));
}

// Values [begin, end) of a block, [KV_BLOCK][latent_dim rounded up to 16].
static const float* expand_values(const AttentionArgs& args, const void* block, int64_t begin, int64_t end,
                                  float* expanded) {
  const int64_t width = padded16(args.latent_dim);
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t d = 0; d < width; d += 16)
      store16(expanded + t * width + d, load16_latent(args.kv_type, block, args.head_dim, args.latent_dim, t, d));
  }
  return expanded;
}

// Keys of groups [begin, end) of sixteen, as other caches have them: [KV_BLOCK / 16][head_dim][16]. What the last
// sixteen dimensions have past head_dim is overwritten by the next group, or lies in what is left of `expanded`.
static const float* expand_keys(const AttentionArgs& args, const void* block, int64_t begin, int64_t end,
                                float* expanded) {
  const int64_t width = padded16(args.head_dim);
  for (int64_t g = begin; g < end; ++g) {
    for (int64_t d = 0; d < args.head_dim; d += 16) {
      float* const to = expanded + (g * args.head_dim + d) * 16;
      if (args.kv_type == KvType::f32) {
        transpose16((const float*)block + g * 16 * width + d, width, to);
        continue;
      }
      float tile[16 * 16];
      for (int64_t t = 0; t < 16; ++t)
        store16(tile + t * 16, load16_latent(args.kv_type, block, args.head_dim, args.latent_dim, g * 16 + t, d));
      transpose16(tile, 16, to);
    }
  }
  return expanded;
}
