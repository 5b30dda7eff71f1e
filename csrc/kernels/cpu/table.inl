// The table of one instruction set. Included last, after the kernels, inside the namespace of that set, which also
// defines ISA_NAME. A kernel that is not written yet stays null.

static constexpr KernelTable make_table() {
  KernelTable t{};
  t.name = ISA_NAME;
  t.matmul = matmul;
  t.unpack_row = unpack_row;
  t.quantize_q32 = quantize_q32;
  t.quantize_q256 = quantize_q256;
  t.round_bf16 = round_bf16;
  return t;
}

extern const KernelTable table;
const KernelTable table = make_table();
