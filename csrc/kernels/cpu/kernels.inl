// All kernels, each file after those it uses, and their table. Included inside the namespace of an instruction set,
// after its vector types and its ISA_NAME.
// clang-format off
#include "matmul.inl"
#include "quantize.inl"

#include "exp.inl"
#include "rms_norm.inl"
#include "layer_norm.inl"
#include "rope.inl"
#include "activation.inl"
#include "elementwise.inl"
#include "softmax.inl"
#include "kv.inl"
#include "kv_latent.inl"
#include "attention_tile.inl"
#include "attention.inl"

#include "table.inl"
