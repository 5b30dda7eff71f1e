// Attention to latents, which are keys and values in one and shared by all heads: a block of threads computes a segment
// of 256 keys for up to sixteen rows, heads of a token as a rule. Latents come into shared memory 64 bytes of each key
// at a time, the next while these are multiplied: a thread has two keys and eight rows. As values they are read again,
// since weights are known when all keys were seen, and a segment's latents are more than a multiprocessor keeps: a
// thread has two elements of each, for all rows. Latents of any type are read as floats:
// kernels/cpu/attention_latent.inl.
#pragma once
#include <type_traits>

#include "kernels/cuda/attention_segment.h"

namespace nextoken::cuda {

constexpr int LATENT_ROWS = 16;

template <KvType TYPE>
struct LatentAttentionKernel {
  using Args = TiledAttention;
  /// Grid: tiles x 1 x segments.
  static constexpr int THREADS = ATTENTION_SEGMENT, HALF = THREADS / 2, HALF_ROWS = LATENT_ROWS / 2;
  static constexpr int BYTES = TYPE == KvType::f32 ? 4 : TYPE == KvType::f16 ? 2 : 1; // of an element
  static constexpr int PIECE = 64, DIMS = PIECE / BYTES, QUERIES = DIMS * LATENT_ROWS / THREADS;
  static constexpr int AT_ONCE = 4;                  // latents that a thread reads before it multiplies
  static constexpr int ROW_STRIDE = LATENT_ROWS + 4; // rows of a key or an element: few of a warp's share a bank

  struct alignas(16) Stage {
    uint8_t keys[ATTENTION_SEGMENT][PIECE + 16]; // 16 more: the words that a warp reads stand in 32 banks
    float q[DIMS][ROW_STRIDE];
  };
  using Scores = float[ROW_STRIDE]; // of a key; they take the place of the stages
  static_assert(sizeof(Scores) * ATTENTION_SEGMENT <= 2 * sizeof(Stage), "room for scores");
  static constexpr int64_t SHARED_BYTES = 2 * (int64_t)sizeof(Stage) + LATENT_ROWS * (4 + 4 + (int64_t)sizeof(Span));

  struct Queries {
    float v[QUERIES];
  };
  struct Products { // of keys t % HALF and HALF + t % HALF, and eight rows
    float v[2][HALF_ROWS];
  };
  struct Pair {
    float v[2];
  };

  /// The block of the cache that a key stands in.
  static NEXTOKEN_HD uint8_t* latents_of(const Args& a, const AttentionTile& tile, int64_t segment, int key) {
    return a.cache.keys(a.block_of(tile, segment, key), 0);
  }

  /// Elements from `first` on of the keys that some row sees.
  static NEXTOKEN_HD void fetch_keys(Stage& to, const Args& a, const AttentionTile& tile, int64_t segment, Span some,
                                     int first, int t) {
    for (int i = t; i < ATTENTION_SEGMENT * (PIECE / 16); i += THREADS) {
      const int key = i / (PIECE / 16), at = i % (PIECE / 16) * 16;
      if (key < some.begin || key >= some.end || first * BYTES + at >= a.cache.latent_at(1, 0) * BYTES) continue;
      const uint8_t* const latents = latents_of(a, tile, segment, key);
      copy_to_shared<16>(to.keys[key] + at, latents + a.cache.latent_at(key % KV_BLOCK, first) * BYTES + at);
    }
  }
  /// The same of the queries; past the last row or element they are 0.
  static NEXTOKEN_HD Queries read_queries(const Args& a, const AttentionTile& tile, int first, int t) {
    Queries q;
    NEXTOKEN_UNROLL
    for (int i = 0; i < QUERIES; ++i) {
      const int r = t / DIMS + i * (THREADS / DIMS);
      const int d = first + t % DIMS;
      q.v[i] = r < tile.rows() && d < a.cache.head_dim ? a.query(tile, tile.first_head, r, d) : 0.0f;
    }
    return q;
  }
  static NEXTOKEN_HD void store_queries(Stage& to, const Queries& q, int t) {
    NEXTOKEN_UNROLL
    for (int i = 0; i < QUERIES; ++i) to.q[t % DIMS][t / DIMS + i * (THREADS / DIMS)] = q.v[i];
  }

