"""The KV cache as an object, and the file it is saved in: rows H5, H6 and H11."""

from __future__ import annotations

import copy
import errno
import multiprocessing
import os
import pickle
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, ClosedError, ContextLengthError, ModelFormatError, ModelTruncatedError, session_file
from tests.gguf_files import tiny_llama

IDS = [5, 17, 200, 3, 44, 9, 120, 33]


def same(a: Any, b: Any) -> bool:
    return bool((np.asarray(a).view(np.uint32) == np.asarray(b).view(np.uint32)).all())


def test_append_returns_what_was_asked_for(llm: LLM) -> None:
    with llm.session() as s:
        assert s.append(IDS[:3], logits="none") is None
        last, rest = s.append(IDS[3:5]), s.append(IDS[5:], logits="all")
        assert len(s) == len(IDS)
        assert s.token_ids == IDS
    (every,) = llm([IDS])
    assert same(last, every[4])
    assert same(rest, every[5:])


def test_rewind_and_fork_then_append_gives_the_same_bits(llm: LLM) -> None:
    with llm.session() as s:
        s.append(IDS)
        s.rewind(3)
        other = s.fork()
        s.append([1, 2, 3, 4])
        assert same(other.append(IDS[5:], logits="all"), llm([IDS])[0][5:])
        assert len(s) == 9


