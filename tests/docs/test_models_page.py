"""The tables of docs/models.md say what the code and its tests say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nextoken.architectures import family_of, supported

ROOT = Path(__file__).parents[2]


def test_the_page_is_in_step_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "models_page.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_family_says_in_a_line_what_it_is() -> None:
    for name in supported():
        family = family_of(name)
        for text in (family.models, family.own):
            assert text, name
            assert not {*text} & {"|", "\n"}, name
