"""Blocks of every quantised type with random codes and chosen scales, and what they stand for, by other means."""

from __future__ import annotations

from collections.abc import Sequence

import gguf
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

# Where f16 scales stand in a block. IQ1_M keeps four bits of its scale in each of four words; MXFP4 and NVFP4 have
# exponents and small floats instead.
HALVES: dict[str, tuple[int, ...]] = {
    "q4_0": (0,), "q4_1": (0, 2), "q5_0": (0,), "q5_1": (0, 2), "q8_0": (0,),
    "q2_k": (80, 82), "q3_k": (108,), "q4_k": (0, 2), "q5_k": (0, 2), "q6_k": (208,),
    "iq1_s": (0,), "iq2_xxs": (0,), "iq2_xs": (0,), "iq2_s": (0,), "iq3_xxs": (0,), "iq3_s": (0,),
    "iq4_nl": (0,), "iq4_xs": (0,), "tq1_0": (52,), "tq2_0": (64,),
}  # fmt: skip
OTHER_SCALES = ("iq1_m", "mxfp4", "nvfp4")


def sizes(weight_type: str) -> tuple[int, int]:
    """Elements and bytes of a block."""
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[weight_type.upper()]]
    return int(elements), int(size)


def set_scales(blocks: Bytes, weight_type: str, scales: Sequence[npt.ArrayLike]) -> None:
    """Put f16 scales, an array or a number for each place, into blocks (n, bytes); for IQ1_M one too."""
    halves = [np.broadcast_to(np.asarray(s, "<f2"), len(blocks)).copy() for s in scales]
    if weight_type == "iq1_m":
        words = blocks[:, 48:56].copy().view("<u2")
        bits = halves[0].view("<u2")
        for i in range(4):
            words[:, i] = words[:, i] & 0x0FFF | (bits >> (4 * i) & 15) << 12
        blocks[:, 48:56] = words.view(np.uint8)
        return
    for at, half in zip(HALVES[weight_type], halves, strict=True):
        blocks[:, at : at + 2] = half.view(np.uint8).reshape(-1, 2)


def random_blocks(weight_type: str, n_blocks: int, rng: np.random.Generator) -> Bytes:
    """(n_blocks, bytes) of arbitrary bits, but for scales, which are finite and about one."""
    blocks = rng.integers(0, 256, (n_blocks, sizes(weight_type)[1]), dtype=np.uint8)
    if weight_type == "mxfp4":
        blocks[:, 0] = rng.integers(120, 136, n_blocks)
    elif weight_type == "nvfp4":
        blocks[:, :4] = rng.integers(0, 0x7F, (n_blocks, 4))
    else:
        n = len(HALVES.get(weight_type, (0,)))
        set_scales(blocks, weight_type, [rng.standard_normal(n_blocks) for _ in range(n)])
    return blocks


def blocks_of_spread(weight_type: str, n_values: int, spread: float, seed: int) -> bytes:
    """Blocks that stand for random numbers of that root mean square."""
    rng = np.random.default_rng(seed)
    blocks = random_blocks(weight_type, n_values // sizes(weight_type)[0], rng)
    if weight_type in ("mxfp4", "nvfp4"):  # scales of powers of two: the nearest
        base, one = (127, 1) if weight_type == "mxfp4" else (0x38, 8)
        fours = blocks[:, : 1 if weight_type == "mxfp4" else 4]
        fours[:] = base + one * round(np.log2(spread / 2.5)) + rng.integers(0, 2, fours.shape)
        return blocks.tobytes()
    n = len(HALVES.get(weight_type, (0,)))
    set_scales(blocks, weight_type, [1.0] * n)
    size = float(np.sqrt(np.mean(by_gguf(blocks, weight_type) ** 2)))
    set_scales(blocks, weight_type, [rng.uniform(0.5, 1.5, len(blocks)) * spread / size] * n)
    return blocks.tobytes()


def by_gguf(data: Bytes, weight_type: str) -> npt.NDArray[np.float32]:
    """The float32 that the gguf package says blocks stand for."""
    rows = np.ascontiguousarray(data).reshape(1, -1)
    with np.errstate(over="ignore"):
        return gguf.dequantize(rows, gguf.GGMLQuantizationType[weight_type.upper()]).reshape(-1)
