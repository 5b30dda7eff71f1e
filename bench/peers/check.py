"""Fails when a share of the machine's own limits is more than 15 % below the one that is committed for its CPU.

    python -m bench.peers.check measured.json bench/limits.json            compare
    python -m bench.peers.check measured.json bench/limits.json --update   write what was measured there instead

Shares of limits measured in the same run, not times: so a slower clock or a busy memory bus moves both sides.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.peers.report import limit_ratio

MOST_LOST = 0.15


def shares(report: dict[str, Any]) -> dict[str, float]:
    """{"model, row, threads": nextoken's share of the limit}, three digits."""
    found = {}
    for result in report["results"]:
        share = limit_ratio(result)
        if share is not None:
            found[f"{result['model']}, {result['row']}, {result['threads']}"] = round(share, 3)
    return found


def losses(measured: dict[str, float], committed: dict[str, float]) -> list[str]:
    """A line for each row that lost more than MOST_LOST of its committed share, the worst first."""
    worse = [(now / committed[name], name) for name, now in measured.items() if name in committed]
    return [
        f"{name}: {measured[name]:.0%} of the limit, committed {committed[name]:.0%}"
        for kept, name in sorted(worse)
        if kept < 1 - MOST_LOST
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path, help="what `python -m bench.peers --json` wrote")
    parser.add_argument("committed", type=Path, help="shares by CPU kind")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    report = json.loads(arguments.measured.read_text())
    kind, measured = report["machine"]["kind"], shares(report)
    by_kind = json.loads(arguments.committed.read_text()) if arguments.committed.exists() else {}
    if arguments.update:
        by_kind[kind] = {**by_kind.get(kind, {}), **measured}
        arguments.committed.write_text(json.dumps(by_kind, indent=1, sort_keys=True) + "\n")
        return
    if kind not in by_kind:
        sys.exit(f"no shares are committed for {kind!r}; those of this run can be, with --update")
    compared = measured.keys() & by_kind[kind].keys()
    lost = losses(measured, by_kind[kind])
    print(f"{kind}: {len(compared)} rows compared, {len(lost)} lost more than {MOST_LOST:.0%}")
    print("\n".join(lost))
    if lost or not compared:
        sys.exit(1)


if __name__ == "__main__":
    main()
