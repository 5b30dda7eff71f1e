// The part of vec_scalar.h that matmul needs: lanes are output rows.
#pragma once

struct F32xL {
  float v[16];
};
struct I32xL {
  int32_t v[16];
};
// Four codes of each row, [row][4].
struct Codes {
  uint8_t v[64];
};

static inline Codes load_codes(const uint8_t* p) {
  Codes r;
  memcpy(r.v, p, 64);
  return r;
}
static inline void store_codes(uint8_t* p, Codes c) { memcpy(p, c.v, 64); }
static inline void prefetch(const void*) {}
// (byte >> shift) & mask, shift in 0..7
template <int SHIFT>
static inline Codes bits(Codes c, uint8_t mask) {
  for (int i = 0; i < 64; ++i) c.v[i] = (uint8_t)((c.v[i] >> SHIFT) & mask);
  return c;
}
// (byte << shift) & mask
template <int SHIFT>
static inline Codes bits_up(Codes c, uint8_t mask) {
  for (int i = 0; i < 64; ++i) c.v[i] = (uint8_t)((c.v[i] << SHIFT) & mask);
  return c;
}
static inline Codes combine(Codes a, Codes b) {
  for (int i = 0; i < 64; ++i) a.v[i] |= b.v[i];
  return a;
}

// Sixteen bytes, and those that codes of four bits choose.
struct Table {
  uint8_t v[16];
};
static inline Table load_table(const uint8_t* p) {
  Table r;
  memcpy(r.v, p, 16);
  return r;
}
static inline Codes lookup(const Table& table, Codes c) {
  for (int i = 0; i < 64; ++i) c.v[i] = table.v[c.v[i]];
  return c;
}

using Scale = I32xL; // of a sub-block, int8 or uint8
struct Pairs {       // two uint8 of each row
  uint8_t v[16][2];
};
static inline Scale load_scale_u8(const uint8_t* p) {
  Scale r;
  EACH r.v[i] = p[i];
  return r;
}
static inline Scale load_scale_i8(const int8_t* p) {
  Scale r;
  EACH r.v[i] = p[i];
  return r;
}
static inline Pairs load_pairs_u8(const uint8_t* p) {
  Pairs r;
  memcpy(r.v, p, 32);
  return r;
}
// x holds two int16, the first in its low half.
static inline I32xL add_pair_products(I32xL sum, Pairs w, int32_t x) {
  EACH sum.v[i] += w.v[i][0] * (int16_t)(x & 0xffff) + w.v[i][1] * (x >> 16);
  return sum;
}

// Exact sum of (code - ZERO) * activation over one 32-block or 16-block, GROUP by group of four; BITS is the
// width of a code; it starts from the sum of the activations of the block, in memory or made ready by start_of.
// ALONE: no other sum wants the same activations.
template <int BITS, int ZERO>
struct BlockSum {
  I32xL sum;
  static int32_t start_of(int32_t activations) { return -ZERO * activations; }
  void clear_at(const int32_t* activations) { clear(start_of(*activations)); }
  void clear(int32_t start) { EACH sum.v[i] = start; }
  template <int GROUP, bool ALONE = false>
  void add(Codes c, const int8_t* x) {
    EACH for (int k = 0; k < 4; ++k) sum.v[i] += (int32_t)c.v[i * 4 + k] * x[k];
  }
  I32xL value() const { return sum; }
  // total + scale * sum
  I32xL scaled(Scale scale, I32xL total) const {
    EACH total.v[i] += scale.v[i] * sum.v[i];
    return total;
  }
};

static inline F32xL zeroL() {
  F32xL r;
  EACH r.v[i] = 0.0f;
  return r;
}
static inline F32xL allL(float x) {
  F32xL r;
  EACH r.v[i] = x;
  return r;
}
static inline F32xL broadcastL(const float* p) { return allL(*p); }
static inline F32xL loadL(const float* p) {
  F32xL r;
  EACH r.v[i] = p[i];
  return r;
}
static inline F32xL loadL_f16(const uint16_t* p) {
  F32xL r;
  EACH r.v[i] = half_to_float(p[i]);
  return r;
}
// The even and odd elements of [row][2] bf16 as floats.
static inline F32xL loadL_bf16_low(const uint16_t* p) {
  F32xL r;
  EACH {
    const uint32_t u = (uint32_t)p[i * 2] << 16;
    memcpy(&r.v[i], &u, 4);
  }
  return r;
}
static inline F32xL loadL_bf16_high(const uint16_t* p) {
  F32xL r;
  EACH {
    const uint32_t u = (uint32_t)p[i * 2 + 1] << 16;
    memcpy(&r.v[i], &u, 4);
  }
  return r;
}
// 2^(e - 127) of exponents e below 255.
static inline F32xL loadL_pow2(const uint8_t* e) {
  F32xL r;
  EACH {
    const uint32_t u = e[i] ? (uint32_t)e[i] << 23 : 0x00400000u;
    memcpy(&r.v[i], &u, 4);
  }
  return r;
}
static inline void storeL(float* p, F32xL a) { EACH p[i] = a.v[i]; }
static inline F32xL addL(F32xL a, F32xL b) {
  EACH a.v[i] += b.v[i];
  return a;
}
static inline F32xL mulL(F32xL a, F32xL b) {
  EACH a.v[i] *= b.v[i];
  return a;
}
static inline F32xL fmaL(F32xL a, F32xL b, F32xL c) {
  EACH c.v[i] = fma1(a.v[i], b.v[i], c.v[i]);
  return c;
}
// c - a * b, rounded once
static inline F32xL fnmaL(F32xL a, F32xL b, F32xL c) {
  EACH c.v[i] = fma1(-a.v[i], b.v[i], c.v[i]);
  return c;
}
static inline F32xL to_floatL(I32xL a) {
  F32xL r;
  EACH r.v[i] = (float)a.v[i];
  return r;
}
static inline I32xL zeroI() {
  I32xL r;
  EACH r.v[i] = 0;
  return r;
}
#undef EACH