  /// Element i of sixteen bytes.
  static NEXTOKEN_HD float element(const Words& words, int i) {
    const uint32_t word = words.v[i * BYTES / 4] >> (i * BYTES % 4 * 8);
    if (TYPE == KvType::f32) return float_of_bits(word);
    return TYPE == KvType::f16 ? from_half((uint16_t)word) : (float)(int8_t)word;
  }

  /// Products of a thread's keys and rows, DIMS elements of them, or as many as there are.
  static NEXTOKEN_HD void multiply(Products& sums, const Args& a, const Stage& stage, const Pair (&scale)[2], int first,
                                   int t) {
    for (int at = 0; at < PIECE; at += 16) {
      const int d = first + at / BYTES;
      if (d >= a.cache.head_dim) break;
      Words words[2];
      for (int k = 0; k < 2; ++k) words[k] = load_words(stage.keys[t % HALF + k * HALF] + at);
      NEXTOKEN_UNROLL
      for (int i = 0; i < 16 / BYTES; ++i) { // what is past head_dim is 0 in both
        float key[2];
        for (int k = 0; k < 2; ++k) {
          key[k] = element(words[k], i);
          if (TYPE == KvType::q8) key[k] = key[k] * (d + i < a.cache.latent_dim ? scale[k].v[0] : scale[k].v[1]);
        }
        NEXTOKEN_UNROLL
        for (int r = 0; r < HALF_ROWS; r += 4) {
          const Words q = load_words(&stage.q[at / BYTES + i][t / HALF * HALF_ROWS + r]);
          NEXTOKEN_UNROLL
          for (int j = 0; j < 4; ++j)
            for (int k = 0; k < 2; ++k) sums.v[k][r + j] = fma1(float_of_bits(q.v[j]), key[k], sums.v[k][r + j]);
        }
      }
    }
  }

  /// Two elements of a latent and its scale; halves as they are, which takes fewer registers.
  using Values = std::conditional_t<TYPE == KvType::f16, uint32_t, Pair>;
  static NEXTOKEN_HD Values values_at(const uint8_t* at, const float* scale) {
    if constexpr (TYPE == KvType::f32) {
      return {{((const float*)at)[0], ((const float*)at)[1]}};
    } else if constexpr (TYPE == KvType::f16) {
      return *(const uint32_t*)at;
    } else {
      const uint16_t codes = *(const uint16_t*)at;
      return {{(float)(int8_t)codes * *scale, (float)(int8_t)(codes >> 8) * *scale}};
    }
  }
  static NEXTOKEN_HD Pair floats_of(const Values& values) {
    if constexpr (TYPE == KvType::f16)
      return {{from_half((uint16_t)values), from_half((uint16_t)(values >> 16))}};
    else
      return values;
  }

