// Keys and values into and out of a block of the cache: keys [KV_BLOCK / 16][head_dim][16], values
// [KV_BLOCK][head_dim rounded up to 16] with zeros past head_dim. In an int8 cache two elements that are multiplied in
// one step stand side by side, and scales follow, one a key and one a value: keys [KV_BLOCK / 16][even head_dim / 2][16
// keys][2] int8, values [KV_BLOCK / 2][padded head_dim][2 values] int8, then [KV_BLOCK] float.

static inline int64_t padded16(int64_t n) { return (n + 15) / 16 * 16; }

static inline F32x16 load_elements(const float* p) { return load16(p); }
static inline F32x16 load_elements(const uint16_t* p) { return load16_f16(p); }
static inline void store_elements(float* p, F32x16 a) { store16(p, a); }
static inline void store_elements(uint16_t* p, F32x16 a) { store16_f16(p, a); }

template <class T>
static void kv_write_as(const float* k, const float* v, int64_t head_dim, int64_t slot, T* k_block, T* v_block) {
  T* const key = k_block + slot / 16 * head_dim * 16 + slot % 16;
  T* const value = v_block + slot * padded16(head_dim);
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t n = head_dim - d < 16 ? head_dim - d : 16;
    T lanes[16];
    store_elements(lanes, n == 16 ? load16(k + d) : load_first(k + d, n, 0.0f));
    for (int64_t i = 0; i < n; ++i) key[(d + i) * 16] = lanes[i];
    store_elements(value + d, n == 16 ? load16(v + d) : load_first(v + d, n, 0.0f));
  }
}

template <class T>
static void kv_read_as(const T* k_block, const T* v_block, int64_t head_dim, int64_t slot, float* k, float* v) {
  const T* const key = k_block + slot / 16 * head_dim * 16 + slot % 16;
  const T* const value = v_block + slot * padded16(head_dim);
  for (int64_t d = 0; d < head_dim; d += 16) {
    const int64_t n = head_dim - d < 16 ? head_dim - d : 16;
    T lanes[16] = {};
    for (int64_t i = 0; i < n; ++i) lanes[i] = key[(d + i) * 16];
    store_first(k + d, n, load_elements(lanes));
    store_first(v + d, n, load_elements(value + d));
  }
}

static inline int64_t even(int64_t n) { return n + n % 2; }
static inline int64_t q8_key(int64_t head_dim, int64_t slot, int64_t d) {
  return ((slot / 16 * (even(head_dim) / 2) + d / 2) * 16 + slot % 16) * 2 + d % 2;
}
static inline int64_t q8_value(int64_t head_dim, int64_t slot, int64_t d) {
  return (slot / 2 * padded16(head_dim) + d) * 2 + slot % 2;
}
static inline float* q8_key_scales(const void* block, int64_t head_dim) {
  return (float*)((char*)block + KV_BLOCK * even(head_dim));
}
static inline float* q8_value_scales(const void* block, int64_t head_dim) {
  return (float*)((char*)block + KV_BLOCK * padded16(head_dim));
}

// The largest magnitude of n floats, NaN if one of them is not finite.
static float largest_magnitude(const float* x, int64_t n) {
  F32x16 most = zero16(), seen = zero16();
  for (int64_t i = 0; i < n; i += 16) {
    const F32x16 v = n - i < 16 ? load_first(x + i, n - i, 0.0f) : load16(x + i);
    most = max16(abs16(v), most);
    seen = fma16(v, zero16(), seen);
  }
  return all_finite(seen) ? fold_max16(most) : __builtin_nanf("");
}

// x = scale * codes, codes up to `most` in magnitude: sixteen codes at a time to store(first, whole floats).
// Returns the scale: 0 where all is smaller than 2^-100, NaN where something is not finite; codes are 0 then.
template <class Store>
static float quantize_to(const float* x, int64_t n, float most, Store store) {
  const float amax = largest_magnitude(x, n);
  const bool some = amax >= SMALLEST_AMAX;
  const F32x16 factor = all16(some ? most / amax : 0.0f);
  for (int64_t i = 0; i < n; i += 16) {
    const F32x16 v = n - i < 16 ? load_first(x + i, n - i, 0.0f) : load16(x + i);
    store(i, some ? round16(mul16(v, factor)) : zero16());
  }
  return some ? amax / most : amax != amax ? amax : 0.0f;
}

static void kv_write_q8(const float* k, const float* v, int64_t head_dim, int64_t slot, void* k_block, void* v_block) {
  int8_t codes[16];
  q8_key_scales(k_block, head_dim)[slot] = quantize_to(k, head_dim, 127.0f, [&](int64_t first, F32x16 whole) {
    store16_i8(codes, whole);
    for (int64_t d = first; d < first + 16 && d < even(head_dim); ++d)
      ((int8_t*)k_block)[q8_key(head_dim, slot, d)] = codes[d - first];
  });
  q8_value_scales(v_block, head_dim)[slot] = quantize_to(v, head_dim, 127.0f, [&](int64_t first, F32x16 whole) {
    store16_i8(codes, whole);
    for (int64_t d = first; d < first + 16; ++d) ((int8_t*)v_block)[q8_value(head_dim, slot, d)] = codes[d - first];
  });
}

static void kv_read_q8(const void* k_block, const void* v_block, int64_t head_dim, int64_t slot, float* k, float* v) {
  const float k_scale = q8_key_scales(k_block, head_dim)[slot], v_scale = q8_value_scales(v_block, head_dim)[slot];
  for (int64_t d = 0; d < head_dim; ++d) {
    k[d] = (float)((const int8_t*)k_block)[q8_key(head_dim, slot, d)] * k_scale;
    v[d] = (float)((const int8_t*)v_block)[q8_value(head_dim, slot, d)] * v_scale;
  }
}

static void kv_write(KvType type, const float* k, const float* v, int64_t head_dim, int64_t slot, void* k_block,
                     void* v_block) {
  if (type == KvType::f32)
    kv_write_as(k, v, head_dim, slot, (float*)k_block, (float*)v_block);
  else if (type == KvType::q8)
    kv_write_q8(k, v, head_dim, slot, k_block, v_block);
  else
    kv_write_as(k, v, head_dim, slot, (uint16_t*)k_block, (uint16_t*)v_block);
}

static void kv_read(KvType type, const void* k_block, const void* v_block, int64_t head_dim, int64_t slot, float* k,
                    float* v) {
  if (type == KvType::f32)
    kv_read_as((const float*)k_block, (const float*)v_block, head_dim, slot, k, v);
  else if (type == KvType::q8)
    kv_read_q8(k_block, v_block, head_dim, slot, k, v);
  else
    kv_read_as((const uint16_t*)k_block, (const uint16_t*)v_block, head_dim, slot, k, v);
}
