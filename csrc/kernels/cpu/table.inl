// The table of one instruction set. Included last, after the kernels, inside the namespace of that set, which also
// defines ISA_NAME.

static constexpr KernelTable make_table() {
  KernelTable t{};
  t.name = ISA_NAME;
  t.matmul = matmul;
  t.unpack_row = unpack_row;
  t.quantize_q32 = quantize_q32;
  t.quantize_q256 = quantize_q256;
  t.round_bf16 = round_bf16;
  t.rms_norm = rms_norm;
  t.layer_norm = layer_norm;
  t.rope = rope;
  t.gated_activation = gated_activation;
  t.activation = activation;
  t.add = add;
  t.multiply = multiply;
  t.clamp = clamp;
  t.soft_cap = soft_cap;
  t.softmax = softmax;
  t.max_sum_exp = max_sum_exp;
  t.argmax = argmax;
  t.kv_write = kv_write;
  t.kv_read = kv_read;
  t.latent_write = latent_write;
  t.latent_read = latent_read;
  t.attention_segment = attention_segment;
  t.attention_merge = attention_merge;
  t.attention = attention;
  t.attention_scratch = attention_scratch;
  return t;
}

extern const KernelTable table;
const KernelTable table = make_table();