  template <class Block>
  static NEXTOKEN_KERNEL void run(Block& block, const Args& a) {
    const AttentionTile tile = a.tiles[block.x()];
    const int64_t segment = block.z();
    const int rows = tile.rows(), head_dim = (int)a.cache.head_dim, width = (int)a.cache.width;
    Stage* const stages = block.template shared<Stage>(2);
    Scores* const scores = reinterpret_cast<Scores*>(stages);
    float* const most = block.template shared<float>(LATENT_ROWS);
    float* const sums = block.template shared<float>(LATENT_ROWS);
    Span* const spans = block.template shared<Span>(LATENT_ROWS);
    const auto partial = [&](int r) { return a.partial(tile, tile.first_head, r, segment); };
    const Span first = a.seen(tile.position, segment), last = a.seen(tile.position + tile.n_tokens - 1, segment);
    const Span some = {first.begin, last.end}, all = {last.begin, first.end}; // keys that rows see
    if (some.begin >= some.end) {
      block.own([&](int t) {
        if (t < rows) a.partials.sum[partial(t)] = 0.0f;
      });
      return;
    }

    typename Block::template Local<Queries> q;
    typename Block::template Local<Products> products;
    struct Scales {
      Pair of[2];
    };
    typename Block::template Local<Scales> scale;
    block.each([&](int t) {
      fetch_keys(stages[0], a, tile, segment, some, 0, t);
      store_queries(stages[0], read_queries(a, tile, 0, t), t);
      if (t < LATENT_ROWS) spans[t] = a.seen(tile.position + (t < rows ? t / tile.n_heads : 0), segment);
      products[t] = {};
      scale[t] = {};
      for (int k = 0; k < 2; ++k) {
        const int key = t % HALF + k * HALF;
        if (TYPE != KvType::q8 || key < some.begin || key >= some.end) continue;
        const float* const of_key = a.cache.latent_scales(latents_of(a, tile, segment, key), key % KV_BLOCK);
        scale[t].of[k] = {{of_key[0], of_key[1]}};
      }
      copies_done();
    });
    int current = 0;
    for (int d = 0; d < head_dim; d += DIMS, current = 1 - current) {
      block.own([&](int t) {
        if (d + DIMS < head_dim) {
          fetch_keys(stages[1 - current], a, tile, segment, some, d + DIMS, t);
          q[t] = read_queries(a, tile, d + DIMS, t);
        }
        const bool needed = t % HALF < some.end && t % HALF + HALF >= some.begin && t / HALF * HALF_ROWS < rows;
        if (needed) multiply(products[t], a, stages[current], scale[t].of, d, t);
      });
      block.each([&](int t) {
        if (d + DIMS < head_dim) store_queries(stages[1 - current], q[t], t);
        copies_done();
      });
    }

    block.each([&](int t) {
      NEXTOKEN_UNROLL
      for (int k = 0; k < 2; ++k) {
        const int key = t % HALF + k * HALF;
        NEXTOKEN_UNROLL
        for (int i = 0; i < HALF_ROWS; ++i) {
          const int r = t / HALF * HALF_ROWS + i;
          if (r >= rows) break;
          const bool seen = key >= spans[r].begin && key < spans[r].end;
          scores[key][r] =
              seen ? a.finished(tile, tile.first_head, r, segment, key, products[t].v[k][i]) : MINUS_INFINITY;
        }
      }
    });
    weigh_keys<LATENT_ROWS>(block, [&](int r, int key) -> float& { return scores[key][r]; }, rows, most, sums);

    block.own([&](int t) {
      if (t < rows) {
        const bool nothing = spans[t].begin >= spans[t].end;
        a.partials.max[partial(t)] = most[t];
        a.partials.sum[partial(t)] = nothing ? 0.0f : sums[t];
      }
      const int row_bytes = (int)a.cache.latent_at(1, 0) * BYTES;
      for (int d = 2 * t; d < width; d += 2 * THREADS) {
        float sum[LATENT_ROWS][2] = {};
        for (int from = some.begin / AT_ONCE * AT_ONCE; from < some.end; from += AT_ONCE) {
          uint8_t* const latents = latents_of(a, tile, segment, from);
          const uint8_t* const at = latents + from % KV_BLOCK * row_bytes + d * BYTES;
          const float* const scales = a.cache.latent_scales(latents, from % KV_BLOCK);
          Values values[AT_ONCE];
          NEXTOKEN_UNROLL
          for (int i = 0; i < AT_ONCE; ++i) values[i] = values_at(at + i * row_bytes, scales + 2 * i);
          NEXTOKEN_UNROLL
          for (int i = 0; i < AT_ONCE; ++i) {
            const int key = from + i;
            if (key < some.begin || key >= some.end) continue;
            const bool whole = key >= all.begin && key < all.end;
            const Pair value = floats_of(values[i]);
            NEXTOKEN_UNROLL
            for (int r = 0; r < LATENT_ROWS; r += 4) {
              const Words weights = load_words(&scores[key][r]);
              NEXTOKEN_UNROLL
              for (int k = 0; k < 4; ++k) {
                if (!whole && (key < spans[r + k].begin || key >= spans[r + k].end)) continue; // not multiplied by 0
                for (int j = 0; j < 2; ++j)
                  sum[r + k][j] = fma1(float_of_bits(weights.v[k]), value.v[j], sum[r + k][j]);
              }
            }
          }
        }
        float* out = a.partials.out + partial(0) * width + d; // of one row after the other
        NEXTOKEN_UNROLL
        for (int r = 0, head = 0; r < LATENT_ROWS; ++r) {
          if (r >= rows) break;
          for (int j = 0; j < 2; ++j) out[j] = sum[r][j];
          const bool last_head = ++head == tile.n_heads;
          out += (last_head ? a.n_heads - tile.n_heads + 1 : 1) * a.partials.n_segments * width;
          if (last_head) head = 0;
        }
      }
    });
  }
};

} // namespace nextoken::cuda
