// How each weight type stands in a packed panel (see kernels/layout.h), for the matmul kernels: one description a type.
// A group is four consecutive k. Groups of a block are visited in the order group(0), group(1), ... that loads a line
// once; integer sums are exact in any order.

// --- blocks of 32: `q` points at the codes of a block, moved to the lanes wanted --------------------------------

template <bool MIN>
struct FormatQ4 {
  static constexpr int BITS = 4, ZERO = MIN ? 0 : 8;
  static constexpr bool HAS_MIN = MIN;
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  static constexpr int group(int step) { return step / 2 + step % 2 * 4; }
  template <int G>
  static inline Codes codes(const uint8_t* q) {
    return bits<G / 4 * 4>(load_codes(q + G % 4 * layout::LINE), 0x0f);
  }
};

// Bit G of each byte moved to bit 4.
template <int G>
static inline Codes fifth_bit(Codes line) {
  if constexpr (G < 4) {
    return bits_up<4 - G>(line, 0x10);
  } else {
    return bits<G - 4>(line, 0x10);
  }
}

template <bool MIN>
struct FormatQ5 {
  static constexpr int BITS = 5, ZERO = MIN ? 0 : 16;
  static constexpr bool HAS_MIN = MIN;
  static constexpr int64_t CODE_BYTES = layout::Q5_BLOCK;
  static constexpr int group(int step) { return step / 2 + step % 2 * 4; }
  template <int G>
  static inline Codes codes(const uint8_t* q) {
    return combine(FormatQ4<MIN>::template codes<G>(q + layout::LINE), fifth_bit<G>(load_codes(q)));
  }
};

struct FormatQ8_0 {
  static constexpr int BITS = 8, ZERO = 128;
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CODE_BYTES = layout::Q8_BLOCK;
  static constexpr int group(int step) { return step; }
  template <int G>
  static inline Codes codes(const uint8_t* q) {
    return load_codes(q + G * layout::LINE);
  }
};

// --- blocks of 256: `block` points at a block, `lane` is the first row wanted -------------------------------------
// SUB_BLOCKS have SUB_GROUPS groups each. TOGETHER of them share lines: sub_block(set, 0), sub_block(set, 1), ...

struct FormatQ4_K {
  static constexpr int BITS = 4, ZERO = 0, SUB_BLOCKS = 8, SUB_GROUPS = 8, TOGETHER = 2;
  static constexpr bool HAS_MIN = true;
  static constexpr int64_t BLOCK_BYTES = layout::Q4_K_BLOCK, SCALE = layout::Q45_K_SCALE;
  static constexpr int64_t SCALES = layout::Q45_K_SCALES;
  static constexpr int sub_block(int set, int i) { return 2 * set + i; }
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    return bits<SUB % 2 * 4>(load_codes(block + layout::Q4_K_NIBBLES + (SUB / 2 * 8 + G) * layout::LINE + lane * 4),
                             0x0f);
  }
  static inline Scale sub_scale(const uint8_t* scales) { return load_scale_u8(scales); }
};

struct FormatQ5_K {
  static constexpr int BITS = 5, ZERO = 0, SUB_BLOCKS = 8, SUB_GROUPS = 8, TOGETHER = 2;
  static constexpr bool HAS_MIN = true;
  static constexpr int64_t BLOCK_BYTES = layout::Q5_K_BLOCK, SCALE = layout::Q45_K_SCALE;
  static constexpr int64_t SCALES = layout::Q45_K_SCALES;
  static constexpr int sub_block(int set, int i) { return 2 * set + i; }
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    const uint8_t* lines = block + layout::Q5_K_CODES + (SUB / 2 * 2 + G / 4) * 5 * layout::LINE + lane * 4;
    const Codes low = bits<SUB % 2 * 4>(load_codes(lines + (1 + G % 4) * layout::LINE), 0x0f);
    return combine(low, fifth_bit<G % 4 * 2 + SUB % 2>(load_codes(lines)));
  }
  static inline Scale sub_scale(const uint8_t* scales) { return load_scale_u8(scales); }
};

struct FormatQ6_K {
  static constexpr int BITS = 6, ZERO = 32, SUB_BLOCKS = 16, SUB_GROUPS = 4, TOGETHER = 4;
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t BLOCK_BYTES = layout::Q6_K_BLOCK, SCALE = layout::Q6_K_SCALE;
  static constexpr int64_t SCALES = layout::Q6_K_SCALES;
  static constexpr int sub_block(int set, int i) { return set / 2 * 8 + i * 2 + set % 2; }
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    constexpr int HALF = SUB / 8, QUARTER = SUB / 2 % 4, L = SUB % 2 * 4 + G; // 32 elements a quarter
    const uint8_t* lines = block + layout::Q6_K_CODES + (HALF * 8 + L) * 3 * layout::LINE + lane * 4;
    const Codes low = load_codes(lines + (1 + QUARTER % 2) * layout::LINE);
    return combine(bits<QUARTER / 2 * 4>(low, 0x0f), upper_bits<QUARTER>(load_codes(lines)));
  }
  static inline Scale sub_scale(const uint8_t* scales) { return load_scale_i8((const int8_t*)scales); }

 private:
  // Bits 2Q and 2Q + 1 moved to bits 4 and 5.
  template <int Q>
  static inline Codes upper_bits(Codes line) {
    if constexpr (Q < 2) {
      return bits_up<4 - 2 * Q>(line, 0x30);
    } else {
      return bits<2 * Q - 4>(line, 0x30);
    }
  }
};
