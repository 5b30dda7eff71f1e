"""What a tensor is, where it lies, and what becomes of it on the way into memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nextoken import _native

# ggml's numbers of the types that matrices can be stored in.
FLOATS = {"f32": 0, "f16": 1, "bf16": 30}
BLOCKS_OF_32 = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8}
BLOCKS_OF_256 = {"q4_k": 12, "q5_k": 13, "q6_k": 14}
F64 = 28  # only in files: F32 in memory
DTYPES = FLOATS | BLOCKS_OF_32 | BLOCKS_OF_256

# For rows that are no whole blocks of 256, what llama.cpp takes too: the next type with as many bits and blocks of 32.
NARROWER = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
FINE_HEAD = ("q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k")


# What csrc/model/sources.h calls the codes of a matrix that has scales, and the types of these.
CODES = {"F8_E4M3": 1, "F8_E5M2": 2, "MXFP4": 3}
SCALE_TYPES = {"F32": 0, "F16": 1, "BF16": 30, "F8_E8M0": -1}


@dataclass(frozen=True, slots=True)
class Scales:
    """The tensor with the scales of another: element (r, c) of that as it lies in the file is multiplied with
    (r // block_rows, c // block_columns) of a grid; each `matrix_lines` rows have a grid of their own."""

    name: str
    codes: int  # see CODES
    type: int  # see SCALE_TYPES
    file: int
    offset: int
    nbytes: int
    block_rows: int
    block_columns: int
    matrix_lines: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a checkpoint. `shape[0]` is the length of a row; `offset` is a position in the file.

    `file` counts the checkpoint's files. A matrix is converted to `stored_type` if that is not None; with
    `halved_heads` its rows are heads that rotate (i, i + n/2) and become pairs (2i, 2i + 1); with `qkv_groups` they are
    so many groups of queries, a key and a value of `head_dim` rows each, and become all queries, keys and values; with
    `file_rows` they are part of as many, first_row, first_row + row_step and so on of each matrix; with
    `transposed` the file has it column by column, the first of `file_columns` if that is not 0, and if it is quantised
    in blocks along the columns. With `scales` the file has codes, and `type` is that of what the two make. A vector
    gets `plus` added; one that is in no file has its `values` here.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    type_name: str
    offset: int
    nbytes: int
    file: int = 0
    stored_type: int | None = None
    halved_heads: int = 0
    qkv_groups: int = 0
    head_dim: int = 0
    file_rows: int = 0
    first_row: int = 0
    row_step: int = 1
    transposed: bool = False
    file_columns: int = 0
    plus: float = 0.0
    scales: Scales | None = None
    values: tuple[float, ...] = ()

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)

    @property
    def memory_nbytes(self) -> int:
        """Bytes it takes in memory, converted and packed for the kernels; vectors are float32 there.

        Raises UnsupportedModelError for a type that has no matmul, or rows that are no whole blocks of it.
        """
        if len(self.shape) < 2:
            return 4 * self.n_elements
        kind = self.type if self.stored_type is None else self.stored_type
        return math.prod(self.shape[2:]) * _native.kernels.packed_bytes(kind, self.shape[1], self.shape[0])


def split_heads(
    whole: TensorInfo, n_heads: int, nope_dim: int, value_dim: int
) -> tuple[TensorInfo, TensorInfo]:
    """A matrix whose rows are, head by head, what makes its key of a latent and what makes its value.

    The former stands transposed, since queries are multiplied with it; of quantised ones, whose blocks lie across, it
    becomes F16.
    """
    rank, rows = whole.shape[0], nope_dim + value_dim
    floats = whole.type in (*FLOATS.values(), F64)
    keys = replace(
        whole,
        shape=(nope_dim, rank, n_heads),
        transposed=True,
        file_columns=rows,
        stored_type=whole.stored_type if floats else FLOATS["f16"],
    )
    values = replace(whole, shape=(rank, value_dim, n_heads), file_rows=rows, first_row=nope_dim)
    return keys, values


def check_dtype(dtype: str) -> None:
    """Raises TypeError or ValueError if `dtype` names no type that matrices can be stored in."""
    if not isinstance(dtype, str):
        raise TypeError(f"dtype must be a str or None, got {type(dtype).__name__}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is not available, choose from {', '.join(map(repr, DTYPES))}")


def with_dtype(tensors: Mapping[str, TensorInfo], dtype: str) -> dict[str, TensorInfo]:
    """The tensors of a float checkpoint by role, each matrix to be stored as `dtype`.

    The head (an embedding that is also the head) is stored as Q6_K, or Q8_0 where rows are no whole blocks of 256,
    when `dtype` has fewer bits: every answer goes through it. Rows that are no whole blocks of `dtype` take the next
    larger type they fit, F16 at the last. Vectors stay float.

    Raises ValueError, naming the tensor, if the checkpoint is quantised already.
    """
    head = "lm_head" if "lm_head" in tensors else "embedding"
    return {role: _stored(tensor, dtype, role == head) for role, tensor in tensors.items()}


def _stored(tensor: TensorInfo, dtype: str, is_head: bool) -> TensorInfo:
    if tensor.type not in (*FLOATS.values(), F64):
        raise ValueError(
            f"dtype={dtype!r} is for checkpoints in F32, F16, BF16, FP8 or F64, and tensor {tensor.name!r} is "
            f"quantised already, as {tensor.type_name}: leave dtype out"
        )
    if len(tensor.shape) < 2:
        return tensor
    kind = "q6_k" if is_head and dtype in FINE_HEAD else dtype
    if kind in BLOCKS_OF_256 and tensor.shape[0] % 256:
        kind = NARROWER[kind]
    if kind in BLOCKS_OF_32 and tensor.shape[0] % 32:
        kind = "f16"
    return replace(tensor, stored_type=DTYPES[kind])
