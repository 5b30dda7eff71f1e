"""Models of random weights in the shape of Llama, made without any package but NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.gguf_pieces import TYPES, kv, magic, pad, tensor_info

CHUNK = (
    1 << 24
)  # bytes of random weights, made once a tensor's type and repeated: speed does not depend on values
HALVES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
}
LARGEST_CODE = {
    "Q4_0": 8,
    "Q4_1": 15,
    "Q5_0": 16,
    "Q5_1": 31,
    "Q8_0": 128,
    "Q4_K": 945,
    "Q5_K": 1953,
    "Q6_K": 4096,
}


@dataclass(frozen=True)
class Shape:
    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    n_ctx: int = 8192


# Mistral 7B's with a quarter of its layers: a step reads a quarter of the bytes, at the same rate.
SHAPES = {"7b/4": Shape(4096, 14336, 8, 32, 8, 32000), "tiny": Shape(256, 512, 2, 4, 2, 320, 1024)}


def matrices(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """(name, rows, columns); a single column is a norm's weight."""
    kv_size = shape.hidden // shape.heads * shape.kv_heads
    yield "token_embd.weight", shape.vocab, shape.hidden
    yield "output_norm.weight", shape.hidden, 1
    yield "output.weight", shape.vocab, shape.hidden
    for i in range(shape.layers):
        for name, rows, columns in (
            ("attn_norm", shape.hidden, 1),
            ("attn_q", shape.hidden, shape.hidden),
            ("attn_k", kv_size, shape.hidden),
            ("attn_v", kv_size, shape.hidden),
            ("attn_output", shape.hidden, shape.hidden),
            ("ffn_norm", shape.hidden, 1),
            ("ffn_gate", shape.ffn, shape.hidden),
            ("ffn_up", shape.ffn, shape.hidden),
            ("ffn_down", shape.hidden, shape.ffn),
        ):
            yield f"blk.{i}.{name}.weight", rows, columns


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
    scale = rng.uniform(0.5, 1.5, n) * spread * 2 / LARGEST_CODE[kind]
    for place, at in enumerate((208,) if kind == "Q6_K" else HALVES[kind]):
        # A minimum takes away what codes have on average: it is subtracted in K types, and added in others.
        sign = 1.0 if place == 0 or kind.endswith("K") else -LARGEST_CODE[kind] / 2
        share = 1.0 if place == 0 or not kind.endswith("K") else LARGEST_CODE[kind] / 126
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
        "llama.rope.dimension_count": shape.hidden // shape.heads,
    }
    infos, sizes, offset = [], [], 0
    for name, rows, columns in matrices(shape):
        _, block, size = TYPES["F32" if columns == 1 else kind]
        infos.append(
            tensor_info(
                name,
                (rows,) if columns == 1 else (columns, rows),
                "F32" if columns == 1 else kind,
                offset,
            )
        )
        sizes.append(rows * columns // block * size)
        offset += -(-sizes[-1] // 32) * 32
    weights = random_blocks(kind, shape.hidden**-0.5, np.random.default_rng(0)).tobytes()
    with path.open("wb") as file:
        file.write(
            pad(magic(len(infos), len(keys)) + b"".join(kv(k, v) for k, v in keys.items()) + b"".join(infos))
        )
        for (_, rows, columns), n_bytes in zip(matrices(shape), sizes, strict=True):
            if columns == 1:
                file.write(np.ones(rows, np.float32).tobytes())
            else:
                for begin in range(0, n_bytes, len(weights)):
                    file.write(weights[: n_bytes - begin])
            file.write(b"\0" * (-n_bytes % 32))
    return path
