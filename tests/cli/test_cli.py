"""The command line, run as users run it: in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nextoken import __version__
from tests.gguf_files import tiny_llama

COMMAND = [sys.executable, "-m", "nextoken"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("models") / "tiny.gguf", "Q8_0", seed=2)


def nextoken(*arguments: object, code: int = 0, text: str | None = None) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
        input=text,
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_run_prints_the_answer_and_a_line_of_timings(model: Path) -> None:
    result = nextoken("run", model, "hello", "--raw", "-n", 8)
    assert result.stdout.strip()
    for part in ("prompt", "generated", "first token after", "peak memory"):
        assert part in result.stderr
    assert nextoken("run", model, "hello", "--raw", "-n", 8, "-q").stdout == result.stdout


def test_warnings_are_silent_in_a_library_and_told_on_the_command_line(model: Path) -> None:
    code = f"from nextoken import LLM; LLM({str(model)!r}, n_threads=10_000).close()"
    library = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert (library.returncode, library.stdout, library.stderr) == (0, b"", b"")
    assert "10000" in nextoken("run", model, "hello", "--raw", "-n", 1, "--threads", 10_000).stderr


def test_run_json_is_an_openai_completion(model: Path) -> None:
    answer = json.loads(nextoken("run", model, "hello", "--raw", "-n", 4, "--json").stdout)
    assert answer["usage"]["completion_tokens"] <= 4
    assert "text" in answer["choices"][0]


def test_a_conversation_reads_lines_until_the_end(model: Path) -> None:
    result = nextoken("run", model, "-n", 3, text="hi\n\nthere\n/exit\nnever read\n")
    assert result.stderr.count("generated") == 2


def test_a_conversation_that_fills_the_context_starts_anew(model: Path) -> None:
    result = nextoken("run", model, "-n", 3, "--n-ctx", 128, text="hi\n" + "word " * 200 + "\nhi\n")
    assert "starts anew" in result.stderr
    assert result.stderr.count("generated 3") == 2
    first, *_, last = (line for line in result.stdout.splitlines() if line.strip())
    assert first == last  # nothing of the conversation before is left


def test_the_line_that_fills_the_context_is_answered(model: Path) -> None:
    line = "word " * 8 + "\n"
    result = nextoken("run", model, "-n", 3, "--n-ctx", 96, "-q", text=line + line)
    assert "starts anew" in result.stderr
    first, second = result.stdout.splitlines()
    assert first == second


def test_an_answer_that_the_context_cut_says_so(model: Path) -> None:
    endless = ("run", model, "hello", "--raw", "-q", "--n-ctx", 24)
    assert "context holds 24" in nextoken(*endless).stderr
    assert nextoken(*endless, "-n", 4).stderr == ""
    assert "context holds 96" in nextoken("run", model, "-q", "--n-ctx", 96, text="hi\n").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hi", "--raw", "--system", "Be kind."], "--system"),
        (["--raw"], "--raw takes no chat template"),
        (["--json"], "--json"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(model: Path, arguments: list[str], says: str) -> None:
    assert says in nextoken("run", model, *arguments, code=2, text="hi\n").stderr


def test_explain_as_table_and_json(model: Path) -> None:
    assert "pass 2" in nextoken("explain", model, "hello", "-n", 2).stdout
    steps = json.loads(nextoken("explain", model, "hello", "-n", 2, "--json").stdout)["steps"]
    assert [len(step["inputs"]) for step in steps][1:] == [1] * (len(steps) - 1)


def test_inspect_reckons_memory_from_the_header(model: Path, tmp_path: Path) -> None:
    about = json.loads(nextoken("inspect", model, "--n-ctx", 128, "--json").stdout)
    assert about["architecture"] == "llama"
    assert about["supported"]
    # 2 layers, 2 kv heads, k and v of 16 f16 each
    assert about["memory"]["kv_bytes"] == 128 * 2 * 2 * 2 * 16 * 2
    assert "Q8_0" in nextoken("inspect", model).stdout
    q8 = json.loads(nextoken("inspect", model, "--n-ctx", 128, "--kv-dtype", "q8", "--json").stdout)
    assert q8["memory"]["kv_dtype"] == "q8"
    assert q8["memory"]["kv_bytes"] < about["memory"]["kv_bytes"]
    header_only = tmp_path / "short.gguf"
    header_only.write_bytes(model.read_bytes()[:-1])
    assert "nextoken:" in nextoken("inspect", header_only, code=1).stderr


def test_models_lists_the_catalogue() -> None:
    names = [entry["name"] for entry in json.loads(nextoken("models", "--json").stdout)]
    assert names == ["smollm2-135m", "gemma-3-270m"]
    assert "Apache-2.0" in nextoken("models").stdout


def test_bench_cache_writes_what_it_prints(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "cache.json"
    out = nextoken("bench", "cache", model, "--rounds", 1, "--json-file", file, "--json").stdout
    figures = json.loads(file.read_text())
    assert figures == json.loads(out)
    for row in figures["rows"]:
        n, prompt = row["generated"], row["prompt"]
        assert row["passes"] == n
        assert row["cached_rows"] == prompt + n - 1
        assert row["uncached_rows"] == sum(prompt + i for i in range(n))


def test_profile_prints_a_table_and_writes_what_it_prints(model: Path, tmp_path: Path) -> None:
    options = ("profile", model, "--batch", "1,2", "--depth", "0,4096")
    table = nextoken(*options).stdout
    for part in (
        "decode of 2 tokens, batch 2, depth 0",
        "gate, up matmul",
        "outside",
        "left out: depth 4096",
    ):
        assert part in table
    file = tmp_path / "profile.json"
    figures = json.loads(nextoken(*options, "--json-file", file, "--json").stdout)
    assert figures == json.loads(file.read_text())
    assert [(c["phase"], c["batch"]) for c in figures["cases"]] == [
        ("prefill", 1),
        ("decode", 1),
        ("prefill", 2),
        ("decode", 2),
    ]
    assert "numbers" in nextoken("profile", model, "--batch", "x", code=1).stderr


def test_inspect_promises_no_hub() -> None:
    assert "hub" in nextoken("run", "--help").stdout
    assert "hub" not in nextoken("inspect", "--help").stdout


@pytest.mark.parametrize("command", [["bench", "cache"], ["profile"]])
@pytest.mark.parametrize("option", ["--json-file", "--png"])
def test_a_file_that_can_not_be_written_is_told_before_the_model_is_read(
    command: list[str], option: str, tmp_path: Path
) -> None:
    file = tmp_path / "none" / "figures"
    told = nextoken(*command, "/no/such/model", option, file, code=1).stderr
    assert str(file) in told


@pytest.mark.parametrize("command", ["run", "explain", "inspect", "models", "bench", "profile"])
def test_help_has_an_example(command: str) -> None:
    arguments = [command, "cache"] if command == "bench" else [command]
    assert f"nextoken {' '.join(arguments)}" in nextoken(*arguments, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "/no/such/file.gguf", "hi"], 1, "No such file"),
        (["run", "no-such-model", "hi"], 1, "no-such-model"),
        (["run", "MODEL", "hi", "--top-p", "0"], 1, "top_p"),
        (["run", "MODEL", "hi", "--nonsense"], 2, "nonsense"),
        (["inspect", "MODEL", "--n-ctx", "0"], 1, "n_ctx"),
        (["inspect", "MODEL", "--n-ctx", "99999999999999999999"], 1, "n_ctx"),
        (["profile", "MODEL", "--memory", "inf"], 1, "--memory"),
        (["profile", "MODEL", "--memory", "nan"], 1, "--memory"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_code(
    model: Path, arguments: list[str], code: int, says: str
) -> None:
    result = nextoken(*[str(model) if a == "MODEL" else a for a in arguments], code=code)
    assert says in result.stderr


def test_bytes_that_are_no_characters_are_read_as_such(model: Path) -> None:
    whole = nextoken("run", model, "h\ufffd", "--raw", "-n", 4, "-q").stdout
    command = [*COMMAND, "run", str(model)]
    argument = subprocess.run(
        [*command, b"h\xff", "--raw", "-n", "4", "-q"], capture_output=True, timeout=300
    )
    assert argument.stdout.decode("utf-8", "replace") == whole
    typed = subprocess.run([*command, "-n", "2"], input=b"h\xff\n\xfe\n", capture_output=True, timeout=300)
    assert (typed.returncode, typed.stderr.count(b"generated")) == (0, 2)


def test_an_argument_is_utf8_in_a_locale_that_is_not(model: Path) -> None:
    arguments = ["explain", str(model), "\u20ac", "--json"]
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run([*COMMAND, *arguments], env=plain, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["prompt"] in ("\u20ac", "?")


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_no_fault(model: Path, redirection: str) -> None:
    for rest in (["hi", "--raw", "-n", "2"], []):
        command = shlex.join([*COMMAND, "run", str(model), *rest])
        result = subprocess.run(
            ["sh", "-c", f"{command} {redirection}"], capture_output=True, input=b"", timeout=300
        )
        assert (result.returncode, result.stderr.count(b"Traceback")) == (0, 0)


def test_the_version_is_told() -> None:
    assert nextoken("--version").stdout == f"nextoken {__version__}\n"


def test_ctrl_c_while_it_starts_is_no_traceback() -> None:
    interrupted = """
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "nextoken.cli.app":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from nextoken.cli import main
main()
"""
    result = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, timeout=300)
    assert (result.returncode, result.stderr) == (130, b"")


def test_a_closed_pipe_ends_quietly(model: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "run", str(model), "hello", "--raw", "-n", "200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(300) == -signal.SIGPIPE
        assert b"Traceback" not in errors
        assert b"Exception ignored" not in errors


class Terminal:
    """The parent's end of a terminal in which a program runs; never waits without a limit."""

    def __init__(self, parent: int, process: subprocess.Popen[bytes]) -> None:
        self.parent = parent
        self.process = process

    def shows(self, what: bytes, seconds: float) -> bool:
        """Whether `what` is printed within that time."""
        seen = b""
        limit = time.monotonic() + seconds
        while what not in seen and (left := limit - time.monotonic()) > 0:
            if select.select([self.parent], [], [], left)[0]:
                try:
                    seen += os.read(self.parent, 4096)
                except OSError:  # EIO: the program has ended
                    break
        return what in seen

    def interrupt_until(self, what: bytes) -> None:
        """Press Ctrl-C until `what` is shown.

        CPython's input() loses a signal that comes between its prompt and its wait for a key.
        """
        for _ in range(60):
            self.process.send_signal(signal.SIGINT)
            if self.shows(what, 1):
                return
        raise AssertionError(f"Ctrl-C did not bring {what!r}")

    def type(self, text: bytes) -> None:
        with suppress(OSError):  # it has ended
            os.write(self.parent, text)

    def leave(self) -> int:
        """Type /exit until the program ends; its exit code. What it prints is read: a full terminal would hold it."""
        for _ in range(60):
            self.type(b"/exit\n")
            self.shows(b"nothing of the kind", 1)
            if self.process.poll() is not None:
                break
        return self.process.wait(300)


@contextmanager
def terminal(*arguments: object) -> Iterator[Terminal]:
    parent, child = pty.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, *map(str, arguments)], stdin=child, stdout=child, stderr=child, close_fds=True
        ) as process:
            os.close(child)
            try:
                yield Terminal(parent, process)
            finally:
                process.kill()
    finally:
        os.close(parent)


def test_ctrl_c_stops_the_answer_and_not_the_conversation(model: Path) -> None:
    with terminal("run", model) as screen:
        assert screen.shows(b"> ", 60)
        screen.interrupt_until(b"> ")  # at the prompt: a new line, still there
        assert screen.leave() == 0


def test_ctrl_c_twice_quickly_stops_the_answer_and_not_the_conversation(model: Path) -> None:
    with terminal("run", model) as screen:
        assert screen.shows(b"> ", 60)
        for round_ in range(5):
            screen.type(b"go on for ever\n")
            time.sleep(0.03 * round_)
            for _ in range(2):
                screen.process.send_signal(signal.SIGINT)
                time.sleep(0.004 * round_)
            screen.interrupt_until(b"> ")
        assert screen.leave() == 0
