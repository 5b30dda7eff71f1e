"""Ctrl-C, row G5: real programs that get real signals. No clock is tight, and nothing is waited for without limit."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.gguf_files import tiny_llama

LIMIT = 120  # seconds, for a machine that does ten other things

PRELUDE = """
import os, signal, sys, time
from nextoken import LLM
path, twice = sys.argv[1], sys.argv[2] == "twice"
PROMPT = [i % 250 for i in range(3000)]
def say(what):
    print(what, flush=True)
def expect(condition, what):
    if not condition: sys.exit(what)
def until_interrupted(work):
    # The second of two signals may come while the first is dealt with; then all further ones are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        try:
            say("ready")
            while True: work()
        except KeyboardInterrupt:
            if twice: time.sleep(0.05)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("interrupted")
signal.signal(signal.SIGINT, signal.SIG_IGN)
with LLM(path) as fresh, fresh.session() as s:
    expected = s.append(PROMPT[:1000]).tobytes()
    answer = fresh.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids
"""

WORKS = {
    "load": """
        for _ in range(ROUNDS):
            until_interrupted(lambda: LLM(path).close())
            with LLM(path) as llm:
                expect(llm.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids == answer, "other tokens")
        """,
    "prefill": """
        with LLM(path) as llm, llm.session() as s:
            def work():
                s.append(PROMPT[10:], "none")
                s.rewind(len(PROMPT) - 10)
            for _ in range(ROUNDS):
                s.append(PROMPT[:10], "none")
                until_interrupted(work)
                expect(s.token_ids in (PROMPT[:10], PROMPT), f"{len(s)} tokens")
                s.rewind(len(s) - 10)
                expect(s.append(PROMPT[10:1000]).tobytes() == expected, "other bits")
                s.rewind(1000)
            expect(llm.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids == answer, "other tokens")
        """,
    "decode": """
        with LLM(path) as llm:
            for _ in range(ROUNDS):
                until_interrupted(lambda: llm.generate([PROMPT[:9]] * 3, max_tokens=2000, ignore_eos=True))
                expect(llm.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids == answer, "other tokens")
        """,
    "a stream": """
        with LLM(path) as llm:
            for _ in range(ROUNDS):
                until_interrupted(lambda: list(llm.stream(PROMPT[:9], max_tokens=2000, ignore_eos=True)))
                expect(llm.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids == answer, "other tokens")
        """,
    "a callback": """
        with LLM(path) as llm:
            def processor(token_ids, logits):
                time.sleep(0.001)
                return logits
            options = dict(max_tokens=2000, ignore_eos=True, logits_processor=processor)
            for _ in range(ROUNDS):
                until_interrupted(lambda: llm.generate(PROMPT[:9], **options))
                expect(llm.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids == answer, "other tokens")
        """,
}
ROUNDS = 5


class Program:
    """A running script; its lines are read with a limit of time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._buffer = b""

    def line(self, *, interrupting: bool = False) -> str:
        """The next line of its output; what it wrote to its errors if none comes.

        CPython drops an interrupt that comes within a weak reference's callback, so `interrupting` repeats it.
        """
        assert self.process.stdout is not None
        deadline = time.monotonic() + LIMIT
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            wait = min(left, 5) if interrupting else left
            ready = left > 0 and select.select([self.process.stdout], [], [], wait)[0]
            if not ready and interrupting and left > 0:
                self.process.send_signal(signal.SIGINT)
                continue
            got = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not got:
                self.process.kill()
                errors = self.process.communicate(timeout=LIMIT)[1].decode()
                raise AssertionError(f"it {'ended' if ready else 'hangs'} after {self._buffer!r}: {errors}")
            self._buffer += got
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def interrupt_until_it_ends(self) -> None:
        for _ in range(LIMIT // 5):
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
                return

    def end(self) -> tuple[int, str]:
        """Exit code and errors, without CPython's own words on an interrupt that it dropped."""
        errors = self.process.communicate(timeout=LIMIT)[1].decode()
        dropped = re.compile(r"^Exception ignored .*?^KeyboardInterrupt: ?\n", re.DOTALL | re.MULTILINE)
        return self.process.returncode, dropped.sub("", errors)


@contextmanager
def program(script: Path, *arguments: object) -> Iterator[Program]:
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", script, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough that a prefill of 3,000 tokens takes a while."""
    return tiny_llama(
        tmp_path_factory.mktemp("interrupts") / "m.gguf",
        "Q8_0",
        hidden=256,
        metadata={"llama.context_length": 4096},
    )


@pytest.mark.parametrize("how", ["once", "twice"])
@pytest.mark.parametrize("during", WORKS)
def test_ctrl_c_stops_it_and_the_model_goes_on(path: Path, tmp_path: Path, during: str, how: str) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(PRELUDE + f"ROUNDS = {ROUNDS}\n" + textwrap.dedent(WORKS[during]) + 'say("done")\n')
    rng = random.Random(f"{during} {how}")
    with program(script, path, how) as child:
        for _ in range(ROUNDS):
            assert child.line() == "ready"
            time.sleep(rng.random() / 20)
            child.process.send_signal(signal.SIGINT)
            if how == "twice":
                time.sleep(rng.random() / 50)
                child.process.send_signal(signal.SIGINT)
            assert child.line(interrupting=True) == "interrupted"
        assert child.line() == "done"
        assert child.end() == (0, "")


def test_ctrl_c_inside_a_progress_callback_of_a_load_comes_through(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(
        PRELUDE
        + textwrap.dedent("""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            LLM(path, progress=lambda done, total: os.kill(os.getpid(), signal.SIGINT))
        except KeyboardInterrupt:
            say("interrupted")
        with LLM(path) as llm:
            expect(llm.generate(PROMPT[:9], max_tokens=8, ignore_eos=True).token_ids == answer, "other tokens")
        """)
    )
    with program(script, path, "once") as child:
        assert child.line() == "interrupted"
        assert child.end() == (0, "")


def test_ctrl_c_that_nobody_catches_ends_the_program(path: Path, tmp_path: Path) -> None:
    """As any Python program: a traceback that ends with KeyboardInterrupt, no abort, no hang."""
    script = tmp_path / "interrupted.py"
    script.write_text(
        PRELUDE
        + textwrap.dedent("""
        llm = LLM(path)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("ready")
        while True: llm.generate(PROMPT, max_tokens=100, ignore_eos=True)
        """)
    )
    with program(script, path, "once") as child:
        assert child.line() == "ready"
        time.sleep(0.05)
        child.interrupt_until_it_ends()
        code, errors = child.end()
        assert code == -signal.SIGINT
        assert errors.rstrip().endswith("KeyboardInterrupt")
