"""Tiny random models in GGUF files, complete with tokenizers; by way of `gguf_pieces`, any file a test wants.

`tiny_llama` and `tiny_gemma3` write models that load and run; `read_weights` gives the weights as float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.blocks import blocks_of_spread
from tests.gguf_pieces import *  # noqa: F403  tests import the pieces from here too
from tests.gguf_pieces import TYPES, Tensor, write_gguf
from tests.gguf_tokenizers import gemma_tokenizer, llama_tokenizer

K_QUANTS = ("Q4_K", "Q5_K", "Q6_K")
RANDOM_BLOCKS = (
    "IQ4_NL",
    "NVFP4",
    *(kind for kind, (_, n, _) in TYPES.items() if n == 256 and kind not in K_QUANTS),
)


def encode(values: np.ndarray, kind: str) -> bytes:
    """float32 values [..., K] as blocks of `kind`, by the `gguf` package (which has no K-quants)."""
    import gguf

    values = np.ascontiguousarray(values, np.float32)
    return np.ascontiguousarray(gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])).tobytes()


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Every tensor as float32, dequantised by the `gguf` package; NumPy order, [rows, ne0] for a matrix."""
    import gguf

    tensors = gguf.GGUFReader(str(path)).tensors
    return {t.name: np.array(gguf.quants.dequantize(t.data, t.tensor_type), np.float32) for t in tensors}


def random_k_blocks(n_values: int, kind: str, spread: float, seed: int) -> bytes:
    """Valid K-quant blocks: random codes under scales that give the values about that `spread`, mean 0."""
    rng = np.random.default_rng(seed)
    _, per_block, size = TYPES[kind]
    blocks = rng.integers(0, 256, (n_values // per_block, size), np.uint8)
    scale = rng.uniform(0.5, 1.5, len(blocks)) * spread
    if kind == "Q6_K":  # value = d * scale(i8) * (code - 32); d is the last two bytes, often a subnormal f16
        blocks[:, 208:210] = (scale / 1369).astype("<f2")[:, None].view(np.uint8)
    else:  # value = d * scale(6 bits) * code - dmin * min(6 bits): dmin centres it
        divisor, centre = (257, 7.5) if kind == "Q4_K" else (524, 15.5)
        d = scale / divisor
        blocks[:, 0:4] = np.stack([d, d * centre], axis=1).astype("<f2").view(np.uint8)
    return blocks.tobytes()


def tiny_llama(
    path: str | Path,
    types: str | Mapping[str, str] = "F32",
    *,
    seed: int = 0,
    hidden: int | None = None,
    n_layers: int = 2,
    n_heads: int = 4,
    n_kv_heads: int = 2,
    tied: bool = True,
    metadata: Mapping[str, Any] = {},
    tensors: Mapping[str, Tensor | None] = {},
    tokenizer: Mapping[str, Any] | None = None,
) -> Path:
    """A random llama-architecture model of a few hundred KB with SmolLM2's kind of tokenizer; returns `path`.

    `types` is the type of every matrix, or a mapping by the last part of the name before `.weight`
    (`{"ffn_down": "Q6_K", "token_embd": "Q8_0", "": "Q4_K"}`, where "" is the rest). `hidden` is 64, or 256
    when a K-quant needs rows of whole 256-blocks. `metadata` adds keys or replaces them, None drops one;
    `tensors` does so with tensors.
    """
    hidden = hidden or _hidden_for(types)
    head_dim, ffn = hidden // n_heads, (512 if hidden % 256 == 0 else 96)
    vocabulary = llama_tokenizer() if tokenizer is None else tokenizer
    vocab = len(vocabulary["tokenizer.ggml.tokens"])
    keys = {
        "general.architecture": "llama",
        "general.name": "tiny llama",
        "llama.block_count": n_layers,
        "llama.context_length": 256,
        "llama.embedding_length": hidden,
        "llama.feed_forward_length": ffn,
        "llama.attention.head_count": n_heads,
        "llama.attention.head_count_kv": n_kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": head_dim,
        "llama.vocab_size": vocab,
        **vocabulary,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (hidden, vocab),
        "output_norm.weight": (hidden,),
    }
    if not tied:
        shapes["output.weight"] = (hidden, vocab)
    for i in range(n_layers):
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in {
            "attn_norm": (hidden,),
            "attn_q": (hidden, n_heads * head_dim),
            "attn_k": (hidden, n_kv_heads * head_dim),
            "attn_v": (hidden, n_kv_heads * head_dim),
            "attn_output": (n_heads * head_dim, hidden),
            "ffn_norm": (hidden,),
            "ffn_gate": (hidden, ffn),
            "ffn_up": (hidden, ffn),
            "ffn_down": (ffn, hidden),
        }.items()}  # fmt: skip
    return _write_model(path, keys, shapes, types, seed, metadata, tensors)


def tiny_gemma3(
    path: str | Path,
    types: str | Mapping[str, str] = "F32",
    *,
    seed: int = 0,
    hidden: int | None = None,
    n_layers: int = 7,
    n_heads: int = 4,
    n_kv_heads: int = 1,
    sliding_window: int = 16,
    metadata: Mapping[str, Any] = {},
    tensors: Mapping[str, Tensor | None] = {},
    tokenizer: Mapping[str, Any] | None = None,
) -> Path:
    """A random gemma3-architecture model with Gemma's kind of tokenizer; arguments as for `tiny_llama`.

    Seven layers, since every sixth attends to everything and the others to `sliding_window` positions. Heads
    are wider than hidden / n_heads, the head is tied, q and k have norms, norms stand before and after.
    """
    hidden = hidden or _hidden_for(types)
    head_dim, ffn = (128, 512) if hidden % 256 == 0 else (32, 96)
    vocabulary = gemma_tokenizer() if tokenizer is None else tokenizer
    vocab = len(vocabulary["tokenizer.ggml.tokens"])
    keys = {
        "general.architecture": "gemma3",
        "general.name": "tiny gemma",
        "gemma3.context_length": 256,
        "gemma3.embedding_length": hidden,
        "gemma3.block_count": n_layers,
        "gemma3.feed_forward_length": ffn,
        "gemma3.attention.head_count": n_heads,
        "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
        "gemma3.attention.key_length": head_dim,
        "gemma3.attention.value_length": head_dim,
        "gemma3.rope.freq_base": 1000000.0,
        "gemma3.attention.sliding_window": sliding_window,
        "gemma3.attention.head_count_kv": n_kv_heads,
        **vocabulary,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "output_norm.weight": (hidden,),
        "token_embd.weight": (hidden, vocab),
    }
    for i in range(n_layers):
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in {
            "attn_k": (hidden, n_kv_heads * head_dim),
            "attn_k_norm": (head_dim,),
            "attn_norm": (hidden,),
            "attn_output": (n_heads * head_dim, hidden),
            "attn_q": (hidden, n_heads * head_dim),
            "attn_q_norm": (head_dim,),
            "attn_v": (hidden, n_kv_heads * head_dim),
            "ffn_down": (ffn, hidden),
            "ffn_gate": (hidden, ffn),
            "ffn_norm": (hidden,),
            "ffn_up": (hidden, ffn),
            "post_attention_norm": (hidden,),
            "post_ffw_norm": (hidden,),
        }.items()}  # fmt: skip
    return _write_model(path, keys, shapes, types, seed, metadata, tensors)


