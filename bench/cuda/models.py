"""Models of random weights in the shape of Llama, made without any package but NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.gguf_pieces import TYPES, kv, magic, pad, tensor_info

CHUNK = (
    1 << 24
)  # bytes of random weights, made once a tensor's type and repeated: speed does not depend on values
# Where f16 scales stand in a block, and the largest code times what else it is multiplied with.
SCALES: dict[str, tuple[tuple[int, ...], float]] = {
    "Q4_0": ((0,), 8), "Q4_1": ((0, 2), 15), "Q5_0": ((0,), 16), "Q5_1": ((0, 2), 31), "Q8_0": ((0,), 128),
    "Q2_K": ((80, 82), 45), "Q3_K": ((108,), 128), "Q4_K": ((0, 2), 945), "Q5_K": ((0, 2), 1953),
    "Q6_K": ((208,), 4096),
    "IQ1_S": ((0,), 17), "IQ2_XXS": ((0,), 167), "IQ2_XS": ((0,), 167), "IQ2_S": ((0,), 167), "IQ3_XXS": ((0,), 480),
    "IQ3_S": ((0,), 465), "IQ4_NL": ((0,), 127), "IQ4_XS": ((0,), 4064), "TQ1_0": ((52,), 1), "TQ2_0": ((64,), 2),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    n_ctx: int = 8192
    experts: int = 0  # of which a token takes `used`
    used: int = 2
    head_dim: int = 0  # 0: hidden / heads


# Mistral 7B's with a quarter of its layers: a step reads a quarter of the bytes, at the same rate. And Qwen 3 30B-A3B's
# with a twelfth of its layers, and of its vocabulary a fifth, so that the head is as small beside them as it is.
SHAPES = {
    "7b/4": Shape(4096, 14336, 8, 32, 8, 32000),
    "30b-a3b/12": Shape(2048, 768, 4, 32, 4, 32000, experts=128, used=8, head_dim=128),
    "tiny": Shape(256, 512, 2, 4, 2, 320, 1024),
    "mixture": Shape(256, 256, 2, 4, 2, 320, 1024, experts=6),
}


def matrices(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape, the rows' length first); a single number is a norm's weight."""
    head_dim = shape.head_dim or shape.hidden // shape.heads
    q_size, kv_size = head_dim * shape.heads, head_dim * shape.kv_heads
    yield "token_embd.weight", (shape.hidden, shape.vocab)
    yield "output_norm.weight", (shape.hidden,)
    yield "output.weight", (shape.hidden, shape.vocab)
    experts = (shape.experts,) if shape.experts else ()
    ending = "_exps" if shape.experts else ""
    for i in range(shape.layers):
        for name, size in (
            ("attn_norm", (shape.hidden,)),
            ("attn_q", (shape.hidden, q_size)),
            ("attn_k", (shape.hidden, kv_size)),
            ("attn_v", (shape.hidden, kv_size)),
            ("attn_output", (q_size, shape.hidden)),
            ("ffn_norm", (shape.hidden,)),
            ("ffn_gate" + ending, (shape.hidden, shape.ffn, *experts)),
            ("ffn_up" + ending, (shape.hidden, shape.ffn, *experts)),
            ("ffn_down" + ending, (shape.ffn, shape.hidden, *experts)),
        ):
            yield f"blk.{i}.{name}.weight", size
        if shape.experts:
            yield f"blk.{i}.ffn_gate_inp.weight", (shape.hidden, shape.experts)


def type_of(name: str, size: tuple[int, ...], kind: str) -> str:
    """Norms and routers are floats in every file."""
    return "F32" if len(size) == 1 or "gate_inp" in name else kind


def share_of_a_step(shape: Shape, kind: str) -> float:
    """The bytes that one token reads of all: no embedding's, and of experts those that it takes."""
    read, everything = 0.0, 0
    for name, size in matrices(shape):
        _, block, n_bytes = TYPES[type_of(name, size, kind)]
        n = math.prod(size) // block * n_bytes
        everything += n
        if "token_embd" not in name:
            read += n * shape.used / shape.experts if "_exps" in name else n
    return read / everything


def random_blocks(kind: str, spread: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Some CHUNK bytes of valid blocks whose values are of about that spread."""
    _, _, size = TYPES[kind]
    n = CHUNK // size
    if kind in ("F32", "F16", "BF16"):
        x = (rng.standard_normal(CHUNK // 4) * spread).astype(np.float32)
        if kind == "BF16":
            return (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        return x.astype(np.float16 if kind == "F16" else np.float32).view(np.uint8)
    blocks = rng.integers(0, 256, (n, size), np.uint8)
    power = round(np.log2(spread / 2))
    if kind == "MXFP4":  # an exponent
        blocks[:, 0] = 127 + power
        return blocks.reshape(-1)
    if kind == "NVFP4":  # four small floats, whose last three bits are a mantissa
        blocks[:, :4] = (7 + power) * 8 + rng.integers(0, 8, (n, 4))
        return blocks.reshape(-1)
    if kind == "IQ1_M":  # four bits of the scale in each of four words
        bits = (rng.uniform(0.5, 1.5, n) * spread / 9).astype("<f2").view("<u2")
        for i in range(4):
            blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | (bits >> (4 * i) & 15).astype(np.uint8) << 4
        return blocks.reshape(-1)
    halves, largest = SCALES[kind]
    scale = rng.uniform(0.5, 1.5, n) * spread * 2 / largest
    for place, at in enumerate(halves):
        # A minimum takes away what codes have on average: it is subtracted in K types, and added in others.
        sign = 1.0 if place == 0 or kind.endswith("K") else -largest / 2
        share = 1.0 if place == 0 or not kind.endswith("K") else largest / 126
        blocks[:, at : at + 2] = (scale * sign * share).astype("<f2")[:, None].view(np.uint8)
    return blocks.reshape(-1)


def write(path: Path, shape: Shape, kind: str) -> Path:
    """A GGUF file whose matrices are of that type, written piece by piece."""
    keys = {
        "general.architecture": "llama",
        "llama.block_count": shape.layers,
        "llama.context_length": shape.n_ctx,
        "llama.embedding_length": shape.hidden,
        "llama.feed_forward_length": shape.ffn,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": shape.head_dim or shape.hidden // shape.heads,
    }
    if shape.head_dim:
        keys |= dict.fromkeys(("llama.attention.key_length", "llama.attention.value_length"), shape.head_dim)
    if shape.experts:
        keys |= {"llama.expert_count": shape.experts, "llama.expert_used_count": shape.used}
    infos, tensors, offset = [], [], 0
    for name, size in matrices(shape):
        of = type_of(name, size, kind)
        _, block, n_bytes = TYPES[of]
        infos.append(tensor_info(name, size, of, offset))
        tensors.append((of, size, math.prod(size) // block * n_bytes))
        offset += -(-tensors[-1][-1] // 32) * 32
    rng = np.random.default_rng(0)
    weights = {of: random_blocks(of, shape.hidden**-0.5, rng).tobytes() for of in {kind, "F32"}}
    with path.open("wb") as file:
        file.write(
            pad(magic(len(infos), len(keys)) + b"".join(kv(k, v) for k, v in keys.items()) + b"".join(infos))
        )
        for of, size, n_bytes in tensors:
            if len(size) == 1:
                file.write(np.ones(size, np.float32).tobytes())
            else:
                for begin in range(0, n_bytes, len(weights[of])):
                    file.write(weights[of][: n_bytes - begin])
            file.write(b"\0" * (-n_bytes % 32))
    return path
