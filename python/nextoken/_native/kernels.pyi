# Generated from the compiled module by `make stubs`: do not edit.
"""
Kernels on arrays; nextoken.kernels checks the arguments.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing

class PackedMatrix:
    """
    Weights in the layout the kernels read.
    """

    def panels(self) -> numpy.typing.NDArray[numpy.uint8]:
        """
        A copy of the packed bytes.
        """

    @property
    def nbytes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def type(self) -> str: ...

def activation(
    gate: str | bytes, x: numpy.typing.NDArray[numpy.float32], isa: typing.Any = None
) -> numpy.typing.NDArray[numpy.float32]: ...
def argmax(x: numpy.typing.NDArray[numpy.float32], isa: typing.Any = None) -> int: ...
def attention_to_latents(
    q: numpy.typing.NDArray[numpy.float32],
    blocks: numpy.typing.NDArray[numpy.uint8],
    n_keys: typing.SupportsInt | typing.SupportsIndex,
    latent_dim: typing.SupportsInt | typing.SupportsIndex,
    kv_dtype: str | bytes,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    token_step: typing.SupportsInt | typing.SupportsIndex = 4,
    by_segments: bool = False,
    isa: typing.Any = None,
) -> numpy.typing.NDArray[numpy.float32]: ...
def clamp(
    limit: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float32], isa: typing.Any = None
) -> numpy.typing.NDArray[numpy.float32]: ...
def dequantize(
    data: numpy.typing.NDArray[numpy.uint8], weight_type: str | bytes
) -> numpy.typing.NDArray[numpy.float32]: ...
def exact_cos(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any: ...
def exact_exp(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any: ...
def exact_log(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any: ...
def exact_pow(
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    y: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
) -> typing.Any: ...
def exact_sin(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any: ...
def exact_tanh(x: typing.Annotated[numpy.typing.ArrayLike, numpy.float64]) -> typing.Any: ...
def gated_activation(
    gate: str | bytes,
    a: numpy.typing.NDArray[numpy.float32],
    b: numpy.typing.NDArray[numpy.float32],
    isa: typing.Any = None,
) -> numpy.typing.NDArray[numpy.float32]: ...
def isas() -> list[str]:
    """
    Instruction sets this machine runs, best first.
    """

def kv_read(
    k_cache: numpy.typing.NDArray[typing.Any],
    v_cache: numpy.typing.NDArray[typing.Any],
    slots: numpy.typing.NDArray[numpy.int64],
    isa: typing.Any = None,
    head_dim: typing.SupportsInt | typing.SupportsIndex = 0,
) -> tuple[typing.Any, ...]: ...
def kv_write(
    k_cache: numpy.typing.NDArray[typing.Any],
    v_cache: numpy.typing.NDArray[typing.Any],
    k: numpy.typing.NDArray[numpy.float32],
    v: numpy.typing.NDArray[numpy.float32],
    slots: numpy.typing.NDArray[numpy.int64],
    isa: typing.Any = None,
) -> None: ...
def latent_blocks(
    x: numpy.typing.NDArray[numpy.float32],
    latent_dim: typing.SupportsInt | typing.SupportsIndex,
    kv_dtype: str | bytes,
    isa: typing.Any = None,
) -> numpy.typing.NDArray[numpy.uint8]: ...
def layer_norm(
    x: numpy.typing.NDArray[numpy.float32],
    weight: numpy.typing.NDArray[numpy.float32] | None,
    bias: numpy.typing.NDArray[numpy.float32] | None,
    eps: typing.SupportsFloat | typing.SupportsIndex,
    isa: typing.Any = None,
) -> numpy.typing.NDArray[numpy.float32]: ...
def matmul(
    x: numpy.typing.NDArray[numpy.float32],
    weights: PackedMatrix,
    isa: typing.Any = None,
    panel_step: typing.SupportsInt | typing.SupportsIndex = 4611686018427387903,
    token_step: typing.SupportsInt | typing.SupportsIndex = 4611686018427387903,
) -> numpy.typing.NDArray[numpy.float32]: ...
def max_sum_exp(x: numpy.typing.NDArray[numpy.float32], isa: typing.Any = None) -> tuple[typing.Any, ...]: ...
def pack(
    weights: numpy.typing.NDArray[numpy.uint8],
    weight_type: str | bytes,
    n_rows: typing.SupportsInt | typing.SupportsIndex,
    k: typing.SupportsInt | typing.SupportsIndex,
) -> PackedMatrix: ...
def packed_bytes(
    type: typing.SupportsInt | typing.SupportsIndex,
    n_rows: typing.SupportsInt | typing.SupportsIndex,
    k: typing.SupportsInt | typing.SupportsIndex,
) -> int:
    """
    Bytes in memory of a matrix of a type by its number in GGUF.
    """

def paged_attention(
    q: numpy.typing.NDArray[numpy.float32],
    k_cache: numpy.typing.NDArray[typing.Any],
    v_cache: numpy.typing.NDArray[typing.Any],
    block_table: numpy.typing.NDArray[numpy.int64],
    n_keys: typing.SupportsInt | typing.SupportsIndex,
    causal: bool,
    window: typing.SupportsInt | typing.SupportsIndex,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    soft_cap: typing.SupportsFloat | typing.SupportsIndex,
    isa: typing.Any = None,
    token_step: typing.SupportsInt | typing.SupportsIndex = 16,
    by_segments: bool = False,
    slopes: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    sinks: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
) -> numpy.typing.NDArray[numpy.float32]: ...
def quantize(
    array: numpy.typing.NDArray[numpy.float32], weight_type: str | bytes
) -> numpy.typing.NDArray[numpy.uint8]: ...
def rms_norm(
    x: numpy.typing.NDArray[numpy.float32],
    weight: numpy.typing.NDArray[numpy.float32] | None,
    eps: typing.SupportsFloat | typing.SupportsIndex,
    isa: typing.Any = None,
) -> numpy.typing.NDArray[numpy.float32]: ...
def rope(
    x: numpy.typing.NDArray[numpy.float32],
    positions: numpy.typing.NDArray[numpy.int64],
    theta: typing.SupportsFloat | typing.SupportsIndex,
    n_rot: typing.SupportsInt | typing.SupportsIndex,
    adjacent: bool,
    isa: typing.Any = None,
) -> numpy.typing.NDArray[numpy.float32]: ...
def soft_cap(
    cap: typing.SupportsFloat | typing.SupportsIndex, x: numpy.typing.NDArray[numpy.float32], isa: typing.Any = None
) -> numpy.typing.NDArray[numpy.float32]: ...
def softmax(x: numpy.typing.NDArray[numpy.float32], isa: typing.Any = None) -> numpy.typing.NDArray[numpy.float32]: ...
def unpack_rows(
    weights: PackedMatrix, rows: numpy.typing.NDArray[numpy.int64], isa: typing.Any = None
) -> numpy.typing.NDArray[numpy.float32]: ...
def weight_types() -> dict[typing.Any, typing.Any]: ...

KV_BLOCK: int = 64
