"""What this process holds: descriptors, threads and memory, read from /proc."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def handles_and_threads() -> tuple[int, int]:
    """How many descriptors are open, and how many threads there are."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def settles_at_most(before: tuple[int, int]) -> bool:
    """Whether no more are left than before: a joined thread may stay in /proc for a moment, longer on a busy machine.

    There may be fewer: one of another test's was still leaving when `before` was counted.
    """
    deadline = time.monotonic() + 60
    while not (done := all(now <= was for now, was in zip(handles_and_threads(), before, strict=True))):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return done


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
