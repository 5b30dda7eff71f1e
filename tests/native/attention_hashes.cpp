#include "attention_hashes.h"

#include "cache/cache.h"
#include "kernels/table.h"

using namespace nextoken;

namespace {

struct Heads {
  KvType type;
  int64_t head_dim, n_tokens, group, first_position, window;
  float soft_cap;
};

void attention(const KernelTable& kernels, Record& record) {
  for (const Heads& h : {Heads{KvType::f32, 64, 5, 3, 0, 0, 0.0f}, Heads{KvType::f16, 64, 1, 3, 900, 0, 0.0f},
                         Heads{KvType::f16, 80, 17, 1, 300, 100, 0.0f}, Heads{KvType::f16, 256, 33, 4, 500, 0, 30.0f},
                         Heads{KvType::f32, 20, 9, 2, 250, 7, 5.0f}, Heads{KvType::q8, 64, 1, 3, 900, 0, 0.0f},
                         Heads{KvType::q8, 80, 17, 1, 300, 100, 0.0f}, Heads{KvType::q8, 256, 33, 4, 500, 0, 30.0f},
                         Heads{KvType::q8, 21, 9, 2, 250, 7, 5.0f}}) {
    Random random((uint64_t)h.head_dim);
    const int64_t last = h.first_position + h.n_tokens, n_blocks = (last + KV_BLOCK - 1) / KV_BLOCK;
    const KvShape shape{1, 1, h.head_dim, h.type};
    const std::string cache = h.type == KvType::q8 ? " q8" : "";
    std::vector<Buffer> blocks;
    std::vector<const void*> k_blocks, v_blocks;
    for (int64_t b = 0; b < 2 * n_blocks; ++b) {
      blocks.emplace_back(b % 2 ? shape.v_bytes() : shape.k_bytes(), "a block");
      (b % 2 ? v_blocks : k_blocks).push_back(blocks.back().data());
    }
    Floats k_back((size_t)h.head_dim), v_back = k_back;
    for (int64_t t = 0; t < last; ++t) {
      const Floats k = random.numbers(h.head_dim), v = random.numbers(h.head_dim);
      const size_t block = (size_t)(t / KV_BLOCK * 2);
      kernels.kv_write(h.type, k.data(), v.data(), h.head_dim, t % KV_BLOCK, blocks[block].data(),
                       blocks[block + 1].data());
      kernels.kv_read(h.type, blocks[block].data(), blocks[block + 1].data(), h.head_dim, t % KV_BLOCK, k_back.data(),
                      v_back.data());
      record.add("kv" + cache, k_back);
      record.add("kv" + cache, v_back);
    }
    const int64_t n_rows = h.n_tokens * h.group;
    const Floats q = random.numbers(n_rows * h.head_dim);
    AttentionArgs args{h.type,     h.head_dim, k_blocks.data(),  v_blocks.data(), q.data(), h.group * h.head_dim,
                       h.n_tokens, h.group,    h.first_position, h.window,        0.125f,   h.soft_cap,
                       {},         nullptr,    nullptr};
    Floats scratch((size_t)kernels.attention_scratch(n_rows, h.head_dim)), y(q.size());
    kernels.attention(args, y.data(), h.group * h.head_dim, scratch.data());
    record.add("attention" + cache, y);
    const float slopes[] = {0.25f, 0.0625f, 0.015625f, 0.00390625f};
    args.slopes = slopes;
    kernels.attention(args, y.data(), h.group * h.head_dim, scratch.data());
    record.add("attention with distances" + cache, y);
    const float sinks[] = {-3.0f, 0.5f, 4.0f, 40.0f};
    args.slopes = nullptr, args.sinks = sinks;
    kernels.attention(args, y.data(), h.group * h.head_dim, scratch.data());
    record.add("attention with sinks" + cache, y);
  }
}

struct Latents {
  KvType type;
  int64_t head_dim, latent_dim, n_tokens, group, first_position;
};

void attention_to_latents(const KernelTable& kernels, Record& record) {
  for (const Latents& h : {Latents{KvType::f32, 36, 32, 5, 3, 0}, Latents{KvType::f16, 576, 512, 1, 16, 600},
                           Latents{KvType::f16, 29, 21, 4, 5, 130}, Latents{KvType::q8, 576, 512, 1, 16, 600},
                           Latents{KvType::q8, 29, 21, 4, 5, 130}, Latents{KvType::q8, 48, 40, 7, 2, 250}}) {
    Random random((uint64_t)h.head_dim);
    const int64_t last = h.first_position + h.n_tokens, n_rows = h.n_tokens * h.group;
    const KvShape shape{1, 1, h.head_dim, h.type, h.latent_dim};
    const std::string cache = h.type == KvType::q8 ? " q8" : "";
    std::vector<Buffer> blocks;
    std::vector<const void*> k_blocks;
    Floats back((size_t)h.head_dim);
    for (int64_t t = 0; t < last; ++t) {
      if (t % KV_BLOCK == 0) {
        blocks.emplace_back(shape.k_bytes(), "a block");
        k_blocks.push_back(blocks.back().data());
      }
      kernels.latent_write(h.type, random.numbers(h.head_dim).data(), h.head_dim, h.latent_dim, t % KV_BLOCK,
                           blocks.back().data());
      kernels.latent_read(h.type, blocks.back().data(), h.head_dim, h.latent_dim, t % KV_BLOCK, back.data());
      record.add("latents" + cache, back);
    }
    const Floats q = random.numbers(n_rows * h.head_dim);
    AttentionArgs args{h.type,     h.head_dim, k_blocks.data(),  nullptr,     q.data(), h.group * h.head_dim,
                       h.n_tokens, h.group,    h.first_position, 0,           0.125f,   0.0f,
                       {},         nullptr,    nullptr,          h.latent_dim};
    Floats scratch((size_t)kernels.attention_scratch(n_rows, h.head_dim)), y((size_t)(n_rows * h.latent_dim));
    kernels.attention(args, y.data(), h.group * h.latent_dim, scratch.data());
    record.add("attention to latents" + cache, y);
  }
}

} // namespace

void attention_hashes(const KernelTable& kernels, Record& record) {
  attention(kernels, record);
  attention_to_latents(kernels, record);
}
