// What is done element by element: gates, sums, products, limits, rotation, rows of the embedding, keys and values into
// the cache.
#pragma once
#include "kernels/cuda/formats.h"
#include "kernels/cuda/forms.h"

namespace nextoken::cuda {

/// Rows, or a gate of them, or a gate times other rows, into forms. Grid: rows x divide_up(k, THREADS * EACH_THREAD).
struct ConvertKernel {
  enum class Of { rows, gate, gated };
  struct Args {
    Of of;
    Gate gate;
    const float *a, *b; // b of `gated`
    int64_t stride;
    Forms forms;
    const int64_t* source; // of each row of forms, the row of a and b; null: the same
    // Unless 0: rows of forms are so many of each head, of which `a` has all in a row, head_stride apart.
    int64_t rows_a_head = 0, head_stride = 0;
  };
  static constexpr int THREADS = 256;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const int64_t row = block.x(), base = block.y() * block.threads() * EACH_THREAD;
    const int64_t source = a.source ? a.source[row] : a.rows_a_head ? row % a.rows_a_head : row;
    const int64_t first = source * a.stride + (a.rows_a_head ? row / a.rows_a_head * a.head_stride : 0);
    typename Block::template Local<Eight> values;
    block.own([&](int t) {
      for (int i = 0; i < EACH_THREAD; ++i) {
        const int64_t c = base + (int64_t)t * EACH_THREAD + i, at = first + c;
        float v = 0.0f;
        if (c < a.forms.k) {
          if (a.of == Of::gated)
            v = a.gate == Gate::clamped_silu ? clamped_silu(a.a[at], a.b[at]) : gate1(a.gate, a.a[at]) * a.b[at];
          else
            v = a.of == Of::rows ? a.a[at] : gate1(a.gate, a.a[at]);
        }
        values[t].v[i] = v;
      }
    });
    write_forms(block, values, a.forms, row, base);
  }
};

/// x = x op other. Grid: rows x divide_up(n, THREADS).
struct ElementwiseKernel {
  enum class Op { add, multiply, clamp, soft_cap };
  struct Args {
    Op op;
    float* x;
    int64_t x_stride, n;
    const float* other; // of `add`: rows, or one for all with a stride of 0
    int64_t other_stride;
    float number;                   // of the other operations
    const int32_t* which = nullptr; // of each row, the row of `other`; null: the same
  };
  static constexpr int THREADS = 256;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t c = block.y() * block.threads() + t;
      if (c >= a.n) return;
      float& x = a.x[block.x() * a.x_stride + c];
      const int64_t of_other = a.which ? a.which[block.x()] : block.x();
      if (a.op == Op::add) x = x + a.other[of_other * a.other_stride + c];
      if (a.op == Op::multiply) x = x * a.number;
      if (a.op == Op::clamp) x = min1(a.number, max1(-a.number, x));
      if (a.op == Op::soft_cap) x = a.number * tanh1(divide(x, a.number));
    });
  }
};

/// y = x, n elements of each head. Grid: rows x divide_up(heads * n, THREADS).
struct CopyHeadsKernel {
  struct Args {
    const float* x;
    int64_t x_stride, x_head; // from row to row, from head to head
    float* y;
    int64_t y_stride, y_head;
    int64_t heads, n;
  };
  static constexpr int THREADS = 128;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t i = block.y() * block.threads() + t, head = i / a.n, c = i % a.n;
      if (head >= a.heads) return;
      a.y[block.x() * a.y_stride + head * a.y_head + c] = a.x[block.x() * a.x_stride + head * a.x_head + c];
    });
  }
};

/// Pairs of each head rotate: (a c - b s, a s + b c). Grid: rows x divide_up(heads * n_rot / 2, THREADS).
struct RopeKernel {
  struct Args {
    RopePairs pairs;
    const float *cos, *sin; // [rows][half]
    int64_t angle_stride, half, heads, head_dim;
    float* x;
    int64_t x_stride;
  };
  static constexpr int THREADS = 128;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t i = block.y() * block.threads() + t, pair = i % a.half;
      if (i >= a.heads * a.half) return;
      const float c = a.cos[block.x() * a.angle_stride + pair], s = a.sin[block.x() * a.angle_stride + pair];
      const bool adjacent = a.pairs == RopePairs::adjacent;
      float* const head = a.x + block.x() * a.x_stride + i / a.half * a.head_dim;
      float& first = head[adjacent ? 2 * pair : pair];
      float& second = head[adjacent ? 2 * pair + 1 : pair + a.half];
      const float p = first, q = second;
      first = fma1(-q, s, p * c);
      second = fma1(q, c, p * s);
    });
  }
};

