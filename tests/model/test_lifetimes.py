"""Models, caches and samplers in several threads, in forked children and at the interpreter's exit."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nextoken import ClosedError, _native
from tests.gguf_files import tiny_llama
from tests.model.test_forward import load, random_ids

PREPARE = """
import gc, os, sys, threading, time
from pathlib import Path
from nextoken import _native
from tests.model.test_forward import load
model = load(Path(sys.argv[1]))
cache = _native.Cache(model, "f16", 4096)
_native.append(model, [cache], [[1, 2, 3]], "none")
time.sleep(0.05)  # the pool's threads sleep
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("lifetimes") / "tiny.gguf", "Q8_0")


def run(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREPARE + code, str(path)], timeout=300, capture_output=True, text=True
    )


def test_a_forked_child_gets_an_error_and_can_drop_the_model(path: Path) -> None:
    code = """
pid = os.fork()
if pid == 0:
    for call in (lambda: _native.append(model, [cache], [[4]], "last"), model.close, cache.ids, cache.close):
        try:
            call()
        except RuntimeError as error:
            assert "spawn" in str(error)
        else:
            os._exit(3)
    sampler = _native.Sampler(vocab_size=4)
    import numpy as np
    assert sampler.choose(np.array([0, 1, 3, 2], np.float32), 0).id == 2
    del model, cache, call
    gc.collect()
    sys.exit(0)
for _ in range(1000):
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        break
    time.sleep(0.01)
else:
    os.kill(pid, 9)
    sys.exit("the child hangs")
assert status == 0, status
_native.append(model, [cache], [[4]], "last")
"""
    done = run(path, code)
    assert done.returncode == 0, done.stderr


def test_daemon_threads_in_a_pass_do_not_spoil_the_exit(path: Path) -> None:
    code = """
import atexit
def work():
    mine = _native.Cache(model, "f16", 4096)
    while True:
        _native.append(model, [mine], [[5] * 64], "none")
        mine.rewind(64)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
threading.excepthook = lambda args: None
atexit.register(model.close)
time.sleep(0.1)
"""
    done = run(path, code)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cache_closed_beside_its_own_passes(path: Path) -> None:
    model = load(path)
    ids = random_ids(40, model.spec.vocab_size)
    for _ in range(30):
        cache = _native.Cache(model, "f16", 4096)
        errors: list[BaseException] = []
        started = threading.Event()

        def work(
            cache: _native.Cache = cache, errors: list = errors, started: threading.Event = started
        ) -> None:
            try:
                for _ in range(50):
                    _native.append(model, [cache], [ids], "last")
                    started.set()
                    cache.keys(0)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert started.wait(20)
        cache.close()
        assert (len(cache), cache.nbytes, cache.closed) == (0, 0, True)
        for thread in threads:
            thread.join()
        assert [type(e) for e in errors] == [ClosedError] * 2, errors
    for use in (cache.fork, cache.ids, lambda: cache.n_ctx, lambda: cache.keys(0)):
        with pytest.raises(ClosedError):
            use()
    cache.close()


def test_a_failed_pass_leaves_every_cache_as_it_was(path: Path) -> None:
    model = load(path)
    a, b = _native.Cache(model, "f16", 64), _native.Cache(model, "f16", 64)
    _native.append(model, [a, b], [[1, 2, 3], [4]], "none")
    shared = a.fork()
    before = [(len(c), c.nbytes, bytes(c.export())) for c in (a, b, shared)]

    def refuse(done: int, total: int) -> None:
        raise LookupError("no more")

    with pytest.raises(LookupError):
        _native.append(model, [a, b], [[5] * 40, [6] * 40], "none", progress=refuse)
    assert [(len(c), c.nbytes, bytes(c.export())) for c in (a, b, shared)] == before
    _native.append(model, [a, b], [[5], [6]], "none")
    assert (len(a), len(b), len(shared)) == (4, 2, 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64, ">i4"])
def test_ids_of_any_integer_dtype(path: Path, dtype: str) -> None:
    model = load(path)
    cache = _native.Cache(model, "f16", 64)
    _native.append(model, [cache], [np.array([3, 0, 1, 0, 2], dtype)[::2]], "none")
    assert cache.ids() == [3, 1, 2]


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (np.array([1.0, 2.0]), TypeError),
        (np.array([True, False]), TypeError),
        (np.array([[1, 2]], np.int32), ValueError),
        (np.array([2**32 + 1]), ValueError),
        ([2**80], ValueError),
        ([-1], ValueError),
        ("ab", TypeError),
        (7, TypeError),
    ],
)
def test_what_is_no_list_of_ids_is_refused(path: Path, ids: object, error: type[Exception]) -> None:
    model = load(path)
    cache = _native.Cache(model, "f16", 64)
    with pytest.raises(error):
        _native.append(model, [cache], [ids], "none")
    assert len(cache) == 0


def test_one_sampler_in_two_threads(path: Path) -> None:
    n = 2000
    sampler = _native.Sampler(vocab_size=n, temperature=0.7, top_p=0.9, repetition_penalty=1.1)
    logits = np.random.default_rng(0).normal(size=n).astype(np.float32)
    faults: list[BaseException] = []

    def choose() -> None:
        try:
            for i in range(300):
                assert 0 <= sampler.choose(logits, i).id < n
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=choose) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(n):
        sampler.observe([i])
    for thread in threads:
        thread.join()
    assert not faults
