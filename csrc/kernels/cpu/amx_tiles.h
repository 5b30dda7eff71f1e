// The eight tile registers of AMX, sixteen rows of 64 bytes each. By asm: the intrinsics of gcc 12 do not say that they
// read memory, and it drops the stores before them. A build for tests computes the same plainly.
#pragma once

#if defined(NEXTOKEN_EMULATED)
struct TileRegister {
  union {
    uint8_t bytes[16][64];
    int8_t signed_bytes[16][64];
    uint16_t halves[16][32];
    int32_t ints[16][16];
    float floats[16][16];
  };
};
static thread_local TileRegister tile_registers[8];

static inline void start_tiles() {}
static inline void end_tiles() {}
template <int N>
static inline void tile_zero() {
  memset(&tile_registers[N], 0, sizeof(TileRegister));
}
template <int N>
static inline void tile_load(const void* from, int64_t stride) {
  for (int i = 0; i < 16; ++i) memcpy(tile_registers[N].bytes[i], (const char*)from + i * stride, 64);
}
template <int N>
static inline void tile_store(void* to, int64_t stride) {
  for (int i = 0; i < 16; ++i) memcpy((char*)to + i * stride, tile_registers[N].bytes[i], 64);
}
template <int SUM, int A, int B, bool SIGNED>
static inline void tile_dot() {
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 16; ++n)
      for (int k = 0; k < 64; ++k) {
        const TileRegister& b = tile_registers[B];
        const int w = SIGNED ? b.signed_bytes[k / 4][4 * n + k % 4] : b.bytes[k / 4][4 * n + k % 4];
        tile_registers[SUM].ints[m][n] += tile_registers[A].signed_bytes[m][k] * w;
      }
}
template <int SUM, int A, int B>
static inline void tile_dot_unsigned() {
  tile_dot<SUM, A, B, false>();
}
template <int SUM, int A, int B>
static inline void tile_dot_signed() {
  tile_dot<SUM, A, B, true>();
}
template <int SUM, int A, int B>
static inline void tile_dot_bf16() {
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); // denormals are zeros, whatever the mode
  const auto widened = [](uint16_t half) {
    const uint32_t word = (uint32_t)half << 16;
    float v;
    memcpy(&v, &word, 4);
    return v;
  };
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 16; ++n) {
      volatile float chains[2] = {0.0f, 0.0f}; // not moved out of the mode
      for (int k = 0; k < 32; ++k)
        chains[k % 2] = __builtin_fmaf(widened(tile_registers[A].halves[m][k]),
                                       widened(tile_registers[B].halves[k / 2][2 * n + k % 2]), chains[k % 2]);
      volatile float sum = tile_registers[SUM].floats[m][n];
      sum = sum + (chains[0] + chains[1]);
      tile_registers[SUM].floats[m][n] = sum;
    }
  _mm_setcsr(mode);
}
#else
// All eight of full size; other threads of the process have their own.
static inline void start_tiles() {
  alignas(64) uint8_t config[64] = {1}; // the palette
  for (int i = 0; i < 8; ++i) {
    config[16 + 2 * i] = 64; // bytes of a row
    config[48 + i] = 16;     // rows
  }
  asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
}
static inline void end_tiles() { asm volatile("tilerelease" ::: "memory"); }
template <int N>
static inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(N));
}
template <int N>
static inline void tile_load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(N) : "memory");
}
template <int N>
static inline void tile_store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(N) : "memory");
}
// sums [16][16] += activations, int8 [16][64], times weights, [16][16][4] of uint8 or int8.
template <int SUM, int A, int B>
static inline void tile_dot_unsigned() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}
template <int SUM, int A, int B>
static inline void tile_dot_signed() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}
// sums [16][16] += e + o of activations, bf16 [16][32], times weights, bf16 [16][16][2]: matmul_bf16.inl.
template <int SUM, int A, int B>
static inline void tile_dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(SUM), "i"(A), "i"(B));
}
#endif
