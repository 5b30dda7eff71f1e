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

    @property
    def nbytes(self) -> int: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def type(self) -> str: ...

def dequantize(
    data: numpy.typing.NDArray[numpy.uint8], weight_type: str | bytes
) -> numpy.typing.NDArray[numpy.float32]: ...
def isas() -> list[str]:
    """
    Instruction sets this machine runs, best first.
    """

def matmul(
    x: numpy.typing.NDArray[numpy.float32],
    weights: PackedMatrix,
    isa: typing.Any = None,
    panel_step: typing.SupportsInt | typing.SupportsIndex = 4611686018427387903,
    token_step: typing.SupportsInt | typing.SupportsIndex = 4611686018427387903,
) -> numpy.typing.NDArray[numpy.float32]: ...
def pack(
    weights: numpy.typing.NDArray[numpy.uint8],
    weight_type: str | bytes,
    n_rows: typing.SupportsInt | typing.SupportsIndex,
    k: typing.SupportsInt | typing.SupportsIndex,
) -> PackedMatrix: ...
def quantize(
    array: numpy.typing.NDArray[numpy.float32], weight_type: str | bytes
) -> numpy.typing.NDArray[numpy.uint8]: ...
def unpack_rows(
    weights: PackedMatrix, rows: numpy.typing.NDArray[numpy.int64], isa: typing.Any = None
) -> numpy.typing.NDArray[numpy.float32]: ...
def weight_types() -> dict[typing.Any, typing.Any]: ...
