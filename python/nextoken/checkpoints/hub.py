"""Models of the Hugging Face hub, by `huggingface_hub` (the extra `hub`): its cache, its settings, its offline mode.

`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean there. What is in the cache is used
without a network. Nothing but weights, JSON, tokenizers and templates is fetched.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from nextoken.checkpoints.split import part_names
from nextoken.errors import Cancelled, DownloadError

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
FOLDER_FILES = ["*.json", "*.safetensors", "tokenizer.model", "*.jinja"]


def is_repository(name: str) -> bool:
    """Whether a name has the form owner/name."""
    return (
        REPOSITORY.fullmatch(name) is not None and ".." not in name and not name.endswith((".git", ".gguf"))
    )


def fetch(
    repository: str,
    file: str | None,
    revision: str | None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Any = None,
) -> str:
    """The local path of one file of a repository, or of its folder of safetensors if `file` is None.

    `file` is a name or a pattern ("*Q4_K_M.gguf") that one file matches, or all parts of one; then all are fetched,
    and the first is what is returned. `revision` is a branch, a tag or a commit.
    Raises ValueError for a pattern that fits none or several, DownloadError, ImportError without huggingface_hub,
    Cancelled.
    """
    check_names(file, revision)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{repository!r} is no file or folder here; models of the hub need huggingface_hub: "
            "pip install 'nextoken[hub]'",
            name=error.name,
        ) from None
    wanted = FOLDER_FILES if file is None else part_names(_choose(repository, file, revision))
    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=wanted,
            ignore_patterns=["*/*"] if file is None else None,
            tqdm_class=_bar(progress, cancel),
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DownloadError(f"{repository} could not be fetched: {error}") from error
    assert isinstance(folder, str)
    if file is None:
        return folder
    names = [os.path.relpath(os.path.join(at, n), folder) for at, _, found in os.walk(folder) for n in found]
    return os.path.join(folder, _one_of(sorted(names), wanted[0], repository))


def check_names(file: Any, revision: Any) -> None:
    """Raises TypeError or ValueError, before anything is read or sent, for names that are none."""
    for what, value in (("file", file), ("revision", revision)):
        if value is None:
            continue
        if not isinstance(value, str):
            raise TypeError(f"{what} must be a str or None, got {type(value).__name__}")
        parts = value.replace("\\", "/").split("/")
        if not value or len(value) > 512 or not value.isprintable() or ".." in parts or "" in parts:
            raise ValueError(f"{what}={value[:64]!r} is no name in a repository")


def _choose(repository: str, pattern: str, revision: str | None) -> str:
    """The one file of a repository that a pattern fits; the pattern itself if only the cache can be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        names = HfApi().list_repo_files(repository, revision=revision)
    except (HfHubHTTPError, OSError, RuntimeError) as error:
        if type(error).__name__ in ("RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError"):
            raise DownloadError(f"{repository} could not be fetched: {error}") from error
        return pattern  # no network: the cache decides
    except Exception as error:
        if not type(error).__module__.startswith(("httpx", "httpcore", "requests")):
            raise
        return pattern
    return _one_of(names, pattern, repository)


def _one_of(names: Sequence[str], pattern: str, repository: str) -> str:
    found = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if found and set(found) <= set(part_names(found[0])):
        return part_names(found[0])[0]
    if not found:
        shown = ", ".join(n for n in names if n.endswith((".gguf", ".safetensors"))) or ", ".join(names)
        raise ValueError(f"file={pattern!r} fits no file of {repository}; it has {shown[:1000]}")
    raise ValueError(f"file={pattern!r} fits {len(found)} files of {repository}: {', '.join(found)[:1000]}")


class _Nowhere:
    """Where progress bars are written to: nothing of ours prints."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def _bar(progress: Callable[[int, int], None] | None, cancel: Any) -> type[Any]:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread of its own

        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **(options | {"file": _Nowhere(), "disable": False}))

        def update(self, n: float | None = 1) -> bool | None:
            if cancel is not None and cancel.is_set():
                raise Cancelled("the download was cancelled")
            shown: bool | None = super().update(n)
            if progress is not None and self.unit == "B" and self.total:
                progress(int(self.n), int(self.total))
            return shown

    return Bar
