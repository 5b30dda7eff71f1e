"""A model's GGUF file in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests import gguf_files as g


def split(whole: Path, folder: Path, n: int = 3, **changes: Any) -> list[Path]:
    """The model in n parts as llama-gguf-split writes them. `changes`: {part: {metadata key: value, None drops it}}."""
    folder.mkdir(exist_ok=True)
    reader = gguf.GGUFReader(str(whole))
    shares = np.array_split(np.arange(len(reader.tensors)), n)
    metadata = {f.name: f.contents() for f in reader.fields.values() if not f.name.startswith("GGUF.")}
    types = metadata["tokenizer.ggml.token_type"]
    metadata["tokenizer.ggml.token_type"] = g.Typed(g.ARRAY, types, element=g.I32)
    paths = []
    for i, share in enumerate(shares):
        keys = {
            "split.no": g.Typed(g.U16, i),
            "split.count": g.Typed(g.U16, n),
            "split.tensors.count": g.Typed(g.I32, len(reader.tensors)),
        }
        keys = (metadata if i == 0 else {}) | keys | changes.get(f"part{i}", {})
        tensors = {
            t.name: (t.data.tobytes(), int(t.tensor_type), t.shape.tolist())
            for t in (reader.tensors[j] for j in share)
        }
        path = folder / f"m-{i + 1:05d}-of-{n:05d}.gguf"
        paths.append(g.write_gguf(path, {k: v for k, v in keys.items() if v is not None}, tensors))
    return paths
