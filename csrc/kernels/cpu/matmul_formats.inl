// How each weight type stands in a packed panel (see kernels/layout.h), for the matmul kernels: one description a type.
// A group is four consecutive k. Groups of a block are visited in the order group(0), group(1), ... that loads a line
// once; integer sums are exact in any order.

// --- blocks of 32: `q` points at the codes of a block, moved to the lanes wanted --------------------------------
// A line of scales stands before each CHUNK_BLOCKS of them, SCALES a block.

// f16 scales, of one block and its minima or of two blocks.
template <bool MIN>
struct ScalesF16 {
  static constexpr int SCALES = 1;
  static constexpr bool HAS_MIN = MIN;
  static constexpr int64_t CHUNK_BLOCKS = layout::chunk_blocks(MIN);
  static inline F32xL scale(const uint8_t* line, int64_t i, int64_t lane) {
    return loadL_f16((const uint16_t*)(line + i * 32) + lane);
  }
};

template <bool MIN>
struct FormatQ4 : ScalesF16<MIN> {
  static constexpr int BITS = 4, ZERO = MIN ? 0 : 8;
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
struct FormatQ5 : ScalesF16<MIN> {
  static constexpr int BITS = 5, ZERO = MIN ? 0 : 16;
  static constexpr int64_t CODE_BYTES = layout::Q5_BLOCK;
  static constexpr int group(int step) { return step / 2 + step % 2 * 4; }
  template <int G>
  static inline Codes codes(const uint8_t* q) {
    return combine(FormatQ4<MIN>::template codes<G>(q + layout::LINE), fifth_bit<G>(load_codes(q)));
  }
};

struct FormatQ8_0 : ScalesF16<false> {
  static constexpr int BITS = 8, ZERO = 128;
  static constexpr int64_t CODE_BYTES = layout::Q8_BLOCK;
  static constexpr int group(int step) { return step; }
  template <int G>
  static inline Codes codes(const uint8_t* q) {
    return load_codes(q + G * layout::LINE);
  }
};

// Nibbles as in Q4_0 that stand for other values, VALUES less the zero point.
template <int BITS_OF_VALUES, int ZERO_POINT, const uint8_t (&VALUES)[16]>
struct CodesOfTable {
  static constexpr int BITS = BITS_OF_VALUES, ZERO = ZERO_POINT;
  static constexpr int64_t CODE_BYTES = layout::Q4_BLOCK;
  static constexpr int group(int step) { return FormatQ4<false>::group(step); }
  template <int G>
  static inline Codes codes(const uint8_t* q) {
    return lookup(load_table(VALUES), FormatQ4<false>::codes<G>(q));
  }
};

struct FormatIQ4_NL : ScalesF16<false>, CodesOfTable<8, layout::IQ4_ZERO, layout::IQ4_VALUES> {};

struct FormatMXFP4 : CodesOfTable<5, layout::FP4_ZERO, layout::FP4_VALUES> {
  static constexpr int SCALES = 1;
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t CHUNK_BLOCKS = layout::MXFP4_CHUNK;
  static inline F32xL scale(const uint8_t* line, int64_t i, int64_t lane) {
    return mulL(loadL_pow2(line + i * 16 + lane), allL(0.5f)); // the values are doubled
  }
};

struct FormatNVFP4 : ScalesF16<false>, CodesOfTable<5, layout::FP4_ZERO, layout::FP4_VALUES> {
  static constexpr int SCALES = 2;
  static constexpr int64_t CHUNK_BLOCKS = layout::NVFP4_CHUNK;
};

// --- blocks of 256: `block` points at a block, `lane` is the first row wanted -------------------------------------
// SUB_BLOCKS have SUB_GROUPS groups each. TOGETHER of them share lines: sub_block(set, 0), sub_block(set, 1), ...

// The scale of a block is an f16 at its start, its sub-scales are bytes from SCALES on.
struct UnsignedSubScales {
  static constexpr bool HAS_MIN = true;
  static inline F32xL scale(const uint8_t* block, int64_t lane) { return loadL_f16((const uint16_t*)block + lane); }
  static inline Scale sub_scale(const uint8_t* scales) { return load_scale_u8(scales); }
};
struct SignedSubScales {
  static constexpr bool HAS_MIN = false;
  static constexpr int64_t MIN_SCALE = 0, MINS = 0;
  static inline F32xL scale(const uint8_t* block, int64_t lane) { return loadL_f16((const uint16_t*)block + lane); }
  static inline Scale sub_scale(const uint8_t* scales) { return load_scale_i8((const int8_t*)scales); }
};

// Bits 2Q and 2Q + 1 moved to bits TO and TO + 1.
template <int Q, int TO>
static inline Codes two_bits(Codes line) {
  if constexpr (2 * Q < TO) {
    return bits_up<TO - 2 * Q>(line, 3 << TO);
  } else {
    return bits<2 * Q - TO>(line, 3 << TO);
  }
}

// Sub-blocks of 16 whose lines hold four groups 32 elements apart.
struct Quarters {
  static constexpr int SUB_BLOCKS = 16, SUB_GROUPS = 4, TOGETHER = 4;
  static constexpr int sub_block(int set, int i) { return set / 2 * 8 + i * 2 + set % 2; }
};

struct FormatQ2_K : UnsignedSubScales, Quarters {
  static constexpr int BITS = 2, ZERO = 0;
  static constexpr int64_t BLOCK_BYTES = layout::Q2_K_BLOCK, SCALES = layout::Q2_K_SCALES;
  static constexpr int64_t MIN_SCALE = layout::Q2_K_MIN_SCALE, MINS = layout::Q2_K_MINS;
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    constexpr int HALF = SUB / 8, QUARTER = SUB / 2 % 4, L = SUB % 2 * 4 + G; // 32 elements a quarter
    return two_bits<QUARTER, 0>(load_codes(block + layout::Q2_K_CODES + (HALF * 8 + L) * layout::LINE + lane * 4));
  }
};

