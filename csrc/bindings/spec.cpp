// nextoken._native.Spec and LayerSpec: plain data that an architecture fills in.
#include "model/spec.h"

#include <pybind11/stl.h>

#include "bindings.h"
#include "bindings/model.h"

namespace py = pybind11;

namespace nextoken::bindings {

KvType kv_type(const std::string& name) {
  if (name == "f16") return KvType::f16;
  if (name == "f32") return KvType::f32;
  if (name == "q8") return KvType::q8;
  throw std::invalid_argument("kv_dtype must be 'f16', 'f32' or 'q8', not '" + name + "'");
}

KvShape kv_shape(const Spec& spec, const std::string& kv_dtype) {
  const KvShape shape{spec.n_layers(), spec.n_kv_heads, spec.head_dim, kv_type(kv_dtype), spec.latent.rank};
  if (shape.type == KvType::q8 && !shape.latent_dim && spec.head_dim > MOST_Q8_HEAD_DIM) {
    throw std::invalid_argument("kv_dtype: 'q8' takes heads of up to " + std::to_string(MOST_Q8_HEAD_DIM) +
                                " elements, this model's have " + std::to_string(spec.head_dim) + "; use 'f16'");
  }
  return shape;
}

void bind_spec(py::module_& m) {
  py::enum_<RopePairs>(m, "RopePairs", "Which elements of a head rotate together.")
      .value("adjacent", RopePairs::adjacent, "(2i, 2i + 1)")
      .value("halves", RopePairs::halves, "(i, i + n_rot / 2)");
  py::enum_<Gate>(m, "Gate", "The activation of the feed-forward.")
      .value("silu", Gate::silu, "x * sigmoid(x): SwiGLU")
      .value("gelu_tanh", Gate::gelu_tanh, "the tanh form of GELU: GeGLU")
      .value("gelu", Gate::gelu, "x times the normal distribution's share below x")
      .value("relu", Gate::relu, "x above zero, else zero")
      .value("relu_squared", Gate::relu_squared, "its square")
      .value("clamped_silu", Gate::clamped_silu,
             "min(a, 7) sigmoid(1.702 min(a, 7)), times b within [-7, 7] and one; gated only");
  py::enum_<NormKind>(m, "NormKind", "What norms divide by.")
      .value("rms", NormKind::rms, "the root of the mean square")
      .value("layer", NormKind::layer, "the standard deviation, the mean taken off first");
  py::enum_<StreamNorms>(m, "StreamNorms", "Norms whose result is the stream from there on.")
      .value("none", StreamNorms::none)
      .value("before", StreamNorms::before, "of what attention and the feed-forward read and add to")
      .value("behind", StreamNorms::behind, "once what they add is in it, and none at the end");
  py::enum_<Residual>(m, "Residual", "What the feed-forward reads.")
      .value("sequential", Residual::sequential, "the stream with attention's part in it")
      .value("parallel", Residual::parallel, "the stream that attention read, through a norm of its own")
      .value("parallel_one_norm", Residual::parallel_one_norm, "what attention read");

  py::enum_<RopeScaling>(m, "RopeScaling", "How rotary frequencies are slowed for long contexts.")
      .value("linear", RopeScaling::linear, "all divided by rope_factor")
      .value("yarn", RopeScaling::yarn,
             "kept above rope_fast turns in rope_n_ctx, divided below rope_slow, a ramp between")
      .value("llama3", RopeScaling::llama3, "the same with the ramp in the number of turns");
  py::enum_<QKNorm>(m, "QKNorm", "Norms of queries and keys.")
      .value("none", QKNorm::none)
      .value("per_head", QKNorm::per_head, "of each head by itself, with one weight for all")
      .value("each_head", QKNorm::each_head, "of each head by itself, with its own weight")
      .value("whole", QKNorm::whole, "of all heads of a token together")
      .value("unweighted", QKNorm::unweighted, "of each head that was rotated by itself, without a weight");

  py::class_<LayerSpec>(m, "LayerSpec", "How one layer differs from the others.")
      .def(py::init<>())
      .def_readwrite("rope_theta", &LayerSpec::rope_theta, "base of the rotary frequencies")
      .def_readwrite("rope_scaling", &LayerSpec::rope_scaling)
      .def_readwrite("rope_factor", &LayerSpec::rope_factor, "what frequencies are divided by")
      .def_readwrite("rope_n_ctx", &LayerSpec::rope_n_ctx, "context before scaling, of yarn and llama3")
      .def_readwrite("rope_fast", &LayerSpec::rope_fast, "beta_fast of yarn, high_freq_factor of llama3")
      .def_readwrite("rope_slow", &LayerSpec::rope_slow, "beta_slow of yarn, low_freq_factor of llama3")
      .def_readwrite("rope_magnitude", &LayerSpec::rope_magnitude, "cos and sin are multiplied by it")
      .def_readwrite("rope_log_magnitude", &LayerSpec::rope_log_magnitude, "and by 1 + this * ln(rope_factor)")
      .def_readwrite("rope_whole", &LayerSpec::rope_whole, "yarn's bounds are moved out to whole frequencies")
      .def_readwrite("attention_factor", &LayerSpec::attention_factor, "of the spec's attention_scale")
      .def_readwrite("rotates", &LayerSpec::rotates, "False: positions are not told to this layer")
      .def_readwrite("window", &LayerSpec::window, "keys a query sees, itself included; 0 for all")
      .def_readwrite("chunk", &LayerSpec::chunk, "it sees those from the last multiple of this on; 0 for all")
      .def_readwrite("temperature_length", &LayerSpec::temperature_length,
                     "of layers that do not rotate: queries grow each so many positions; 0 for none")
      .def_readwrite("temperature_scale", &LayerSpec::temperature_scale,
                     "by 1 + this * ln(1 + (position + 1) / length)");

  py::class_<ExpertSpec>(m, "ExpertSpec", "A feed-forward of experts, of which a router chooses some for each token.")
      .def(py::init<>())
      .def_readwrite("n_experts", &ExpertSpec::n_experts, "0: one feed-forward for every token")
      .def_readwrite("n_used", &ExpertSpec::n_used, "how many of them a token takes")
      .def_readwrite("ffn_size", &ExpertSpec::ffn_size, "of an expert")
      .def_readwrite("shared_ffn_size", &ExpertSpec::shared_ffn_size, "of one that every token takes; 0 for none")
      .def_readwrite("shared_weighted", &ExpertSpec::shared_weighted, "by a sigmoid of its own; else it is added")
      .def_readwrite("normalized", &ExpertSpec::normalized, "the chosen experts' weights add up to 1")
      .def_readwrite("sigmoid", &ExpertSpec::sigmoid, "weights are sigmoids rather than a softmax")
      .def_readwrite("scale", &ExpertSpec::scale, "of the weights, at last")
      .def_readwrite("weighs_input", &ExpertSpec::weighs_input, "weights are of what experts read, not make")
      .def_readwrite("n_groups", &ExpertSpec::n_groups, "of experts side by side")
      .def_readwrite("n_groups_used", &ExpertSpec::n_groups_used, "the best groups, from which experts are chosen")
      .def_readwrite("dense_layers", &ExpertSpec::dense_layers,
                     "have one feed-forward all the same; assign a whole list");

  py::class_<LatentSpec>(m, "LatentSpec", "Attention to latents, of which each head makes its keys and values.")
      .def(py::init<>())
      .def_readwrite("rank", &LatentSpec::rank, "elements of a latent; 0: keys and values are cached themselves")
      .def_readwrite("q_rank", &LatentSpec::q_rank, "of the latent of queries; 0: they have none")
      .def_readwrite("nope_dim", &LatentSpec::nope_dim, "of a head of q and k, beside n_rot elements that rotate")
      .def_readwrite("value_dim", &LatentSpec::value_dim, "of a head")
      .def_readwrite("norm_eps", &LatentSpec::norm_eps, "of the norms of latents");

  py::class_<Spec>(m, "Spec",
                   "What kind of decoder a model is: everything the forward pass needs to know but the weights.")
      .def(py::init<>())
      .def_readwrite("n_ctx", &Spec::n_ctx, "positions the model was trained for")
      .def_readwrite("vocab_size", &Spec::vocab_size)
      .def_readwrite("hidden_size", &Spec::hidden_size)
      .def_readwrite("embedding_size", &Spec::embedding_size,
                     "of token embeddings that a matrix widens and another narrows; 0: hidden_size")
      .def_readwrite("ffn_size", &Spec::ffn_size)
      .def_readwrite("n_heads", &Spec::n_heads)
      .def_readwrite("n_kv_heads", &Spec::n_kv_heads)
      .def_readwrite("head_dim", &Spec::head_dim)
      .def_readwrite("n_rot", &Spec::n_rot, "elements of a head that rotate")
      .def_readwrite("rope_pairs", &Spec::rope_pairs)
      .def_readwrite("gate", &Spec::gate)
      .def_readwrite("gated", &Spec::gated, "down(gate(gate h) * (up h)), else down(gate(up h))")
      .def_readwrite("norm", &Spec::norm)
      .def_readwrite("qk_norm", &Spec::qk_norm)
      .def_readwrite("qk_norm_rotated", &Spec::qk_norm_rotated, "q and k are rotated first, then normed")
      .def_readwrite("pre_norms", &Spec::pre_norms, "norm of what attention and the feed-forward read")
      .def_readwrite("post_norms", &Spec::post_norms, "norm of what attention and the feed-forward add")
      .def_readwrite("stream_norms", &Spec::stream_norms)
      .def_readwrite("residual", &Spec::residual)
      .def_readwrite("norm_eps", &Spec::norm_eps)
      .def_readwrite("embedding_scale", &Spec::embedding_scale)
      .def_readwrite("residual_scale", &Spec::residual_scale, "of what attention and the feed-forward add")
      .def_readwrite("attention_scale", &Spec::attention_scale, "of q . k, usually 1/sqrt(head_dim)")
      .def_readwrite("attention_soft_cap", &Spec::attention_soft_cap, "0 for none")
      .def_readwrite("clip_qkv", &Spec::clip_qkv, "largest magnitude of q, k and v, normed if they are; 0 for any")
      .def_readwrite("alibi_bias", &Spec::alibi_bias, "slopes of distances are 2^(-alibi_bias i / n_heads); 0 for none")
      .def_readwrite("alibi_bf16", &Spec::alibi_bf16, "distances are positions of keys, rounded to bf16 like slopes")
      .def_readwrite("logit_scale", &Spec::logit_scale)
      .def_readwrite("rope_divisors", &Spec::rope_divisors, "[n_rot / 2] of the frequencies, or empty")
      .def_readwrite("logit_soft_cap", &Spec::logit_soft_cap, "0 for none")
      .def_readwrite("experts", &Spec::experts)
      .def_readwrite("latent", &Spec::latent, "head_dim is then rank + n_rot, and n_kv_heads 1")
      .def_readwrite("layers", &Spec::layers, "one LayerSpec a layer; assign a whole list")
      .def_property_readonly("n_layers", &Spec::n_layers)
      .def(
          "validate", [](const Spec& s) { validate(s); },
          "Raise ModelFormatError, naming the field, if the numbers fit no decoder.")
      .def(
          "kv_bytes",
          [](const Spec& s, const std::string& kv_dtype, int64_t n_tokens) {
            if (n_tokens < 0) throw std::invalid_argument("n_tokens must not be negative");
            return (n_tokens + KV_BLOCK - 1) / KV_BLOCK * kv_shape(s, kv_dtype).block_bytes();
          },
          py::arg("kv_dtype"), py::arg("n_tokens"), "Bytes the cache of a sequence of n_tokens takes.");
}

} // namespace nextoken::bindings
