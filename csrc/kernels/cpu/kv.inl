// Keys and values into and out of a block of the cache: keys [KV_BLOCK / 16][head_dim][16], values
// [KV_BLOCK][head_dim rounded up to 16] with zeros past head_dim.

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

static void kv_write(KvType type, const float* k, const float* v, int64_t head_dim, int64_t slot, void* k_block,
                     void* v_block) {
  if (type == KvType::f32)
    kv_write_as(k, v, head_dim, slot, (float*)k_block, (float*)v_block);
  else
    kv_write_as(k, v, head_dim, slot, (uint16_t*)k_block, (uint16_t*)v_block);
}

static void kv_read(KvType type, const void* k_block, const void* v_block, int64_t head_dim, int64_t slot, float* k,
                    float* v) {
  if (type == KvType::f32)
    kv_read_as((const float*)k_block, (const float*)v_block, head_dim, slot, k, v);
  else
    kv_read_as((const uint16_t*)k_block, (const uint16_t*)v_block, head_dim, slot, k, v);
}
