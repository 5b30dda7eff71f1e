"""A GGUF file or a Hugging Face folder, whichever a path leads to."""

from __future__ import annotations

import os

from nextoken.checkpoints.gguf import GGUFCheckpoint, StrPath, open_gguf


def open_checkpoint(path: StrPath, *, allow_unused: bool = False) -> GGUFCheckpoint:
    """Read and check the headers; the weights stay where they are. Raises as `open_gguf` and `open_folder` do."""
    if os.path.isdir(path):
        from nextoken.checkpoints.hf_folder import open_folder

        return open_folder(os.fsdecode(path), allow_unused=allow_unused)
    return open_gguf(path)
