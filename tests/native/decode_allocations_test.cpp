// A decoded token allocates nothing, but where its cache needs a new block. Exits with 1 and says where it does.
// Counts calls of malloc and its relatives through glibc's own names; elsewhere, and under sanitizers, only of new.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <new>
#include <random>
#include <vector>

#include "model/load.h"
#include "model/pass.h"
#include "sampling/sampler.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> n_allocations{0};

void count() {
  if (counting) n_allocations.fetch_add(1, std::memory_order_relaxed);
}

} // namespace

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t n, size_t size);
void* __libc_realloc(void* p, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  count();
  return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) {
  count();
  return __libc_calloc(n, size);
}
void* realloc(void* p, size_t size) {
  count();
  return __libc_realloc(p, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** p, size_t alignment, size_t size) {
  count();
  *p = __libc_memalign(alignment, size);
  return *p ? 0 : 12; // ENOMEM
}
}
#else
void* operator new(size_t size) {
  count();
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
#endif

namespace {

using namespace nextoken;

constexpr int64_t HIDDEN = 64, FFN = 96, VOCAB = 128, HEAD_DIM = 16, HEADS = 4, KV_HEADS = 2, LAYERS = 2;

/// Writes random tensors of a small decoder one after the other, and remembers where.
struct ModelFile {
  explicit ModelFile(const char* path) : out(path, std::ios::binary) {}

  void norm(const std::string& role) {
    const std::vector<float> ones(HIDDEN, 1.0f);
    add(role, 0, {HIDDEN}, ones.data(), HIDDEN * 4);
  }
  void q8_0(const std::string& role, int64_t k, int64_t rows) {
    std::vector<uint8_t> blocks((size_t)(rows * k / 32 * 34));
    for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = (uint8_t)random();
    for (size_t i = 0; i < blocks.size(); i += 34) blocks[i] = 0x00, blocks[i + 1] = 0x1c; // scale 2^-8
    add(role, 8, {k, rows}, blocks.data(), (int64_t)blocks.size());
  }
  void add(const std::string& role, int32_t type, std::vector<int64_t> shape, const void* bytes, int64_t n) {
    out.write(static_cast<const char*>(bytes), n);
    TensorSource& source = sources[role];
    source.name = role;
    source.type = type;
    source.shape = std::move(shape);
    source.offset = offset;
    source.nbytes = n;
    offset += n;
  }

  std::ofstream out;
  std::mt19937 random{1};
  TensorSources sources;
  int64_t offset = 0;
};

std::unique_ptr<Model> make_model(const char* path, int n_threads) {
  Spec spec;
  spec.n_ctx = 1024;
  spec.vocab_size = VOCAB;
  spec.hidden_size = HIDDEN;
  spec.ffn_size = FFN;
  spec.n_heads = HEADS;
  spec.n_kv_heads = KV_HEADS;
  spec.head_dim = spec.n_rot = HEAD_DIM;
  spec.attention_scale = 0.25;
  spec.layers.resize(LAYERS);
  ModelFile file(path);
  file.q8_0("embedding", HIDDEN, VOCAB);
  file.norm("final_norm");
  for (int64_t i = 0; i < LAYERS; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    file.norm(layer + "attn_norm");
    file.norm(layer + "ffn_norm");
    file.q8_0(layer + "q", HIDDEN, HEADS * HEAD_DIM);
    file.q8_0(layer + "k", HIDDEN, KV_HEADS * HEAD_DIM);
    file.q8_0(layer + "v", HIDDEN, KV_HEADS * HEAD_DIM);
    file.q8_0(layer + "o", HEADS * HEAD_DIM, HIDDEN);
    file.q8_0(layer + "gate", HIDDEN, FFN);
    file.q8_0(layer + "up", HIDDEN, FFN);
    file.q8_0(layer + "down", FFN, HIDDEN);
  }
  file.out.close();
  return load_model(spec, file.sources, {path}, {}, n_threads, nullptr, nullptr, true, nullptr,
                    [](int64_t, int64_t) {});
}

/// Overwrites the token to append next.
struct Chooser : LastRows {
  sampling::Sampler& sampler;
  int32_t& id;
  Chooser(sampling::Sampler& sampler, int32_t& id) : sampler(sampler), id(id) {}
  void take(size_t, const float* logits) override { id = sampler.choose(logits, VOCAB, 0).id; }
  Thinning thinning(size_t) override { return sampler.thinning(); }
  void take(size_t, const ThinRow& row) override { id = sampler.choose(row, 0).id; }
};

/// Decodes past two segments of attention; returns the number of steps that allocated without need.
int decode(Model& model, sampling::SamplerSettings settings, const char* name) {
  sampling::Sampler sampler(kernel_table(), std::move(settings), VOCAB, VOCAB);
  Cache cache({LAYERS, KV_HEADS, HEAD_DIM, KvType::f16}, 1024);
  std::vector<int32_t> ids = {1, 2, 3, 4, 5};
  std::vector<SequenceStep> steps = {{&cache, ids.data(), (int64_t)ids.size()}};
  Chooser chooser(sampler, ids[0]);
  int faults = 0;
  for (int i = 0; i < 600; ++i) {
    const bool new_block = cache.length() % KV_BLOCK == 0;
    n_allocations = 0;
    counting = true;
    {
      const PassQueue::Turn turn(model.queue, nullptr);
      run_pass(model, steps, Logits::last, nullptr, nullptr, &chooser);
    }
    counting = false;
    steps[0].n = 1;
    if (i > 2 && !new_block && n_allocations > 0) {
      std::printf("FAILED: %s: the token at %d allocated %d times\n", name, (int)cache.length() - 1,
                  (int)n_allocations);
      ++faults;
    }
    if (i == 0 && n_allocations == 0) {
      std::printf("FAILED: %s: the first pass allocates, and nothing was counted\n", name);
      ++faults;
    }
  }
  return faults;
}

} // namespace

int main(int, char** argv) {
  const std::string path = std::string(argv[0]) + ".weights";
  int faults = 0;
  for (int n_threads : {1, 2}) {
    const auto model = make_model(path.c_str(), n_threads);
    faults += decode(*model, {}, "greedy");
    sampling::SamplerSettings sampled;
    sampled.temperature = 0.8;
    sampled.top_k = 40;
    sampled.top_p = 0.9;
    sampled.min_p = 0.02;
    faults += decode(*model, sampled, "sampled");
  }
  std::remove(path.c_str());
  std::printf(faults ? "%d faults\n" : "decode allocations: none\n", faults);
  return faults != 0;
}
