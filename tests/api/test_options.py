"""What the constructor accepts and refuses: rows C1 and G14, and the import itself."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nextoken
from nextoken import LLM, ModelFormatError, TokenizerError, errors, threads
from tests.gguf_files import tiny_llama

IDS = [5, 17, 200]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"n_threads": 0}, ValueError),
        ({"n_threads": -1}, ValueError),
        ({"n_threads": 1.0}, TypeError),
        ({"n_threads": True}, TypeError),
        ({"n_ctx": 0}, ValueError),
        ({"n_ctx": 2**31}, ValueError),
        ({"n_ctx": "8"}, TypeError),
        ({"kv_dtype": "q4"}, ValueError),
        ({"kv_dtype": None}, TypeError),
        ({"device": "gpu"}, ValueError),
        ({"dtype": "q9_9"}, ValueError),
        ({"dtype": 8}, TypeError),
        ({"progress": 1}, TypeError),
        ({"cancel": 1}, TypeError),
    ],
)
def test_bad_options_are_refused_before_the_file_is_opened(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(options))):
        LLM("nowhere.gguf", **options)


def test_too_many_threads_are_cut_with_a_warning(tiny_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "nextoken"), LLM(tiny_path, n_threads=10_000) as llm:
        assert llm.n_threads == threads.usable_cpus()
    assert "10000" in caplog.text
    with LLM(tiny_path) as llm:
        assert 1 <= llm.n_threads <= threads.usable_cpus()


def test_an_affinity_of_one_core_is_one_thread() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads.choose_threads(None) == threads.choose_threads(8) == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/../../x\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
        ("0::/a\n", {"a/cpu.max": "rubbish\n"}, None),
        (
            "3:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("rubbish\n", {}, None),
    ],
)
def test_the_quota_of_control_groups(
    tmp_path: Path, membership: str, files: dict[str, str], expected: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    (tmp_path / "cgroup").write_text(membership)
    assert threads.cgroup_quota(str(tmp_path / "root"), str(tmp_path / "cgroup")) == expected
    assert threads.cgroup_quota(str(tmp_path / "root"), str(tmp_path / "none")) is None


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="smollm2-135m"):
        LLM("smollm3")
    with pytest.raises(FileNotFoundError):
        LLM(tmp_path / "none.gguf")
    with pytest.raises(IsADirectoryError):
        LLM(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelFormatError, match="model_type"):
        LLM(tmp_path)
    for bad in ("", "a\0b"):
        with pytest.raises(ValueError, match="path"):
            LLM(bad)
    with pytest.raises(ModelFormatError):
        LLM(__file__)


def test_a_path_may_be_of_any_kind(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/tiny\xff.gguf"
    tiny_llama(tmp_path / "m.gguf").rename(os.fsdecode(path))
    with LLM(path) as llm:
        assert len(llm.generate(IDS, max_tokens=1, ignore_eos=True).token_ids) == 1


def test_a_context_beyond_the_trained_one_is_warned_of(
    tiny_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nextoken"), LLM(tiny_path, n_ctx=300) as llm:
        assert llm.n_ctx == 300
        assert len(llm.generate([1] * 298, ignore_eos=True).token_ids) == 2
    assert "300" in caplog.text


def test_a_model_without_tokenizer_works_on_ids(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    names = ("model", "tokens", "token_type", "merges", "pre", "scores", "bos_token_id", "eos_token_id")
    with LLM(path) as whole:
        expected = whole.generate(IDS, max_tokens=5, ignore_eos=True).token_ids
    bare = tiny_llama(tmp_path / "bare.gguf", metadata={f"tokenizer.ggml.{name}": None for name in names})
    with LLM(bare) as llm:
        for _ in range(2):
            with pytest.raises(TokenizerError):
                llm.generate("text")
            with pytest.raises(TokenizerError):  # no text in which it could be found
                llm.stream(IDS, stop="end")
        out = llm.generate(IDS, max_tokens=5, logprobs=1)
        assert (out.token_ids, out.text) == (expected, "")
        assert llm.predict_next_token(IDS).bytes == b""


def test_import_is_light_and_names_are_found_when_asked_for() -> None:
    code = (
        "import sys, nextoken; heavy = {'typer', 'rich', 'jinja2', 'asyncio', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert all(getattr(nextoken, name) for name in nextoken.__all__); "
        "assert not {'typer', 'rich', 'jinja2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_error_and_nothing_else_is_a_name_of_the_package() -> None:
    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert raised <= set(nextoken.__all__)
    assert set(dir(nextoken)) == {*nextoken.__all__, "errors", "kernels", "__version__"}


def test_errors_about_arguments_name_what_was_called() -> None:
    for arguments, options in (((), {}), (("a", 4), {}), (("a",), {"n_gpu": 1})):
        with pytest.raises(TypeError, match=r"^LLM\.__init__"):
            LLM(*arguments, **options)


def test_a_first_answer_loads_nothing_that_it_does_not_need(tiny_path: Path) -> None:
    """OpenSSL alone would be a tenth of what Python takes, pathlib is a tenth of the time that imports take."""
    code = (
        f"import sys, nextoken; print(nextoken.LLM({str(tiny_path)!r}).generate([5, 17], max_tokens=2).usage); "
        "print(*{'_hashlib', 'ssl', 'asyncio', 'jinja2', 'concurrent.futures', 'json', 'pathlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.stdout.splitlines()[1:], done.stderr) == ([""], "")
