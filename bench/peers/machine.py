"""The machine: what it is, what it can do at most, and how much of it others took meanwhile."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "csrc"
FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
)
LARGEST_READ = 1 << 30  # bytes; beyond it a larger buffer reads no slower


def compiler() -> str:
    return os.environ.get("CXX", "c++")


def describe() -> dict[str, Any]:
    """CPU, flags, compiler, commit and date of a report."""
    cpu = cpu_info()
    flags = [flag for flag in FLAGS if flag in cpu.get("flags", "").split()]
    numbers = "-".join(cpu[key] for key in ("vendor_id", "cpu family", "model") if key in cpu)
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "kind": f"{numbers or platform.machine()}, {widest(flags)}",
        "flags": flags,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "compiler": first_line([compiler(), "--version"]),
        "commit": first_line(["git", "-C", str(HERE), "describe", "--always", "--dirty"]),
        "date": datetime.date.today().isoformat(),
    }


def cpu_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def widest(flags: list[str]) -> str:
    for flag, name in (
        ("amx_int8", "amx"),
        ("avx512_vnni", "avx512 vnni"),
        ("avx_vnni", "avx vnni"),
        ("avx2", "avx2"),
    ):
        if flag in flags:
            return name
    return "scalar"


def first_line(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


class Limits:
    """What so many threads do at most: a process of probe.cpp, compiled into `cache` once.

    `found` is {"read": GB/s, "int8": {isa: G multiply-adds/s}, "float": {...}}; `read` looks again, since it changes
    from minute to minute on a shared machine. Reading is of a buffer as large as the model.
    """

    def __init__(self, cache: Path, threads: int, model_bytes: int) -> None:
        source, peaks = HERE / "probe.cpp", SOURCES / "kernels" / "peaks.h"
        text = source.read_bytes() + peaks.read_bytes()
        program = cache / f"probe-{hashlib.sha256(text).hexdigest()[:12]}"
        if not program.exists():
            cache.mkdir(parents=True, exist_ok=True)
            command = [
                compiler(),
                "-O3",
                "-std=c++17",
                "-pthread",
                f"-I{SOURCES}",
                str(source),
                "-o",
                str(program),
            ]
            subprocess.run(command, check=True, capture_output=True)
        command = [str(program), str(threads), str(min(model_bytes, LARGEST_READ))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.found: dict[str, Any] = json.loads(self.process.stdout.readline())

    def read(self) -> float:
        """GB/s, now."""
        assert self.process.stdin
        assert self.process.stdout
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


@contextmanager
def others_share() -> Iterator[list[float]]:
    """Fills the list with the share of all processors that other processes took meanwhile (Linux)."""
    share: list[float] = []
    before = _busy_and_total(), _own_seconds()
    yield share
    after = _busy_and_total(), _own_seconds()
    if after[0] is not None and before[0] is not None:
        busy, total = after[0][0] - before[0][0], after[0][1] - before[0][1]
        share.append(max(0.0, busy - (after[1] - before[1])) / max(total, 1e-9))


def _busy_and_total() -> tuple[float, float] | None:
    """Seconds of all processors since boot."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    per_second = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / per_second, sum(ticks) / per_second


def _own_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
