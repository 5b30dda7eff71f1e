"""GGUF models in parts, NAME-00001-of-00003.gguf and on: the first has the metadata, each a share of the tensors."""

from __future__ import annotations

import os
import re
from dataclasses import replace

from nextoken import _native
from nextoken.checkpoints.gguf import GGUFCheckpoint, warn_of_surplus
from nextoken.checkpoints.tensors import TensorInfo
from nextoken.errors import ModelFormatError

NAME = re.compile(r"(.*)-([0-9]{5})-of-([0-9]{5})\.gguf", re.DOTALL)
NO, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"
MOST_PARTS = 65535  # the count is a u16


def part_names(name: str) -> list[str]:
    """The names of all parts of the model that `name` is a part of; of any other name itself."""
    match = NAME.fullmatch(name)
    if match is None or not 1 <= int(match[2]) <= int(match[3]):
        return [name]
    return [f"{match[1]}-{i:05d}-of-{match[3]}.gguf" for i in range(1, int(match[3]) + 1)]


class SplitCheckpoint(GGUFCheckpoint):
    """All parts of a model, open; `first` is the one that was asked for. Metadata are those of the first."""

    def __init__(self, first: GGUFCheckpoint) -> None:
        super().__init__(first.native)
        self._parts = [first]
        n = first.need_int(COUNT, 2, MOST_PARTS)
        no = first.need_int(NO, 0, n - 1)
        names = part_names(os.path.basename(self.path))
        if len(names) != n or os.path.basename(self.path) != names[no]:
            raise first.error(
                COUNT, f"is {n}, so that part {no + 1} should be named NAME-{no + 1:05d}-of-{n:05d}.gguf"
            )
        if no != 0:
            raise first.error(
                NO, f"is {no}: this is part {no + 1} of {n}; open the first, {names[0]}, beside the others"
            )
        self.paths = [os.path.join(os.path.dirname(self.path), name) for name in names]
        for i, path in enumerate(self.paths):
            if not os.path.lexists(path):
                raise FileNotFoundError(2, f"part {i + 1} of {n} of the model is missing", path)
        try:
            for i in range(1, n):
                self._parts.append(self._open(i))
            self.size = sum(part.size for part in self._parts)
            self.headers = [part.native for part in self._parts]
            self.tensors = self._all_tensors()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for part in self._parts:
            part.native.close()

    def _open(self, i: int) -> GGUFCheckpoint:
        part = GGUFCheckpoint(_native.GGUFFile(self.paths[i]))
        warn_of_surplus(part.native)
        try:
            for key, expected in ((NO, i), (COUNT, len(self.paths)), (TENSORS, self.need_int(TENSORS))):
                if part.get_int(key, expected if key == TENSORS else None) != expected:
                    raise part.error(
                        key, f"is not {expected}: no part {i + 1} of {len(self.paths)} of this model"
                    )
            if "general.architecture" in part.metadata and part.architecture != self.architecture:
                raise part.error("general.architecture", "is not that of part 1: a part of another model")
        except BaseException:
            part.close()
            raise
        return part

    def _all_tensors(self) -> dict[str, TensorInfo]:
        tensors: dict[str, TensorInfo] = {}
        for i, part in enumerate(self._parts):
            for name, tensor in part.tensors.items():
                if name in tensors:
                    raise ModelFormatError(
                        f"{part.path}: tensor {name} is in part {tensors[name].file + 1} too",
                        path=part.path,
                        offset=tensor.offset,
                        field=name,
                    )
                tensors[name] = replace(tensor, file=i)
        expected = self.need_int(TENSORS)
        if len(tensors) != expected:
            raise self.error(TENSORS, f"is {expected}, the {len(self.paths)} parts have {len(tensors)}")
        return tensors
