"""What loading takes: the benchmark of it, on a small scale."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.load import measure, sparse_model


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and wants files with holes")
def test_a_large_file_loads_within_its_size_and_five_percent_with_progress(tmp_path: Path) -> None:
    path = sparse_model(tmp_path, 2.0)
    load = measure(path)
    assert path.stat().st_blocks * 512 < load.file_bytes / 10  # it is sparse
    assert load.file_bytes > 1.5e9
    assert load.peak_bytes < 1.05 * load.file_bytes
    assert load.peak_bytes > load.weight_bytes  # it was measured
    assert load.last == 1.0
    assert not load.backwards
    assert load.calls >= 50
    assert load.largest_step < 0.05
