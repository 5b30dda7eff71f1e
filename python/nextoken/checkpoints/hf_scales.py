"""Weights of a folder that take two tensors: codes, and the scales that belong to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nextoken.checkpoints.gguf import shortened
from nextoken.checkpoints.hf_quantization import Quantization
from nextoken.checkpoints.safetensors import Stored
from nextoken.checkpoints.tensors import CODES, FLOATS, SCALE_TYPES, Scales, TensorInfo
from nextoken.errors import ModelFormatError, UnsupportedModelError

MXFP4 = 39
FP8 = ("F8_E4M3", "F8_E5M2")
# Behind the name of a weight. DeepSeek's "inv" is what was inverted when weights were divided: both multiply.
ENDINGS = ("_scale_inv", "_scale")
OF_ACTIVATIONS = tuple(
    f".{what}_scale" for what in ("input", "output", "activation", "q", "k", "v", "kv", "prob")
)

Tensors = Mapping[str, tuple[int, Stored]]  # by name: number of the file, and what its header says


@dataclass(frozen=True)
class Weight:
    """A tensor of the folder, and the one of its scales if it has one."""

    name: str
    file: int
    stored: Stored
    scales: tuple[str, int, Stored] | None = None


def weights(tensors: Tensors, unused: tuple[str, ...], q: Quantization, paths: list[str]) -> Iterator[Weight]:
    """The tensors that play a part, each FP8 or MXFP4 one with its scales; those of activations are left out.

    Raises ModelFormatError if scales are missing or there twice.
    """
    used = {name: entry for name, entry in tensors.items() if not any(part in name for part in unused)}
    scales: dict[str, str] = {}  # by weight
    for name, (file, stored) in used.items():
        if q.method == "mxfp4" and name.endswith("_blocks"):
            candidates = [name.removesuffix("blocks") + "scales"]
        elif q.method and q.method != "mxfp4" and stored.dtype in FP8:
            candidates = [name + ending for ending in ENDINGS]
        else:
            continue
        found = [scale for scale in candidates if scale in used]
        if len(found) != 1:
            what = "both there" if found else "missing"
            raise _error(
                paths[file], name, f"is {stored.dtype}, and its scales, {' or '.join(candidates)}, are {what}"
            )
        scales[name] = found[0]
    taken = set(scales.values())
    for name, (file, stored) in used.items():
        if name in taken or (q.method and name.endswith(OF_ACTIVATIONS)):
            continue
        scale = scales.get(name)
        yield Weight(name, file, stored, None if scale is None else (scale, *used[scale]))


def scaled(weight: Weight, q: Quantization, path: str) -> TensorInfo:
    """A weight with scales: codes are checked against these here, numbers when they are read."""
    assert weight.scales is not None
    name, stored = weight.name, weight.stored
    scale_name, file, scale = weight.scales
    mxfp4 = q.method == "mxfp4"
    if 0 in stored.shape or 0 in scale.shape:
        raise _error(path, name, f"of {list(stored.shape)} under scales of {list(scale.shape)} holds nothing")
    if mxfp4:
        shape, rows, block = _mxfp4_blocks(name, stored, scale, path), stored.shape[-3], (1, 32)
    else:
        shape, rows, block = stored.shape, stored.shape[-2:][0], _fp8_blocks(name, stored, scale, q, path)
    dtype = "F8_E8M0" if scale.dtype == "U8" and (mxfp4 or q.exponents) else scale.dtype
    if dtype not in SCALE_TYPES:
        raise UnsupportedModelError(
            f"{path}: {shortened(scale_name)}, the scales of {shortened(name)}, are {scale.dtype}; "
            f"{', '.join(SCALE_TYPES)} are read"
        )
    kind = "MXFP4" if mxfp4 else stored.dtype
    return TensorInfo(
        name, shape[::-1], MXFP4 if mxfp4 else FLOATS["f32"], kind, stored.offset, stored.nbytes, file=weight.file,
        stored_type=None if mxfp4 else q.stored_type,
        scales=Scales(
            scale_name, CODES[kind], SCALE_TYPES[dtype], file, scale.offset, scale.nbytes, *block, matrix_lines=rows
        ),
    )  # fmt: skip


def _mxfp4_blocks(name: str, stored: Stored, scale: Stored, path: str) -> tuple[int, ...]:
    """The shape of the matrices whose blocks these are: (experts, rows, blocks of a row, 16 bytes)."""
    *rows, blocks, nbytes = stored.shape if len(stored.shape) == 4 else (0, 0, 0, 0)
    if stored.dtype != "U8" or scale.dtype != "U8" or nbytes != 16 or scale.shape != (*rows, blocks):
        raise _error(
            path,
            name,
            f"is {stored.dtype} of {list(stored.shape)} under scales of {scale.dtype}, {list(scale.shape)}: "
            "blocks of 16 bytes in four dimensions and a byte for each were expected",
        )
    return (*rows, blocks * 32)


def _fp8_blocks(name: str, stored: Stored, scale: Stored, q: Quantization, path: str) -> tuple[int, int]:
    """Rows and columns that share a scale, by the shape of the scales."""
    if len(stored.shape) not in (2, 3):
        raise UnsupportedModelError(
            f"{path}: tensor {shortened(name)} is {stored.dtype} of {list(stored.shape)}: matrices are read as FP8"
        )
    *stack, rows, columns = stored.shape
    down, across = (math.ceil(n / size) for n, size in zip((rows, columns), q.block, strict=True))
    layouts: dict[str, tuple[tuple[int, int], list[list[int]]]] = {
        "tensor": ((rows, columns), [[], [1], [1, 1]]),
        "channel": ((1, columns), [[rows, 1], [rows]]),
        "block": (q.block, [[down, across], [down, 1, across, 1]]),
    }
    for strategy in q.strategies:
        block, shapes = layouts[strategy]
        if list(scale.shape) in [stack + shape for shape in shapes]:
            return block
    expected = " or ".join(str(stack + layouts[strategy][1][0]) for strategy in q.strategies)
    raise _error(
        path,
        name,
        f"is {stored.dtype} of {list(stored.shape)} under scales of {list(scale.shape)}, {expected or 'none'} "
        "is what quantization_config asks for",
    )


def _error(path: str, name: str, what: str) -> ModelFormatError:
    return ModelFormatError(f"{path}: tensor {shortened(name)} {what}", path=path, field=name)
