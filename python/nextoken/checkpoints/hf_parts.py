"""Tensors of a folder that hold several of ours: the matrices of all experts, gates and ups in one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from nextoken.checkpoints.gguf import shortened
from nextoken.checkpoints.tensors import TensorInfo
from nextoken.errors import ModelFormatError

NUMBER = r"(?<=\.)(?:0|[1-9][0-9]{0,5})(?=\.)"  # of a layer, and behind it of an expert


@dataclass(frozen=True)
class Part:
    """One of `of` equal parts of the rows of a tensor (experts, rows, columns), or (experts, rows) of biases; not of
    `experts`, (rows, columns).

    `interleaved`: each row of this part is followed by one of the others. `transposed`: (experts, columns, rows).
    """

    name: str  # GGUF's
    index: int = 0
    of: int = 1
    interleaved: bool = False
    transposed: bool = False
    experts: bool = True

    def of_tensor(self, whole: TensorInfo, path: str) -> TensorInfo:
        """The part of a tensor whose shape is as the folder has it, last axis first."""
        shape = whole.shape if self.experts else (*whole.shape, 1)
        *columns, rows, experts = shape if len(shape) > 1 else (1, 1, 1, 1)
        if self.transposed and len(columns) == 1:
            columns, rows = [rows], columns[0]
        if len(shape) not in (2, 3) or (not self.experts and len(shape) == 2) or rows % self.of:
            what = "matrices of experts were" if self.experts else f"a matrix of {self.of} parts was"
            raise ModelFormatError(
                f"{path}: {shortened(whole.name)} is {whole.shape[::-1]}, {what} expected",
                path=path,
                field=whole.name,
            )
        n = rows // self.of
        return replace(
            whole,
            shape=(*columns, n, experts),
            file_rows=rows if self.of > 1 else 0,
            first_row=self.index if self.interleaved else self.index * n,
            row_step=self.of if self.interleaved else 1,
            transposed=self.transposed,
        )


def numbered(name: str) -> tuple[str, dict[str, str]]:
    """A tensor's name with {i} for its layer and {e} for its expert, and these."""
    numbers = re.findall(NUMBER, name)
    for mark in ("{i}", "{e}"):
        name = re.sub(NUMBER, mark, name, count=1)
    return name, dict(zip("ie", numbers, strict=False))
