// The forward pass: token ids in, hidden states of the last layer out, then logits of the rows somebody asked for.
#pragma once
#include "model/model.h"
#include "model/workspace.h"

namespace nextoken {

/// Runs the T rows of `batch` through all layers; their keys and values are in the caches, their states in w.x [T, D].
/// T, D hidden, H heads, G kv heads, d head_dim, F ffn, V vocab. Vaswani et al. 2017, arXiv:1706.03762, decoder only.
/// `kernels` are the model's, or stand before them.
void forward(const Model& model, Kernels& kernels, const Batch& batch, Workspace& w);

/// logits [R, V] of R rows of hidden states [R, D].
void project_logits(const Model& model, Kernels& kernels, const Batch& batch, Rows<const float> x, Workspace& w,
                    Rows<float> logits);

} // namespace nextoken
