"""The safetensors of a folder: one file, or those that an index names, and every tensor in exactly one of them."""

from __future__ import annotations

import os
import re
from typing import Any

from nextoken import _native
from nextoken.checkpoints import safetensors
from nextoken.checkpoints.gguf import shortened
from nextoken.checkpoints.json_file import read_json
from nextoken.errors import ModelFormatError, UnsupportedModelError

ONE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth", "model.pt")
MOST_SHARDS = 4096


def open_shards(folder: str) -> tuple[list[str], list[_native.File]]:
    """Paths and open files of the folder's safetensors, one or those its index names.

    Raises FileNotFoundError, UnsupportedModelError if there are pickles only, ModelFormatError for an index that leads
    out of the folder.
    """
    names = [ONE_FILE]
    index = os.path.join(folder, INDEX)
    if not os.path.exists(os.path.join(folder, ONE_FILE)):
        if not os.path.exists(index):
            pickles = [name for name in PICKLES if os.path.exists(os.path.join(folder, name))]
            if pickles:
                raise UnsupportedModelError(
                    f"{folder}: has {pickles[0]}, a pickle, which can run code and is never opened, and no "
                    f"{ONE_FILE}: save it as safetensors"
                )
            raise FileNotFoundError(2, f"no {ONE_FILE} or {INDEX} in the folder", folder)
        names = sorted(set(read_index(index)[0].values()))
    files: list[_native.File] = []
    paths = [os.path.join(folder, name) for name in names]
    for path in paths:
        if names != [ONE_FILE] and not os.path.exists(path):
            raise FileNotFoundError(2, f"no such file, which {INDEX} names", path)
    try:
        files.extend(_native.File(os.fsencode(path)) for path in paths)
    except BaseException:
        for file in files:
            file.close()
        raise
    return paths, files


def read_index(path: str) -> tuple[dict[str, str], Any]:
    """The weight_map of an index, tensor to file, and its total_size, if any. Every file is a plain name of the same
    folder."""

    def refuse(why: str) -> ModelFormatError:
        return ModelFormatError(f"{path}: weight_map {why}", path=path, field="weight_map")

    values = read_json(path)
    weights, metadata = values.get("weight_map"), values.get("metadata")
    if not isinstance(weights, dict) or not weights:
        raise refuse("is missing or no object")
    for tensor, name in weights.items():
        if (
            not isinstance(name, str)
            or not re.fullmatch(r"[\w.-]{1,255}\.safetensors", name)
            or name[0] == "."
        ):
            raise refuse(
                f"sends {shortened(tensor)} to {shortened(str(name))}, which is no file of the folder"
            )
    if len(set(weights.values())) > MOST_SHARDS:
        raise refuse(f"names more than {MOST_SHARDS} files")
    return weights, metadata.get("total_size") if isinstance(metadata, dict) else None


def read_tensors(
    folder: str, paths: list[str], files: list[_native.File]
) -> dict[str, tuple[int, safetensors.Stored]]:
    """Every tensor with the number of its file, as the headers say; the index must say the same."""
    tensors: dict[str, tuple[int, safetensors.Stored]] = {}
    for i, (path, file) in enumerate(zip(paths, files, strict=True)):
        for name, stored in safetensors.read_header(file, path).items():
            if name in tensors:
                raise ModelFormatError(
                    f"{path}: tensor {shortened(name)} is in {paths[tensors[name][0]]} too",
                    path=path,
                    field=name,
                )
            tensors[name] = i, stored
    if os.path.basename(paths[0]) != ONE_FILE:
        index = os.path.join(folder, INDEX)
        weights, total = read_index(index)
        found = {name: os.path.basename(paths[i]) for name, (i, _) in tensors.items()}
        for name, _ in sorted(weights.items() ^ found.items()):
            raise ModelFormatError(
                f"{index}: weight_map and the files disagree on where {shortened(name)} is",
                path=index,
                field=name,
            )
        nbytes = sum(stored.nbytes for _, stored in tensors.values())
        if total not in (None, nbytes):
            raise ModelFormatError(
                f"{index}: metadata.total_size is {shortened(str(total))}, the tensors of the files it names take "
                f"{nbytes} bytes: they may be of two versions. If they are not, take total_size out of the index",
                path=index,
                field="metadata.total_size",
            )
    return tensors
