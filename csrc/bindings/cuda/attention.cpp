// Attention of a card over a cache made on the spot, on NumPy arrays: what the tests compare with the CPU's.
#include <pybind11/stl.h>

#include <optional>

#include "bindings/cuda/arrays.h"
#include "bindings/cuda/module.h"
#include "cache/cache.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/queue.h"

namespace py = pybind11;

namespace nextoken::cuda {
namespace {

template <class T>
Buffer on_card(Card& card, const std::vector<T>& values) {
  Buffer buffer(&card, (int64_t)(values.size() * sizeof(T)), "an array");
  if (!values.empty()) card.upload(buffer.data(), values.data(), buffer.size());
  return buffer;
}
Buffer on_card(Card& card, const std::optional<Floats>& values) { return values ? on_card(card, *values) : Buffer(); }

Floats attention_arrays(const py::capsule& device, const Floats& q, const Floats& k, const Floats& v, int kv_type,
                        int64_t window, float scale, float soft_cap, const std::optional<Floats>& slopes,
                        const std::optional<Floats>& sinks, int64_t latent_dim) {
  Card& card = card_of(device);
  Queue queue(card);
  if (q.ndim() != 3 || k.ndim() != 3 || k.size() != v.size() || q.size() == 0 || q.shape(0) > k.shape(0) ||
      q.shape(2) != k.shape(2) || q.shape(1) % k.shape(1) != 0 || kv_type < 0 || kv_type > (int)KvType::q8) {
    throw std::invalid_argument("q must be (T, heads, head_dim), k and v (T_kv, kv heads, head_dim)");
  }
  const int64_t rows = q.shape(0), n_heads = q.shape(1), d = q.shape(2), n_keys = k.shape(0), kv_heads = k.shape(1);
  for (const std::optional<Floats>* each : {&slopes, &sinks}) {
    if (*each && (*each)->size() != n_heads) throw std::invalid_argument("slopes and sinks must be (heads,)");
  }
  if (latent_dim < 0 || latent_dim > d || (latent_dim && kv_heads != 1))
    throw std::invalid_argument("latents are of one kv head, latent_dim at most head_dim");
  const KvShape shape{1, kv_heads, d, (KvType)kv_type, latent_dim};
  const int64_t value_dim = layout_of(shape, 0).value_dim();
  const CacheLayout layout = layout_of(shape, 0);
  const int64_t n_blocks = divide_up(n_keys, KV_BLOCK), n_segments = divide_up(n_keys, ATTENTION_SEGMENT);
  const Buffer memory(&card, n_blocks * shape.block_bytes(), "a cache");
  std::vector<uint8_t*> table;
  std::vector<RowPlace> places;
  // Blocks in the opposite order: the table alone says where they are.
  for (int64_t b = 0; b < n_blocks; ++b) table.push_back(memory.data() + (n_blocks - 1 - b) * shape.block_bytes());
  for (int64_t i = 0; i < n_keys; ++i) places.push_back({table[(size_t)(i / KV_BLOCK)], i % KV_BLOCK});
  std::vector<AttentionTile> tiles;
  add_tiles(tiles, {0, n_keys - rows, 0, 0, 0, 0}, rows, n_heads / kv_heads, latent_dim > 0);

  const Buffer queries = on_card(card, q), keys = on_card(card, k), values = on_card(card, v);
  const Buffer told_places = on_card(card, places);
  const Buffer told_table = on_card(card, table), told_tiles = on_card(card, tiles);
  const Buffer told_slopes = on_card(card, slopes), told_sinks = on_card(card, sinks);
  const int64_t results = rows * n_heads * n_segments;
  const Buffer room(&card, results * (layout.width + 2) * 4, "partial results"),
      out(&card, rows * n_heads * value_dim * 4, "a result");
  float* const out_room = room.as<float>();
  const Partials partials{out_room + results * layout.width, out_room + results * (layout.width + 1), out_room,
                          n_segments, 0};
  kv_write(queue,
           {layout, told_places.as<RowPlace>(), keys.as<float>(), values.as<float>(), kv_heads * d, kv_heads * d},
           n_keys, kv_heads);
  attention(queue,
            {layout, told_table.as<uint8_t*>(), told_tiles.as<AttentionTile>(), queries.as<float>(), n_heads * d,
             n_heads, n_heads / kv_heads, window, scale, soft_cap, told_slopes.as<float>(), partials},
            (int64_t)tiles.size(), kv_heads);
  merge(queue,
        {partials, n_heads, value_dim, layout.width, out.as<float>(), n_heads * value_dim, told_sinks.as<float>()},
        rows);
  return to_array(card, out.as<float>(), {(py::ssize_t)rows, (py::ssize_t)n_heads, (py::ssize_t)value_dim});
}

/// Heads of x [T, H * from] times matrices of their own, packed [N, K] each, and what stands behind their K elements.
Floats head_matmul_arrays(const py::capsule& device, int type_number, const std::vector<Bytes>& panels, int64_t n_rows,
                          int64_t k, const Floats& x) {
  Card& card = card_of(device);
  CudaKernels kernels(card);
  const int64_t n = (int64_t)panels.size(), n_panels = divide_up(n_rows, PANEL_ROWS);
  require(multiplies((WeightType)type_number) && n > 0, "no such weight type, or no matrix");
  require(x.ndim() == 2 && x.shape(0) > 0 && x.shape(1) % n == 0 && x.shape(1) / n >= k, "x must be (T, H * from)");
  const int64_t rows = x.shape(0), to = x.shape(1) / n - k + n_rows;
  std::vector<Buffer> weights;
  std::vector<Matrix> heads;
  for (const Bytes& head : panels) {
    require(head.size() == panels[0].size() && head.size() % n_panels == 0, "panels must be those of N rows");
    weights.push_back(on_card(card, head));
    heads.push_back({(WeightType)type_number, form_of((WeightType)type_number), n_rows, k,
                     (int64_t)head.size() / n_panels, weights.back().data()});
  }
  const Buffer in = on_card(card, x), out(&card, rows * n * to * 4, "a product");
  Hidden room(rows * n, k, &card);
  const Rows<float> y{out.as<float>(), rows, n * to, n * to};
  kernels.head_matmul({}, {in.as<float>(), rows, x.shape(1), x.shape(1)}, heads, room, y);
  kernels.finish();
  return to_array(card, y.data, {(py::ssize_t)rows, (py::ssize_t)(n * to)});
}

} // namespace

void bind_attention(py::module_& m) {
  m.def("attention", attention_arrays, py::arg("device"), py::arg("q"), py::arg("k"), py::arg("v"), py::arg("kv_type"),
        py::arg("window"), py::arg("scale"), py::arg("soft_cap"), py::arg("slopes"), py::arg("sinks"),
        py::arg("latent_dim") = 0,
        "Causal attention of the last T of T_kv positions; window and soft_cap of 0 for none. Unless latent_dim is 0, "
        "the first so many elements of a key are the value, and v is not read.");
  m.def("head_matmul", head_matmul_arrays, py::arg("device"), py::arg("type"), py::arg("panels"), py::arg("n_rows"),
        py::arg("k"), py::arg("x"));
}

} // namespace nextoken::cuda
