// nextoken._native.kernels: the cache's layout and attention on arrays.
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/float_environment.h"
#include "bindings.h"
#include "cache/cache.h"
#include "kernel_arrays.h"
#include "model.h"

namespace nextoken::bindings {
namespace {

// Keys [blocks][heads][KV_BLOCK / 16][head_dim][16], values [blocks][heads][KV_BLOCK][padded head_dim]; of
// q8 bytes [blocks][heads][of a head in a block].

struct Blocks {
  KvType type;
  int64_t n_blocks, n_kv_heads, head_dim, k_bytes, v_bytes; // bytes of one head of a block
  char *k, *v;
};

// q8 arrays do not tell the width of a head: `head_dim` does.
Blocks blocks_of(const py::array& k_cache, const py::array& v_cache, bool writable, int64_t head_dim) {
  Blocks b{};
  if (k_cache.dtype().is(py::dtype("float16")))
    b.type = KvType::f16;
  else if (k_cache.dtype().is(py::dtype("float32")))
    b.type = KvType::f32;
  else if (k_cache.dtype().is(py::dtype("int8")))
    b.type = KvType::q8;
  else
    throw py::type_error("k_cache: needs float16 or float32, or int8 for q8");
  const bool q8 = b.type == KvType::q8;
  require_axes(k_cache, q8 ? 3 : 5, "k_cache");
  require_axes(v_cache, q8 ? 3 : 4, "v_cache");
  if (!v_cache.dtype().is(k_cache.dtype())) throw py::type_error("v_cache: needs the dtype of k_cache");
  if (!(k_cache.flags() & py::array::c_style)) throw py::value_error("k_cache: needs to be contiguous");
  if (!(v_cache.flags() & py::array::c_style)) throw py::value_error("v_cache: needs to be contiguous");
  b.n_blocks = k_cache.shape(0);
  b.n_kv_heads = k_cache.shape(1);
  b.head_dim = q8 ? head_dim : k_cache.shape(3);
  if (q8 && (head_dim < 1 || head_dim > MOST_Q8_HEAD_DIM)) {
    throw py::value_error("k_cache: q8 takes heads of 1 to " + std::to_string(MOST_Q8_HEAD_DIM) + " elements");
  }
  const KvShape shape{1, b.n_kv_heads, b.head_dim, b.type};
  b.k_bytes = shape.k_bytes();
  b.v_bytes = shape.v_bytes();
  require_size(v_cache.shape(0), b.n_blocks, "v_cache axis 0");
  require_size(v_cache.shape(1), b.n_kv_heads, "v_cache axis 1");
  if (q8) {
    require_size(k_cache.shape(2), b.k_bytes, "k_cache axis 2");
    require_size(v_cache.shape(2), b.v_bytes, "v_cache axis 2");
  } else {
    require_size(k_cache.shape(2), KV_BLOCK / 16, "k_cache axis 2");
    require_size(k_cache.shape(4), 16, "k_cache axis 4");
    require_size(v_cache.shape(2), KV_BLOCK, "v_cache axis 2");
    require_size(v_cache.shape(3), (b.head_dim + 15) / 16 * 16, "v_cache axis 3");
  }
  if (writable && (!k_cache.writeable() || !v_cache.writeable()))
    throw py::value_error("k_cache, v_cache: need to be writable");
  b.k = (char*)k_cache.data();
  b.v = (char*)v_cache.data();
  return b;
}

void kv_write(py::array k_cache, py::array v_cache, const Floats& k, const Floats& v, const Indices& slots,
              const py::object& isa) {
  require_axes(k, 3, "k");
  const Blocks b = blocks_of(k_cache, v_cache, true, k.shape(2));
  for (const auto& [array, name] : {std::pair<const Floats&, const char*>{k, "k"}, {v, "v"}}) {
    require_axes(array, 3, name);
    require_size(array.shape(0), slots.size(), name);
    require_size(array.shape(1), b.n_kv_heads, name);
    require_size(array.shape(2), b.head_dim, name);
  }
  const int64_t *slot = slots.data(), n = slots.size();
  for (int64_t t = 0; t < n; ++t)
    if (slot[t] < 0 || slot[t] >= b.n_blocks * KV_BLOCK)
      throw py::index_error("slots: " + std::to_string(slot[t]) + " is outside the cache");
  const KernelTable& kernels = table_of(isa);
  const float *from_k = k.data(), *from_v = v.data();
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  for (int64_t t = 0; t < n; ++t)
    for (int64_t h = 0; h < b.n_kv_heads; ++h) {
      const int64_t head = slot[t] / KV_BLOCK * b.n_kv_heads + h, row = (t * b.n_kv_heads + h) * b.head_dim;
      kernels.kv_write(b.type, from_k + row, from_v + row, b.head_dim, slot[t] % KV_BLOCK, b.k + head * b.k_bytes,
                       b.v + head * b.v_bytes);
    }
}

py::tuple kv_read(const py::array& k_cache, const py::array& v_cache, const Indices& slots, const py::object& isa,
                  int64_t head_dim) {
  const Blocks b = blocks_of(k_cache, v_cache, false, head_dim);
  Floats k({(py::ssize_t)slots.size(), (py::ssize_t)b.n_kv_heads, (py::ssize_t)b.head_dim}), v = like(k);
  for (int64_t t = 0; t < slots.size(); ++t) {
    const int64_t slot = slots.data()[t];
    if (slot < 0 || slot >= b.n_blocks * KV_BLOCK) throw py::index_error("slots: outside the cache");
    for (int64_t h = 0; h < b.n_kv_heads; ++h) {
      const int64_t head = slot / KV_BLOCK * b.n_kv_heads + h, row = (t * b.n_kv_heads + h) * b.head_dim;
      table_of(isa).kv_read(b.type, b.k + head * b.k_bytes, b.v + head * b.v_bytes, b.head_dim, slot % KV_BLOCK,
                            k.mutable_data() + row, v.mutable_data() + row);
    }
  }
  return py::make_tuple(k, v);
}

// One call by attention_segment and attention_merge, as decoding does.
void attention_by_segments(const KernelTable& kernels, const AttentionArgs& args, float* y, int64_t y_stride,
                           float* scratch) {
  const int64_t value_dim = args.latent_dim ? args.latent_dim : args.head_dim;
  const int64_t rows = args.n_tokens * args.group, width = (value_dim + 15) / 16 * 16;
  const int64_t n_segments = (args.first_position + args.n_tokens - 1) / ATTENTION_SEGMENT + 1;
  std::vector<float> max((size_t)(n_segments * rows)), sum(max.size()), out(max.size() * (size_t)width);
  for (int64_t s = 0; s < n_segments; ++s)
    kernels.attention_segment(args, s, &max[(size_t)(s * rows)], &sum[(size_t)(s * rows)],
                              &out[(size_t)(s * rows * width)], width, scratch);
  for (int64_t r = 0; r < rows; ++r)
    kernels.attention_merge(n_segments, &max[(size_t)r], &sum[(size_t)r], rows, &out[(size_t)(r * width)], rows * width,
                            value_dim, args.sinks ? args.sinks + r % args.group : nullptr,
                            y + r / args.group * y_stride + r % args.group * value_dim);
}

Floats paged_attention(const Floats& q, const py::array& k_cache, const py::array& v_cache, const Indices& block_table,
                       int64_t n_keys, bool causal, int64_t window, float scale, float cap, const py::object& isa,
                       int64_t token_step, bool by_segments, const std::optional<Floats>& slopes,
                       const std::optional<Floats>& sinks) {
  require_axes(q, 3, "q");
  const Blocks b = blocks_of(k_cache, v_cache, false, q.shape(2));
  require_size(q.shape(2), b.head_dim, "q axis 2");
  const int64_t n_tokens = q.shape(0), n_heads = q.shape(1), head_dim = b.head_dim;
  if (head_dim < 1 || b.n_kv_heads < 1 || n_heads % b.n_kv_heads != 0)
    throw py::value_error("q: its heads need to be a multiple of the cache's");
  if (n_keys < 1 || n_keys > block_table.size() * KV_BLOCK) throw py::value_error("n_keys: block_table is too short");
  if (causal && n_tokens > n_keys) throw py::value_error("q: more tokens than keys");
  if (token_step < 1) throw py::value_error("token_step: needs at least 1");
  for (int64_t i = 0; i < block_table.size(); ++i)
    if (block_table.data()[i] < 0 || block_table.data()[i] >= b.n_blocks)
      throw py::index_error("block_table: outside the cache");
  if (slopes) require_size(slopes->size(), n_heads, "slopes");
  if (sinks) require_size(sinks->size(), n_heads, "sinks");
  const float* const all_sinks = sinks ? sinks->data() : nullptr;
  const float* const all_slopes = slopes ? slopes->data() : nullptr;
  const KernelTable& kernels = table_of(isa);
  Floats y = like(q);
  const float* from = q.data();
  float* to = y.mutable_data();
  const int64_t *table = block_table.data(), n_blocks = (n_keys + KV_BLOCK - 1) / KV_BLOCK;
  py::gil_scoped_release release;
  const DefaultFloatEnvironment environment;
  const int64_t group = n_heads / b.n_kv_heads, step = causal ? std::min(token_step, n_tokens) : 1;
  Buffer scratch(kernels.attention_scratch(std::max<int64_t>(step, 1) * group, head_dim) * 4, "attention scratch");
  std::vector<const void*> keys((size_t)n_blocks), values((size_t)n_blocks);
  for (int64_t h = 0; h < b.n_kv_heads; ++h) {
    for (int64_t i = 0; i < n_blocks; ++i) {
      keys[(size_t)i] = b.k + (table[i] * b.n_kv_heads + h) * b.k_bytes;
      values[(size_t)i] = b.v + (table[i] * b.n_kv_heads + h) * b.v_bytes;
    }
    for (int64_t t = 0; t < n_tokens; t += step) {
      AttentionArgs args{};
      args.kv_type = b.type;
      args.head_dim = head_dim;
      args.k_blocks = keys.data();
      args.v_blocks = values.data();
      args.q = from + (t * n_heads + h * group) * head_dim;
      args.q_stride = n_heads * head_dim;
      args.n_tokens = std::min(step, n_tokens - t);
      args.group = group;
      args.first_position = causal ? n_keys - n_tokens + t : n_keys - 1;
      args.window = window;
      args.scale = scale;
      args.soft_cap = cap;
      args.sinks = all_sinks ? all_sinks + h * group : nullptr;
      args.slopes = all_slopes ? all_slopes + h * group : nullptr;
      float* const out = to + (t * n_heads + h * group) * head_dim;
      if (by_segments)
        attention_by_segments(kernels, args, out, args.q_stride, scratch.as<float>());
      else
        kernels.attention(args, out, args.q_stride, scratch.as<float>());
    }
  }
  return y;
}

// Latents (T, head_dim) as blocks of a cache, bytes (ceil(T / KV_BLOCK), of a block). For tests and benchmarks.
py::array_t<uint8_t> latent_blocks(const Floats& x, int64_t latent_dim, const std::string& kv_dtype,
                                   const py::object& isa) {
  require_axes(x, 2, "x");
  const int64_t n = x.shape(0), head_dim = x.shape(1);
  if (latent_dim < 1 || latent_dim > head_dim) throw py::value_error("latent_dim: needs 1 to x axis 1");
  const KvShape shape{1, 1, head_dim, kv_type(kv_dtype), latent_dim};
  py::array_t<uint8_t> blocks({(n + KV_BLOCK - 1) / KV_BLOCK, shape.k_bytes()});
  std::fill_n(blocks.mutable_data(), blocks.size(), (uint8_t)0xff); // NaN: what nobody wrote must not matter
  const DefaultFloatEnvironment environment;
  for (int64_t t = 0; t < n; ++t)
    table_of(isa).latent_write(shape.type, x.data(t, 0), head_dim, latent_dim, t % KV_BLOCK,
                               blocks.mutable_data(t / KV_BLOCK, 0));
  return blocks;
}

// Queries (T, n_heads, head_dim) of the last T of n_keys tokens: (T, n_heads, latent_dim).
Floats attention_to_latents(const Floats& q, const py::array_t<uint8_t, py::array::c_style>& blocks, int64_t n_keys,
                            int64_t latent_dim, const std::string& kv_dtype, float scale, int64_t token_step,
                            bool by_segments, const py::object& isa) {
  require_axes(q, 3, "q");
  require_axes(blocks, 2, "blocks");
  const int64_t n_tokens = q.shape(0), n_heads = q.shape(1), head_dim = q.shape(2);
  if (latent_dim < 1 || latent_dim > head_dim) throw py::value_error("latent_dim: needs 1 to q axis 2");
  const KvShape shape{1, 1, head_dim, kv_type(kv_dtype), latent_dim};
  require_size(blocks.shape(1), shape.k_bytes(), "blocks axis 1");
  if (n_keys < 1 || n_keys > blocks.shape(0) * KV_BLOCK) throw py::value_error("n_keys: blocks are too few");
  if (n_tokens > n_keys) throw py::value_error("q: more tokens than keys");
  if (token_step < 1) throw py::value_error("token_step: needs at least 1");
  const KernelTable& kernels = table_of(isa);
  Floats y({n_tokens, n_heads, latent_dim});
  Buffer scratch(kernels.attention_scratch(std::min(token_step, n_tokens) * n_heads, head_dim) * 4, "scratch");
  std::vector<const void*> keys;
  for (int64_t b = 0; b < blocks.shape(0); ++b) keys.push_back(blocks.data(b, 0));
  const DefaultFloatEnvironment environment;
  for (int64_t t = 0; t < n_tokens; t += token_step) {
    AttentionArgs args{};
    args.kv_type = shape.type;
    args.head_dim = head_dim;
    args.latent_dim = latent_dim;
    args.k_blocks = keys.data();
    args.q = q.data(t, 0, 0);
    args.q_stride = n_heads * head_dim;
    args.n_tokens = std::min(token_step, n_tokens - t);
    args.group = n_heads;
    args.first_position = n_keys - n_tokens + t;
    args.scale = scale;
    float* const out = y.mutable_data(t, 0, 0);
    if (by_segments)
      attention_by_segments(kernels, args, out, n_heads * latent_dim, scratch.as<float>());
    else
      kernels.attention(args, out, n_heads * latent_dim, scratch.as<float>());
  }
  return y;
}

} // namespace

void bind_kernels_attention(py::module_& m) {
  py::module_ k = m.attr("kernels");
  const auto isa = py::arg("isa") = py::none();
  k.def("kv_write", kv_write, py::arg("k_cache"), py::arg("v_cache"), py::arg("k").noconvert(),
        py::arg("v").noconvert(), py::arg("slots").noconvert(), isa);
  k.def("kv_read", kv_read, py::arg("k_cache"), py::arg("v_cache"), py::arg("slots").noconvert(), isa,
        py::arg("head_dim") = 0);
  k.def("paged_attention", paged_attention, py::arg("q").noconvert(), py::arg("k_cache"), py::arg("v_cache"),
        py::arg("block_table").noconvert(), py::arg("n_keys"), py::arg("causal"), py::arg("window"), py::arg("scale"),
        py::arg("soft_cap"), isa, py::arg("token_step") = 16, py::arg("by_segments") = false,
        py::arg("slopes") = py::none(), py::arg("sinks") = py::none());
  k.def("latent_blocks", latent_blocks, py::arg("x").noconvert(), py::arg("latent_dim"), py::arg("kv_dtype"), isa);
  k.def("attention_to_latents", attention_to_latents, py::arg("q").noconvert(), py::arg("blocks").noconvert(),
        py::arg("n_keys"), py::arg("latent_dim"), py::arg("kv_dtype"), py::arg("scale"), py::arg("token_step") = 4,
        py::arg("by_segments") = false, isa);
  k.attr("KV_BLOCK") = KV_BLOCK;
}

} // namespace nextoken::bindings
