"""README and guide show what a reader gets, on every machine, since the logits are the same bits."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.models
def test_the_guide_runs_as_it_stands(smollm2_path: Path) -> None:
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        failed, attempted = doctest.testfile(str(ROOT / "docs" / "guide.md"), module_relative=False)
    assert attempted > 30
    assert failed == 0, report.getvalue()


@pytest.mark.models
def test_the_readme_prints_what_it_says(smollm2_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (quoted,) = re.findall(r"The Python example above:\n\n((?:    .*\n)+)", readme)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example, {})
    assert printed.getvalue() == textwrap.dedent(quoted).rstrip("\n")


@pytest.mark.parametrize("name", ["text", "kernels", "sampling"])
def test_examples_in_docstrings_run(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(f"nextoken.{name}"))
    assert attempted > 0
    assert failed == 0
