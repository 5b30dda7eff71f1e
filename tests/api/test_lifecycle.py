"""Callbacks, generators, threads, asyncio, fork, exit: rows G1 to G12."""

from __future__ import annotations

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, Cancelled, ClosedError, ModelFormatError, NumericalError
from tests.gguf_files import tiny_llama
from tests.process import handles_and_threads, linux, resident, settles_at_most

IDS = [5, 17, 200, 3, 44, 9, 120, 33]


def caches_of(llm: LLM) -> int:
    gc.collect()
    return len(llm._engine._caches)


@pytest.fixture
def answer(llm: LLM) -> tuple[int, ...]:
    return llm.generate(IDS, max_tokens=6, ignore_eos=True).token_ids


# --- G1 to G3: logits processors --------------------------------------------------------------------------------


def test_a_processor_may_change_its_array_and_keep_it(llm: LLM, answer: tuple[int, ...]) -> None:
    kept: list[np.ndarray] = []

    def processor(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        assert token_ids == [*IDS, *answer[: len(kept)]]
        kept.append(logits)
        logits += 1
        return logits

    assert llm.generate(IDS, max_tokens=6, ignore_eos=True, logits_processor=processor).token_ids == answer
    assert [int(row.argmax()) for row in kept] == list(answer)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (lambda x: None, TypeError),
        (lambda x: x.tolist(), TypeError),
        (lambda x: x.astype(np.float64), TypeError),
        (lambda x: x[:-1], ValueError),
        (lambda x: x[None], ValueError),
        (lambda x: x * np.nan, ValueError),
        (lambda x: x * np.float32(np.nan), NumericalError),
        (lambda x: np.full_like(x, np.inf), NumericalError),
        (lambda x: np.full_like(x, -np.inf), NumericalError),
    ],
)
def test_what_a_processor_returns_is_checked(
    llm: LLM, answer: tuple[int, ...], result: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        llm.generate(IDS, logits_processor=lambda ids, logits: result(logits))
    assert llm.generate(IDS, max_tokens=6, ignore_eos=True).token_ids == answer


@pytest.mark.parametrize(
    "error", [ValueError, KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit, KeyError]
)
def test_what_a_processor_raises_comes_through(
    llm: LLM, answer: tuple[int, ...], error: type[BaseException]
) -> None:
    mine = error("mine")

    def processor(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        if len(token_ids) == len(IDS) + 2:
            raise mine
        return logits

    with pytest.raises(error) as caught:
        llm.generate(IDS, max_tokens=6, ignore_eos=True, logits_processor=processor)
    assert caught.value is mine
    assert caught.value.partial_tokens == answer[:2]  # type: ignore[attr-defined]
    assert caught.value.partial_text == llm.tokenizer.decode(answer[:2])  # type: ignore[attr-defined]
    stream = llm.stream(IDS, max_tokens=6, ignore_eos=True, logits_processor=processor)
    # PEP 479: inside a generator a StopIteration becomes a RuntimeError rather than a silent end.
    with pytest.raises(RuntimeError if error is StopIteration else error):
        list(stream)
    assert llm.generate(IDS, max_tokens=6, ignore_eos=True).token_ids == answer


@pytest.mark.parametrize("use", ["generate", "stream", "session", "close", "append"])
def test_a_callback_that_uses_its_model_is_an_error_and_no_deadlock(own: LLM, use: str) -> None:
    def again() -> None:
        if use in ("generate", "stream"):
            getattr(own, use)(IDS)
        elif use == "append":
            session.append(IDS)
        else:
            getattr(own, use)()

    def processor(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        again()
        return logits

    session = own.session()
    with pytest.raises(RuntimeError, match="must not"):
        own.generate(IDS, max_tokens=2, logits_processor=processor)
    with pytest.raises(RuntimeError, match="must not"):
        own.generate(IDS, max_tokens=2, progress=lambda done, total: again())
    assert own.generate(IDS, max_tokens=1).usage.completion_tokens == 1


# --- G4: generators ---------------------------------------------------------------------------------------------


def test_a_stream_frees_its_cache_when_closed_dropped_or_exhausted(own: LLM) -> None:
    for end in ("close", "drop", "exhaust", "throw"):
        stream = own.stream(IDS, max_tokens=5, ignore_eos=True)
        next(stream)
        assert caches_of(own) == 1
        if end == "close":
            stream.close()
            stream.close()
        elif end == "exhaust":
            list(stream)
        elif end == "throw":
            with pytest.raises(ZeroDivisionError):
                stream.throw(ZeroDivisionError("mine"))
        if end != "drop":
            with pytest.raises(StopIteration):
                next(stream)
        del stream
        assert caches_of(own) == 0


def test_a_stream_never_started_takes_nothing(own: LLM) -> None:
    stream = own.stream(IDS)
    assert caches_of(own) == 0
    stream.close()
    assert list(stream) == []


def test_a_stream_may_be_read_from_another_thread_by_one_at_a_time(llm: LLM, answer: tuple[int, ...]) -> None:
    stream = llm.stream(IDS, max_tokens=6, ignore_eos=True)
    ids = [next(stream).id]
    thread = threading.Thread(target=lambda: ids.extend(t.id for t in stream))
    thread.start()
    thread.join()
    assert tuple(ids) == answer

    def processor(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        next(busy)
        return logits

    busy = llm.stream(IDS, logits_processor=processor)
    with pytest.raises(RuntimeError, match="being read"):
        next(busy)


# --- G6, G7: close and threads ----------------------------------------------------------------------------------


def test_close_ends_what_runs_and_all_that_follows(own: LLM) -> None:
    errors: list[BaseException] = []
    session, started = own.session(), threading.Event()
    session.append(IDS)

    def work() -> None:
        try:
            while True:
                own.generate(IDS, max_tokens=100, ignore_eos=True)
                started.set()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert started.wait(300)
    own.close()
    own.close()
    for thread in threads:
        thread.join(300)
    assert [type(error) for error in errors] == [ClosedError] * 3
    assert session.closed
    for use in (lambda: own.generate(IDS), lambda: own([IDS]), own.session, lambda: session.append([1])):
        with pytest.raises(ClosedError):
            use()


def test_eight_threads_get_the_bits_of_one(llm: LLM) -> None:
    prompts = [[*IDS[i:], i] for i in range(8)]
    options: dict[str, Any] = {
        "max_tokens": 12,
        "temperature": 1.0,
        "seed": 4,
        "logprobs": 3,
        "ignore_eos": True,
    }
    expected = [llm.generate(prompt, **options) for prompt in prompts]
    found: dict[int, list[Any]] = {i: [] for i in range(8)}

    def work(i: int) -> None:
        for _ in range(4):
            found[i].append(llm.generate(prompts[i], **options))

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    for i, outs in found.items():
        assert len(outs) == 4
        for out in outs:
            assert out.token_ids == expected[i].token_ids
            assert [t.top for t in out.logprobs] == [t.top for t in expected[i].logprobs or ()]


# --- G8: asyncio ------------------------------------------------------------------------------------------------


def test_astream_is_the_stream(llm: LLM, answer: tuple[int, ...]) -> None:
    async def main() -> list[Any]:
        async def one() -> list[int]:
            return [t.id async for t in llm.astream(IDS, max_tokens=6, ignore_eos=True)]

        return await asyncio.gather(*(one() for _ in range(20)))

    assert asyncio.run(main()) == [list(answer)] * 20


def test_a_cancelled_task_frees_its_cache(own: LLM) -> None:
    async def main() -> None:
        async def work() -> None:
            async for _ in own.astream(IDS, ignore_eos=True, max_tokens=200):
                started.set()

        for _ in range(5):
            started = asyncio.Event()
            task = asyncio.create_task(work())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)  # the abandoned generators are closed by the loop

    asyncio.run(main())
    assert caches_of(own) == 0


def test_the_event_loop_runs_while_a_slow_prefill_is_cancelled_by_a_timeout(own: LLM) -> None:
    """Counts turns of the loop, not time: a loop that is blocked makes none."""
    turns = 0
    release = threading.Event()

    def slow(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        release.wait(300)
        return logits

    async def main() -> None:
        nonlocal turns

        async def read() -> None:
            async for _ in own.astream(IDS, max_tokens=2, logits_processor=slow):
                pass

        task = asyncio.create_task(read())
        while turns < 20:
            await asyncio.sleep(0.001)
            turns += 1
        task.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert turns == 20
    assert caches_of(own) == 0


def test_astream_raises_what_stream_raises(llm: LLM) -> None:
    def stops(token_ids: list[int], logits: np.ndarray) -> np.ndarray:
        raise StopIteration

    async def read(prompt: Any, **options: Any) -> None:
        async for _ in llm.astream(prompt, **options):
            pass

    with pytest.raises(ValueError, match="vocabulary"):
        asyncio.run(read([llm.vocab_size]))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(read(IDS, logits_processor=stops))
    with pytest.raises(TypeError):
        llm.astream(IDS, temprature=1)


# --- G9 to G12 --------------------------------------------------------------------------------------------------


def _message_of(use: Any) -> str:
    try:
        use()
    except RuntimeError as error:
        return str(error)
    return "no error"


def _use_in_child(llm: LLM, results: Any) -> None:
    for use in (lambda: llm.generate(IDS), lambda: llm([IDS]), llm.session):
        results.put(_message_of(use))
    llm.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of every fork beside threads
def test_a_forked_child_is_told_at_once(llm: LLM, answer: tuple[int, ...]) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_use_in_child, args=(llm, results), daemon=True)
    child.start()
    messages = [results.get(timeout=300) for _ in range(3)]
    child.join(300)
    assert child.exitcode == 0
    assert all(f"process {os.getpid()}" in message and "spawn" in message for message in messages)
    assert llm.generate(IDS, max_tokens=6, ignore_eos=True).token_ids == answer


def test_a_sub_interpreter_is_told_at_once() -> None:
    script = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
interpreters.run_string(interpreters.create(), "try: import nextoken\\nexcept ImportError as error: print(error)")
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    if "No module named '_xxsubinterpreters'" in result.stderr:
        pytest.skip("this Python has no sub-interpreters")
    assert "not in a sub-interpreter" in result.stdout, result.stderr


def test_an_llm_is_not_pickled_or_copied(llm: LLM) -> None:
    for how in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="path"):
            how(llm)


EXITS = {
    "a live stream": "s = llm.stream(IDS, ignore_eos=True); next(s)",
    "a daemon thread": """
        import threading, time
        def work():
            while True: llm.generate(IDS, ignore_eos=True)
        for _ in range(3): threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)""",
    "atexit": "import atexit; atexit.register(lambda: llm.close())",
    "a cycle with __del__": """
        class Owner:
            def __init__(self): self.llm, self.me, self.s = llm, self, llm.session()
            def __del__(self): self.llm.close()
        o = Owner(); o.s.append(IDS)""",
    "a failed load": """
        try: LLM(__file__)
        except nextoken.Error: pass""",
    "an unfinished astream": """
        import asyncio
        async def main():
            async for t in llm.astream(IDS, ignore_eos=True): break
        asyncio.run(main())""",
    "an exception with the model in its frames": """
        try: llm.generate([10**6])
        except ValueError as e: kept = e""",
}


@pytest.mark.parametrize("what", EXITS)
def test_the_interpreter_leaves_quietly_with(what: str, tiny_path: Path, tmp_path: Path) -> None:
    script = tmp_path / "leave.py"
    start = f"import nextoken\nfrom nextoken import LLM\nllm = LLM({str(tiny_path)!r})\nIDS = {IDS}\n"
    script.write_text(start + textwrap.dedent(EXITS[what]))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@linux
def test_loads_that_fail_leave_nothing_behind(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    cancel = threading.Event()
    cancel.set()

    def fail(how: int) -> None:
        file, options = (tiny if how == 2 else path), {}
        if how == 0:
            options = {"progress": lambda done, total: 1 / 0}
        elif how == 1:
            options = {"cancel": cancel}
        with pytest.raises((ModelFormatError, Cancelled, ZeroDivisionError)):
            LLM(file, **options)

    tiny = tmp_path / "cut.gguf"
    tiny.write_bytes(path.read_bytes()[:-5000])
    for n in range(30):
        fail(n % 3)
    before, memory = handles_and_threads(), resident()
    for n in range(1000):
        fail(n % 3)
    assert settles_at_most(before)
    assert resident() - memory < 8 << 20  # of 1,000 loads of 160 KB


@linux
def test_an_llm_that_is_dropped_is_gone(tiny_path: Path) -> None:
    before = handles_and_threads()
    llm = LLM(tiny_path, n_threads=2)
    engine = weakref.ref(llm._engine)
    list(llm.stream(IDS, max_tokens=3))
    llm.generate(IDS, max_tokens=3)
    del llm
    gc.collect()
    assert engine() is None
    assert settles_at_most(before)
