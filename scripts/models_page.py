"""Write the tables of docs/models.md anew from the code and what its tests compare; --check tells whether they fit.

Families are those of the registry, and what stands beside them comes from the tiny models of tests/families; the bits
of weight types are measured on the packed bytes. The rest of the page is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "models.md"
sys.path[:0] = [str(ROOT)]

import gguf  # noqa: E402  behind the path, as are the next

from nextoken import _native, kernels  # noqa: E402
from nextoken.architectures import family_of, supported  # noqa: E402
from nextoken.checkpoints.tensors import DTYPES  # noqa: E402
from tests.families import cases, experts, latent, tiny  # noqa: E402


@dataclass
class Tested:
    """What tests/families compares of an architecture."""

    in_files: bool = False
    folders: set[str] = field(default_factory=set)  # model_type of config.json
    with_transformers: bool = False
    names: set[str] = field(default_factory=set)  # of its tiny models


def tested() -> dict[str, Tested]:
    """By architecture, from the lists that the tests are parametrised by."""
    found: dict[str, Tested] = {}
    in_gguf = set(gguf.MODEL_ARCH_NAMES.values())
    for group, in_file in (
        (tiny.FAMILIES, True),
        (experts.IN_FOLDERS, False),
        (cases.CASES, True),
        (cases.IN_FOLDERS, False),
        (latent.CASES, True),
    ):
        for name, case in group.items():
            entry = found.setdefault(case.architecture, Tested())
            with_transformers = getattr(case, "in_transformers", True)
            in_file_too = in_file and getattr(case, "in_file", True)
            entry.names.add(name)
            entry.in_files |= in_file_too and case.architecture in in_gguf
            entry.with_transformers |= with_transformers
            if with_transformers or not in_file:  # the others have no folder that a test reads
                entry.folders.add(case.hf["model_type"])
    return found


def families() -> Iterable[str]:
    hashed = {name.split()[0] for name in json.loads((ROOT / "tests/bits/hashes.json").read_text())}
    yield "| Architecture | Models | What is its own | GGUF | Folders | Compared with | Bits recorded |"
    yield "|---|---|---|---|---|---|---|"
    found = tested()
    for name in supported():
        family, entry = family_of(name), found[name]
        folders = ", ".join(f"`{kind}`" for kind in sorted(entry.folders)) or "no"
        yield row(
            f"`{name}`",
            family.models,
            family.own,
            yes(entry.in_files),
            folders,
            "float64, transformers" if entry.with_transformers else "float64",
            yes(bool(hashed & {name, *entry.names})),
        )


def weight_types() -> Iterable[str]:
    yield "| Type | Bits in the file | Bits in memory | Written by `dtype=` |"
    yield "|---|---|---|---|"
    for name, (weights, size) in _native.kernels.weight_types().items():
        n_rows, k = 64, 2048
        packed = kernels.pack(bytes(n_rows * k // weights * size), name, (n_rows, k))
        in_file, in_memory = 8 * size / weights, 8 * packed.nbytes / (n_rows * k)
        yield row(name.upper(), f"{in_file:.4g}", f"{in_memory:.4g}", yes(name in DTYPES))


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def yes(it_is: bool) -> str:
    return "yes" if it_is else "no"


TABLES: Mapping[str, Any] = {"families": families, "weight types": weight_types}


def renewed(page: str) -> str:
    """The page with what stands between `<!-- NAME: -->` and `<!-- end -->` made anew."""
    for name, table in TABLES.items():
        lines = "\n".join(table())
        page, n = re.subn(
            rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->)",
            lambda found, lines=lines: f"{found[1]}\n{lines}\n\n{found[2]}",  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
        if n != 1:
            raise SystemExit(f"{PAGE} has {n} places for {name}")
    return page


def main() -> None:
    before = PAGE.read_text()
    after = renewed(before)
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(after)
    elif after != before:
        raise SystemExit(f"{PAGE} is out of step with the code: run `make models-page`")


if __name__ == "__main__":
    main()
