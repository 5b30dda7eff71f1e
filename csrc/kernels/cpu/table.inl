// The table of one instruction set. Included last, after the kernels, inside the namespace of that set, which also
// defines ISA_NAME. A kernel that is not written yet stays null.

static constexpr KernelTable make_table() {
  KernelTable t{};
  t.name = ISA_NAME;
  return t;
}

extern const KernelTable table;
const KernelTable table = make_table();