@pytest.mark.parametrize(
    ("n", "error"), [(-1, ValueError), (9, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_rewind_checks_its_number(llm: LLM, n: Any, error: type[Exception]) -> None:
    with llm.session() as s:
        s.append(IDS)
        with pytest.raises(error):
            s.rewind(n)
        assert len(s) == len(IDS)


def test_predict_step_by_step_is_the_stream(llm: LLM) -> None:
    options: dict[str, Any] = {
        "temperature": 1.0,
        "seed": 3,
        "presence_penalty": 1.0,
        "repetition_penalty": 1.3,
        "logprobs": 2,
    }
    expected = list(llm.stream(IDS, max_tokens=12, ignore_eos=True, **options))
    with llm.session() as s:
        token, tokens = s.predict(IDS, **options), []
        while len(tokens) < 12:
            tokens.append(token)
            token = s.predict([token.id], **options)
    assert [t.id for t in tokens] == [t.id for t in expected]
    assert [(t.logprob, t.top, t.index, t.bytes) for t in tokens] == [
        (t.logprob, t.top, t.index, t.bytes) for t in expected
    ]


def test_keys_and_values_can_be_looked_at(llm: LLM) -> None:
    spec = llm._engine.model.spec
    with llm.session() as s:
        s.append(IDS)
        for look in (s.keys, s.values):
            array = look(spec.n_layers - 1)
            assert (array.shape, array.dtype) == ((len(IDS), spec.n_kv_heads, spec.head_dim), np.float32)
            assert not array.flags.writeable
            for layer in (-1, spec.n_layers):
                with pytest.raises(IndexError):
                    look(layer)
        assert s.nbytes > 0


def test_several_sessions_advance_in_one_pass(llm: LLM) -> None:
    a, b = llm.session(), llm.session()
    a.append(IDS[:2])
    rows = llm.append([a, b], [IDS[2:], IDS[:4]], logits="all")
    assert same(rows[0], llm([IDS])[0][2:])
    assert same(rows[1], llm([IDS])[0][:4])


def test_append_to_several_is_all_or_nothing(llm: LLM, own: LLM) -> None:
    a, b = llm.session(), llm.session()
    with pytest.raises(ContextLengthError):
        llm.append([a, b], [IDS, [1] * (llm.n_ctx + 1)])
    with pytest.raises(ValueError, match="twice"):
        llm.append([a, a], [IDS, IDS])
    with pytest.raises(ValueError, match="another LLM"):
        llm.append([a, own.session()], [IDS, IDS])
    with pytest.raises(ValueError, match="lists"):
        llm.append([a, b], [IDS])
    with pytest.raises(ValueError, match="logits"):
        llm.append([a], [IDS], logits="some")  # type: ignore[arg-type]
    assert len(a) == len(b) == 0


def test_a_full_session_takes_no_more(llm: LLM) -> None:
    with llm.session() as s:
        s.append([1] * llm.n_ctx, logits="none")
        with pytest.raises(ContextLengthError):
            s.append([1])
        assert len(s) == llm.n_ctx


def test_a_closed_session_says_so(llm: LLM) -> None:
    s = llm.session()
    s.close()
    s.close()
    assert s.closed
    for use in (
        lambda: s.append([1]),
        lambda: s.predict([1]),
        s.fork,
        lambda: s.keys(0),
        lambda: s.token_ids,
    ):
        with pytest.raises(ClosedError):
            use()


def test_a_session_is_not_pickled(llm: LLM) -> None:
    for how in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="fork"):
            how(llm.session())


# --- files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(llm: LLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "s.nxt"
    with llm.session() as s:
        s.append(IDS)
        s.save(path)
    return path


def test_a_saved_session_goes_on_with_the_same_bits(llm: LLM, saved: Path) -> None:
    with llm.session(saved) as s:
        assert s.token_ids == IDS
        assert same(s.append([7, 8], logits="all"), llm([[*IDS, 7, 8]])[0][-2:])


def test_an_empty_session_can_be_saved(llm: LLM, tmp_path: Path) -> None:
    llm.session().save(tmp_path / "empty")
    assert len(llm.session(tmp_path / "empty")) == 0


def test_another_model_and_another_cache_type_are_refused(
    saved: Path, tiny_path: Path, tmp_path: Path
) -> None:
    other = tiny_llama(tmp_path / "other.gguf", "Q8_0", seed=1)
    with LLM(other) as llm, pytest.raises(ModelFormatError, match="another model"):
        llm.session(saved)
    with LLM(tiny_path, kv_dtype="f32") as llm, pytest.raises(ModelFormatError, match="kv_dtype"):
        llm.session(saved)
    with LLM(tiny_path, n_ctx=4) as llm, pytest.raises(ContextLengthError):
        llm.session(saved)


def test_a_file_cut_anywhere_is_refused(llm: LLM, saved: Path, tmp_path: Path) -> None:
    data, path = saved.read_bytes(), tmp_path / "cut"
    for length in [*range(0, 700, 7), len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ModelTruncatedError) as error:
            llm.session(path)
        assert error.value.actual == length
        assert error.value.path == str(path)


def test_every_flipped_byte_is_found(llm: LLM, saved: Path, tmp_path: Path) -> None:
    data, path = saved.read_bytes(), tmp_path / "flipped"
    for at in [*range(0, 600, 3), *range(600, len(data), 997), len(data) - 1]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(ModelFormatError):
            llm.session(path)
    path.write_bytes(data + b"x")
    with pytest.raises(ModelFormatError, match="behind the end"):
        llm.session(path)


def test_another_version_is_named(llm: LLM, saved: Path, tmp_path: Path) -> None:
    data, path = bytearray(saved.read_bytes()), tmp_path / "v2"
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match="format 2") as error:
        llm.session(path)
    assert error.value.field == "version"


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [[1]]},
        {"ids": [-1] * 8},
        {"ids": [10**9] * 8},
        {"ids": [1] * 200},
        {"shape": "x"},
        {"payload_bytes": -1},
        {"payload_bytes": 2**62},
        {"payload_bytes": True},
        {"kv_dtype": None},
        {"extra": 1},
    ],
)
def test_a_forged_header_is_refused(llm: LLM, saved: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    """Checksums can be made to fit; what they protect is checked all the same."""
    import hashlib
    import json

    data = saved.read_bytes()
    magic, version, length, _ = session_file.PREFIX.unpack_from(data)
    fields = json.loads(data[session_file.PREFIX.size :][:length]) | change
    text = json.dumps(fields).encode()
    prefix = session_file.PREFIX.pack(magic, version, len(text), hashlib.sha256(text).digest())
    path = tmp_path / "forged"
    path.write_bytes(prefix + text + data[session_file.PREFIX.size + length :])
    with pytest.raises((ModelFormatError, ContextLengthError)):
        llm.session(path)


def test_what_is_no_file_is_an_os_error_or_refused(llm: LLM, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        llm.session(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        llm.session(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFormatError):
        llm.session(tmp_path / "fifo")


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    llm: LLM, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "s"
    path.write_bytes(saved.read_bytes())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with llm.session() as s, monkeypatch.context() as patch:
        s.append([1, 2])
        patch.setattr(os, where, full)
        with pytest.raises(OSError, match="no space"):
            s.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert os.listdir(tmp_path) == ["s"]


def test_saving_through_a_link_keeps_the_link(llm: LLM, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    llm.session().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(llm.session(tmp_path / "target")) == 0


def _save_for_ever(path: str, header: session_file.Header, ready: Any) -> None:
    payload = np.zeros(1 << 16, np.uint8)
    while True:
        payload += 1
        session_file.write(path, header, payload)
        ready.set()


def test_a_killed_save_leaves_a_whole_file(tmp_path: Path) -> None:
    rng, path = random.Random(1), tmp_path / "s"
    context = multiprocessing.get_context("spawn")
    header = session_file.Header("f", "f16", [], [1, 1, 1])
    for _ in range(5):
        ready = context.Event()
        process = context.Process(target=_save_for_ever, args=(str(path), header, ready))
        process.start()
        assert ready.wait(60)
        time.sleep(rng.random() / 50)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        _, payload = session_file.read(path)
        assert (payload == payload[0]).all()