// Codes of three bits: those of group L of 32 elements, of a quarter of a half of a block.
template <int HALF, int QUARTER, int L>
static inline Codes three_bits(const uint8_t* codes) {
  const uint8_t* lines = codes + (HALF * 4 + L / 2) * 3 * layout::LINE;
  const Codes low = two_bits<QUARTER, 0>(load_codes(lines + (1 + L % 2) * layout::LINE));
  constexpr int THIRD = L % 2 * 4 + QUARTER; // which becomes bit 2
  if constexpr (THIRD < 2) {
    return combine(low, bits_up<2 - THIRD>(load_codes(lines), 4));
  } else {
    return combine(low, bits<THIRD - 2>(load_codes(lines), 4));
  }
}

struct FormatQ3_K : SignedSubScales, Quarters {
  static constexpr int BITS = 3, ZERO = 4;
  static constexpr int64_t BLOCK_BYTES = layout::Q3_K_BLOCK, SCALES = layout::Q3_K_SCALES;
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    return three_bits<SUB / 8, SUB / 2 % 4, SUB % 2 * 4 + G>(block + layout::Q3_K_CODES + lane * 4);
  }
};

struct FormatQ4_K : UnsignedSubScales {
  static constexpr int BITS = 4, ZERO = 0, SUB_BLOCKS = 8, SUB_GROUPS = 8, TOGETHER = 2;
  static constexpr int64_t BLOCK_BYTES = layout::Q4_K_BLOCK, SCALES = layout::Q45_K_SCALES;
  static constexpr int64_t MIN_SCALE = layout::Q45_K_MIN_SCALE, MINS = layout::Q45_K_MINS;
  static constexpr int sub_block(int set, int i) { return 2 * set + i; }
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    return bits<SUB % 2 * 4>(load_codes(block + layout::Q4_K_NIBBLES + (SUB / 2 * 8 + G) * layout::LINE + lane * 4),
                             0x0f);
  }
};

struct FormatQ5_K : UnsignedSubScales {
  static constexpr int BITS = 5, ZERO = 0, SUB_BLOCKS = 8, SUB_GROUPS = 8, TOGETHER = 2;
  static constexpr int64_t BLOCK_BYTES = layout::Q5_K_BLOCK, SCALES = layout::Q45_K_SCALES;
  static constexpr int64_t MIN_SCALE = layout::Q45_K_MIN_SCALE, MINS = layout::Q45_K_MINS;
  static constexpr int sub_block(int set, int i) { return 2 * set + i; }
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    const uint8_t* lines = block + layout::Q5_K_CODES + (SUB / 2 * 2 + G / 4) * 5 * layout::LINE + lane * 4;
    const Codes low = bits<SUB % 2 * 4>(load_codes(lines + (1 + G % 4) * layout::LINE), 0x0f);
    return combine(low, fifth_bit<G % 4 * 2 + SUB % 2>(load_codes(lines)));
  }
};

struct FormatQ6_K : SignedSubScales, Quarters {
  static constexpr int BITS = 6, ZERO = 32;
  static constexpr int64_t BLOCK_BYTES = layout::Q6_K_BLOCK, SCALES = layout::Q6_K_SCALES;
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    constexpr int HALF = SUB / 8, QUARTER = SUB / 2 % 4, L = SUB % 2 * 4 + G; // 32 elements a quarter
    const uint8_t* lines = block + layout::Q6_K_CODES + (HALF * 8 + L) * 3 * layout::LINE + lane * 4;
    const Codes low = load_codes(lines + (1 + QUARTER % 2) * layout::LINE);
    return combine(bits<QUARTER / 2 * 4>(low, 0x0f), two_bits<QUARTER, 4>(load_codes(lines)));
  }
};

// Codes of WIDTH bits that stand for values which the block carries; sub-blocks of 32 or 16.
template <int N, int WIDTH>
struct FormatTable : SignedSubScales {
  static constexpr int BITS = 8, ZERO = 128, SUB_BLOCKS = N, SUB_GROUPS = 64 / N, TOGETHER = WIDTH == 4 ? 2 : 4;
  static constexpr int64_t BLOCK_BYTES = layout::table_block(N, WIDTH), SCALES = layout::TABLE_SCALES;
  static constexpr int PER_RUN = N / 8; // of 32 elements: lines hold groups of the same place in TOGETHER runs
  static constexpr int sub_block(int set, int i) { return (set / PER_RUN * TOGETHER + i) * PER_RUN + set % PER_RUN; }
  template <int SUB, int G>
  static inline Codes codes(const uint8_t* block, int64_t lane) {
    constexpr int RUN = SUB / PER_RUN, L = SUB % PER_RUN * SUB_GROUPS + G;
    const uint8_t* lines = block + layout::table_codes(N) + lane * 4;
    const Table values = load_table(block + layout::TABLE_VALUES);
    if constexpr (WIDTH == 3) {
      return lookup(values, three_bits<RUN / 4, RUN % 4, L>(lines));
    } else {
      return lookup(values, bits<RUN % 2 * 4>(load_codes(lines + (RUN / 2 * 8 + L) * layout::LINE), 0x0f));
    }
  }
  static inline F32xL scale(const uint8_t* block, int64_t lane) {
    float factor; // a power of two
    memcpy(&factor, block + layout::TABLE_FACTOR, 4);
    return mulL(loadL_f16((const uint16_t*)block + lane), allL(factor));
  }
};