// --- rows of packed weights as floats: 32 elements from 32 b on ---------------------------------------------------

template <class F>
struct Read32 {
  static NEXTOKEN_HD void read(const uint8_t* panel, int row, int64_t b, int64_t, float* out) {
    const Place32<F> place(b);
    uint32_t codes[8][QUAD];
    F::unpack(panel + place.codes + row / QUAD * 16, codes);
    const float d[2] = {F::scale(panel + place.scales, row),
                        F::PARTS == 2 ? F::scale(panel + place.scales + part_scales(1), row) : 0.0f};
    const float m = F::HAS_MIN ? half_at(panel + place.minima + row * 2) : 0.0f;
    for (int i = 0; i < 32; ++i) {
      const int8_t code = (int8_t)(codes[i / 4][row % QUAD] >> (i % 4 * 8));
      const float scaled = d[i * F::PARTS / 32] * (float)((int)code - F::ZERO);
      out[i] = F::HAS_MIN ? scaled + m : scaled;
    }
  }
};

template <class F>
struct Read256 {
  static NEXTOKEN_HD void read(const uint8_t* panel, int row, int64_t b, int64_t, float* out) {
    constexpr int SUB_SIZE = F::GROUPS * 4;
    const uint8_t* const block = panel + b / 8 * F::BLOCK_BYTES;
    for (int part = 0; part < 4; ++part) {
      const F f(block, part, row / QUAD);
      for (int s = 0; s < F::SUBS; ++s) {
        const int sub = F::sub_block(part, s), first = sub * SUB_SIZE;
        if (first / 32 != b % 8) continue;
        const float d = F::scale(block, row) * (float)sub_scale<F>(block, sub, row);
        float m = 0.0f;
        if (F::HAS_MIN) m = half_at(block + F::MIN_SCALE + row * 2) * (float)sub_minimum<F>(block, sub, row);
        for (int i = 0; i < SUB_SIZE; ++i) {
          const int code = (int)(int8_t)(f.codes(s, i / 4, row % QUAD) >> (i % 4 * 8));
          const float scaled = d * (float)(code - F::ZERO);
          out[first % 32 + i] = F::HAS_MIN ? scaled - m : scaled;
        }
      }
    }
  }
};

struct ReadF32 {
  static NEXTOKEN_HD void read(const uint8_t* panel, int row, int64_t b, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = ((const float*)panel)[(b * 32 + i) * 16 + row];
  }
};
struct ReadF16 {
  static NEXTOKEN_HD void read(const uint8_t* panel, int row, int64_t b, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = half_at(panel + ((b * 32 + i) * 16 + row) * 2);
  }
};
struct ReadBf16 {
  static NEXTOKEN_HD void read(const uint8_t* panel, int row, int64_t b, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t k = b * 32 + i;
      const uint8_t* const p = panel + (k / 4 * 2 + k % 2) * layout::LINE + row * 4 + (k % 4 < 2 ? 2 : 0);
      out[i] = float_of_bits((uint32_t)*(const uint16_t*)p << 16);
    }
  }
};

/// x[t] = table[ids[t]] * scale, or x[t] += table[ids[t]].
struct EmbedArgs {
  const uint8_t* panels;
  int64_t panel_bytes, k;
  const int64_t* ids;
  bool adds;
  float scale;
  float* x;
  int64_t x_stride;
};

/// Grid: rows x divide_up(divide_up(k, 32), THREADS).
template <class Read>
struct EmbedKernel {
  using Args = EmbedArgs;
  static constexpr int THREADS = 64;

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    block.own([&](int t) {
      const int64_t b = block.y() * block.threads() + t, id = a.ids[block.x()];
      if (b * 32 >= a.k) return;
      const int64_t n = a.k - b * 32 < 32 ? a.k - b * 32 : 32;
      float row[32];
      Read::read(a.panels + id / PANEL_ROWS * a.panel_bytes, (int)(id % PANEL_ROWS), b, n, row);
      float* const x = a.x + block.x() * a.x_stride + b * 32;
      for (int64_t i = 0; i < n; ++i) x[i] = a.adds ? x[i] + row[i] : row[i] * a.scale;
    });
  }
};

} // namespace nextoken::cuda
