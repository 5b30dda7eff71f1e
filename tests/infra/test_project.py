"""The project around the code: make targets, the catalogue of errors, what a wheel must hold."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nextoken
from nextoken import errors

ROOT = Path(__file__).parent.parent.parent
TARGETS = {
    *("help", "build", "demo", "bench", "bench-peers", "bench-check", "docs", "clean"),
    *("test", "test-models", "compare-transformers", "compare-random", "bits", "lint", "format", "stubs"),
    *("asan", "tsan", "native", "models-page"),
    *("cuda", "cuda-all", "cuda-host", "test-cuda", "bench-cuda"),
    *("wheels", "release-check", "hashes"),
}


def test_make_help_lists_every_target_with_its_comment() -> None:
    if shutil.which("make") is None:
        pytest.skip("no make here")
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", said, re.MULTILINE))
    assert listed.keys() == TARGETS


def test_ci_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()


def test_the_package_ships_types_and_stubs() -> None:
    folder = Path(nextoken.__file__).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_native" / "__init__.pyi").exists()


def test_the_folder_of_stubs_does_not_hide_the_extension() -> None:
    code = "import nextoken._native as native; print(native.__file__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()).suffix in (".so", ".pyd")


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_error_is_ours_and_a_builtin_one_would_guess() -> None:
    guesses = {
        "ModelFormatError": ValueError,
        "ModelTruncatedError": errors.ModelFormatError,
        "UnsupportedModelError": ValueError,
        "DeviceUnavailableError": RuntimeError,
        "TokenizerError": ValueError,
        "ChatTemplateError": ValueError,
        "ContextLengthError": ValueError,
        "NumericalError": ArithmeticError,
        "ClosedError": RuntimeError,
        "DownloadError": OSError,
    }
    for name, builtin in guesses.items():
        assert issubclass(getattr(errors, name), (errors.Error,))
        assert issubclass(getattr(errors, name), builtin)


def test_no_dependency_of_the_package_is_another_engine() -> None:
    try:
        lines = importlib.metadata.requires("nextoken") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is used here without being installed")
    needed = [line.split(";")[0] for line in lines if "extra" not in line]
    names = {re.split(r"[<>=!~ \[]", line)[0] for line in needed}
    assert names == {"numpy", "jinja2", "typer", "rich"}