def _write_model(
    path: str | Path,
    keys: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    types: str | Mapping[str, str],
    seed: int,
    metadata: Mapping[str, Any],
    replaced: Mapping[str, Tensor | None],
) -> Path:
    tensors: dict[str, Tensor] = {}
    for index, (name, shape) in enumerate(shapes.items()):
        rng = np.random.default_rng([seed, index])
        if len(shape) == 1:  # norms, around 1
            tensors[name] = (rng.normal(1, 0.1, shape).astype("<f4"), "F32", shape)
            continue
        part = name.removesuffix(".weight").split(".")[-1]
        kind = types if isinstance(types, str) else types.get(part, types.get("", "F32"))
        # Small embeddings, so that the layers decide; the rest keeps the size of what it multiplies.
        spread = 0.3 if part in ("token_embd", "output") else shape[0] ** -0.5
        if kind in RANDOM_BLOCKS:
            raw = blocks_of_spread(kind.lower(), shape[0] * shape[1], spread, seed * 1000 + index)
        elif kind in K_QUANTS:
            raw = random_k_blocks(shape[0] * shape[1], kind, spread, seed * 1000 + index)
        else:
            raw = encode(rng.normal(0, spread, shape[::-1]).astype(np.float32), kind)
        tensors[name] = (raw, kind, shape)
    merged = {k: v for k, v in {**keys, **metadata}.items() if v is not None}
    kept = {k: v for k, v in {**tensors, **replaced}.items() if v is not None}
    return write_gguf(path, merged, kept)


def _hidden_for(types: str | Mapping[str, str]) -> int:
    used = {types} if isinstance(types, str) else set(types.values())
    return 256 if any(TYPES[kind][1] >= 64 for kind in used) else 64
