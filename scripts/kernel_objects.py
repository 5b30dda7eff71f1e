"""No code of a kernel file may stand in for code of another file: `python scripts/kernel_objects.py libnextoken_core.a`

A kernel file is compiled for AVX-512 and the like. If it emitted an inline function under a name that portable files
emit too, the linker would keep one of the two, and perhaps the one that other processors can not run. So every symbol
that a kernel file offers for merging (weak, or unique) must lie in the namespace of its instruction set, and nothing
that it needs may come weak from elsewhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ISAS = {file.stem for file in (Path(__file__).parent.parent / "csrc/kernels/cpu").glob("*.cpp")}


def faults(library: str) -> list[str]:
    """One line a symbol that could be merged; `nm` reads the objects of other machines too."""
    said = subprocess.run(["nm", "-C", "-A", library], capture_output=True, text=True, check=True).stdout
    wrong, seen = [], set()
    for line in said.splitlines():
        match = re.match(r".*[:/](\w+)\.cpp\.o:[0-9a-f ]* (\w) (.*)", line)
        if not match or match[1] not in ISAS:
            continue
        isa, kind, name = match.groups()
        seen.add(isa)
        if kind in "WVuw" and f"nextoken::cpu::{isa}::" not in name:
            wrong.append(f"{isa}: {kind} {name}")
        if kind == "T":
            wrong.append(f"{isa}: code visible as {name}")
    if not seen:
        wrong.append(f"{library}: no kernel files in it")
    return wrong


def main() -> None:
    found = [line for library in sys.argv[1:] for line in faults(library)]
    print("\n".join(found) or "no symbol of a kernel file can be merged with another's")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
