"""What `nextoken inspect` shows of a checkpoint, from its header alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nextoken.checkpoints.gguf import GGUFCheckpoint


@dataclass(frozen=True)
class TypeTotal:
    """All tensors of one storage type."""

    type_name: str
    n_tensors: int
    n_elements: int
    nbytes: int


@dataclass(frozen=True)
class Summary:
    """A checkpoint at a glance. `dataclasses.asdict` makes it JSON; texts are printable whatever the file holds."""

    path: str
    size: int
    version: int | None  # of GGUF; None for a folder
    architecture: str
    name: str | None
    hparams: dict[str, Any]
    vocab_size: int | None
    types: tuple[TypeTotal, ...]  # largest first
    n_tensors: int
    n_parameters: int
    weight_bytes: int


def summary(checkpoint: GGUFCheckpoint) -> Summary:
    """Architecture, hyper-parameters and tensors by type; reads nothing but the header, which is in memory."""
    metadata, prefix = checkpoint.metadata, checkpoint.hparam_key("")
    totals: dict[str, list[int]] = {}
    for tensor in checkpoint.tensors.values():
        total = totals.setdefault(tensor.type_name, [0, 0, 0])
        nbytes = tensor.nbytes + (tensor.scales.nbytes if tensor.scales else 0)
        for i, n in enumerate((1, tensor.n_elements, nbytes)):
            total[i] += n
    types = [TypeTotal(name, *total) for name, total in totals.items()]
    tokens = "tokenizer.ggml.tokens"
    named = "general.name" in metadata and metadata.kind("general.name") == "str"
    return Summary(
        path=checkpoint.path,
        size=checkpoint.size,
        version=checkpoint.version,
        architecture=_printable(checkpoint.architecture),
        name=_printable(metadata["general.name"]) if named else None,
        hparams={k.removeprefix(prefix): _printable(metadata[k]) for k in metadata if k.startswith(prefix)},
        vocab_size=metadata.length(tokens)
        if tokens in metadata
        else metadata.get(checkpoint.hparam_key("vocab_size")),
        types=tuple(sorted(types, key=lambda t: -t.nbytes)),
        n_tensors=len(checkpoint.tensors),
        n_parameters=sum(t.n_elements for t in types),
        weight_bytes=sum(t.nbytes for t in types),
    )


def _printable(value: Any) -> Any:
    """Lists instead of arrays, and no control characters or stray bytes that could play with a terminal."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_printable(v) for v in value] if isinstance(value, list) else value
