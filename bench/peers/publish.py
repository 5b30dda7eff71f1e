"""Puts the tables of a report into docs/performance.md, under the heading of its kind of processor.

python -m bench.peers.publish bench.json docs/performance.md

The section of another kind stays as it is.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from bench.peers.report import table

PLACE = "## Beside other engines"


def section(report: dict[str, Any]) -> str:
    """Heading, machine and tables of one report."""
    machine = report["machine"]
    commits = ", ".join(dict.fromkeys(result["commit"] for result in report["results"]))
    about = (
        f"{machine['cores']} cores, {machine['cpu']}, {', '.join(machine['flags'])}; {machine['compiler']}; "
        f"measured at {commits}, {machine['date']}."
    )
    return f"### {machine['kind']}\n\n{about}\n\n{limits(report)}\n\n{table(report['results'])}\n"


def limits(report: dict[str, Any]) -> str:
    """What the machine does at most, by number of threads: the best of all runs; of reading the range."""
    lines = [
        "| limits | reading, by model | int8 multiply-adds | float32 multiply-adds |",
        "|---|---|---|---|",
    ]
    for threads in sorted({result["threads"] for result in report["results"]}):
        mine = [result for result in report["results"] if result["threads"] == threads]
        reading: dict[str, list[float]] = {}
        for r in mine:
            reading.setdefault(r["model"], []).extend([r["limits"]["read"], *r.get("read", [])])
        spans = (f"{model} {min(speeds):.0f}-{max(speeds):.0f}" for model, speeds in reading.items())
        cells = [", ".join(spans) + " GB/s"]
        for kind in ("int8", "float"):
            best: dict[str, float] = {}
            for r in mine:
                for isa, rate in r["limits"][kind].items():
                    best[isa] = max(rate, best.get(isa, 0))
            cells.append(", ".join(f"{isa} {rate:.0f}" for isa, rate in best.items()) + " G/s")
        lines.append(f"| {threads} thread{'s' if threads > 1 else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def put(text: str, heading: str, new: str) -> str:
    """`text` with the section of that heading replaced, or added as the last one of PLACE."""
    start = text.index(f"{PLACE}\n")
    end = _next(text, r"^## ", start + len(PLACE))
    old = re.search(rf"^{re.escape(heading)}$", text[start:end], re.MULTILINE)
    if old is None:
        return text[:end].rstrip("\n") + f"\n\n{new}\n" + text[end:]
    at = start + old.start()
    return text[:at] + f"{new}\n" + text[_next(text, r"^##", at + len(heading)) :]


def _next(text: str, pattern: str, start: int) -> int:
    found = re.compile(pattern, re.MULTILINE).search(text, start)
    return found.start() if found else len(text)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    report, page = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    page.write_text(put(page.read_text(), f"### {report['machine']['kind']}", section(report)))


if __name__ == "__main__":
    main()
