"""What all tests share: how hard hypothesis tries, and where the real models are.

pytest --hypothesis-profile=deep     many more examples, for a night
NEXTOKEN_TEST_OFFLINE=1 pytest       skip the tests of real models rather than download one
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nextoken.checkpoints import catalogue

# No deadline and no "too slow": a busy machine is no fault of the code. Derandomised: a red run is red again.
settings.register_profile(
    "fast",
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "deep",
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fast")


def _model(name: str) -> Path:
    if catalogue.local_path(name) is None and os.environ.get("NEXTOKEN_TEST_OFFLINE"):
        pytest.skip(f"{name} is not on this machine, and NEXTOKEN_TEST_OFFLINE forbids to fetch it")
    return catalogue.fetch(name)


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The file of smollm2-135m; downloaded into the user's cache the first time. For tests marked `models`."""
    return _model("smollm2-135m")


@pytest.fixture(scope="session")
def gemma3_path() -> Path:
    """The file of gemma-3-270m, likewise."""
    return _model("gemma-3-270m")
