"""The KV cache as an object, and the file it is saved in: rows H5, H6 and H11."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import (
    LLM,
    Cancelled,
    ClosedError,
    ContextLengthError,
    ModelFormatError,
    ModelTruncatedError,
    SamplingParams,
    session_file,
)
from tests.gguf_files import tiny_llama
from tests.process import handles_and_threads, settles_at_most

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


def test_a_cancelled_or_changed_predict_counts_each_token_once(llm: LLM) -> None:
    """The sampler is kept from call to call: penalties see what a fresh one would be told."""
    plain = SamplingParams()
    penal = SamplingParams(temperature=1.0, seed=3, frequency_penalty=2.0, presence_penalty=-2.0)
    stop = threading.Event()
    stop.set()
    with llm.session() as s:
        token = s.predict(IDS, penal)
        answer = []
        for i in range(12):
            answer.append(token.id)
            with pytest.raises(Cancelled):
                s.predict([token.id], penal, cancel=stop)
            token = s.predict([token.id], plain if i % 4 == 3 else penal)
            if i % 4 != 3:
                sampler = penal.sampler(llm.vocab_size, n_decodable=len(llm.tokenizer))
                sampler.observe_prompt(IDS)
                sampler.observe(answer)
                with llm.session() as fresh:
                    logits = fresh.append([*IDS, *answer])
                assert token.id == sampler.choose(logits, len(IDS) + len(answer)).id


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


def test_append_to_several_wants_lists(llm: LLM) -> None:
    with llm.session() as session:
        with pytest.raises(TypeError, match="list of Sessions, got Session"):
            llm.append(session, [IDS])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="list of lists of token ids, got int"):
            llm.append([session], 5)  # type: ignore[arg-type]


def test_a_full_session_takes_no_more(llm: LLM) -> None:
    with llm.session() as s:
        s.append([1] * llm.n_ctx, logits="none")
        with pytest.raises(
            ContextLengthError, match=f"behind the {llm.n_ctx} that the session holds"
        ) as error:
            s.append([1])
        assert (error.value.n_prompt, error.value.n_ctx) == (llm.n_ctx + 1, llm.n_ctx)
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


def test_a_saved_q8_session_goes_on_with_the_same_bits(tiny_path: Path, tmp_path: Path) -> None:
    with LLM(tiny_path, kv_dtype="q8") as llm:
        assert llm.kv_dtype == "q8"
        with llm.session() as s:
            s.append([1, 2, 3, 4, 5, 6, 7], "none")
            s.save(tmp_path / "s.nxt")
            fork = s.fork()
            expected = s.append([8, 9], "all")
            s.rewind(2)
            assert (s.append([8, 9], "all") == expected).all()
        assert (fork.append([8, 9], "all") == expected).all()
        with llm.session(tmp_path / "s.nxt") as again:
            assert (again.append([8, 9], "all") == expected).all()
    with LLM(tiny_path) as llm, pytest.raises(ModelFormatError, match="kv_dtype='q8'"):
        llm.session(tmp_path / "s.nxt")


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
    os.mkfifo(tmp_path / "fifo")
    before = handles_and_threads()
    with pytest.raises(IsADirectoryError) as error:
        llm.session(tmp_path)
    assert error.value.filename == str(tmp_path)
    with pytest.raises(ModelFormatError):
        llm.session(tmp_path / "fifo")
    assert settles_at_most(before)


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


def test_a_file_that_may_not_grow_leaves_the_old_one(llm: LLM, saved: Path, tmp_path: Path) -> None:
    """The system itself stops the write on the way, as a full disk does."""
    path = tmp_path / "s"
    path.write_bytes(saved.read_bytes())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with llm.session() as s:
        s.append(list(range(100)))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
            with pytest.raises(OSError, match="too large"):
                s.save(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == saved.read_bytes()
    assert os.listdir(tmp_path) == ["s"]


def test_saving_replaces_no_pipe_and_no_folder(llm: LLM, tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    with llm.session() as session:
        for target, says in ((pipe, "not a regular file"), (folder, "directory")):
            with pytest.raises(OSError, match=says) as info:
                session.save(target)
            assert info.value.filename == str(target)
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [folder, pipe]


def test_saving_through_a_link_keeps_the_link(llm: LLM, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    llm.session().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(llm.session(tmp_path / "target")) == 0


KILLED_SAVES = """
import os, random, signal, sys, time
import numpy as np
from nextoken import session_file
path, rng = sys.argv[1], random.Random(1)
header = session_file.Header("f", "f16", [], [1, 1, 1])
session_file.write(path, header, np.zeros(1 << 18, np.uint8))
for n in range(100):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        payload = np.full(1 << 18, n, np.uint8)
        os.write(write, b"x")
        while True:
            payload += 1
            session_file.write(path, header, payload)
    os.read(read, 1)
    time.sleep(rng.random() / 100)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read), os.close(write)
    _, payload = session_file.read(path)  # checks what is there against its checksum
    assert (payload == payload[0]).all(), n
print(len(os.listdir(os.path.dirname(path))) - 1, "killed on the way")
"""


def test_a_save_killed_at_100_random_moments_leaves_a_whole_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", KILLED_SAVES, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 0  # some were


# --- two threads, one session ---


def test_appends_of_two_threads_take_turns_and_each_is_whole(llm: LLM) -> None:
    pieces = [[i] * 3 for i in range(30)]
    with llm.session() as s:

        def work(mine: list[list[int]]) -> None:
            for piece in mine:
                s.append(piece, "none")

        threads = [threading.Thread(target=work, args=(pieces[i::3],), daemon=True) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        ids = s.token_ids
        assert sorted(ids[i : i + 3] for i in range(0, 90, 3)) == pieces
        with llm.session() as alone:
            alone.append(ids, "none")
            for layer in range(2):
                assert np.array_equal(s.keys(layer), alone.keys(layer))
                assert np.array_equal(s.values(layer), alone.values(layer))


def test_a_pass_that_expects_the_session_as_it_was_changes_nothing(llm: LLM) -> None:
    with llm.session() as s, llm.session() as fresh:
        expected = fresh.predict([1, 2, 3], logprobs=3)
        version = s._cache.version
        s.append([9])
        with pytest.raises(RuntimeError, match="changed"):
            llm._engine.append([s._cache], [np.array([1], np.int32)], "none", versions=[version])
        assert s.token_ids == [9]
        s.rewind(1)
        assert s.predict([1, 2, 3], logprobs=3).top == expected.top


def test_two_threads_that_predict_get_right_tokens_or_an_error(llm: LLM) -> None:
    errors, chosen = [], []
    with llm.session() as s:
        s.append([1, 2, 3], "none")

        def work() -> None:
            for _ in range(20):
                before = len(s)
                try:
                    chosen.append((before, s.predict([7]).id))
                except RuntimeError as error:
                    errors.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert len(s) == 3 + len(chosen)
        assert len(chosen) + len(errors) == 60
        ids = s.token_ids
    right = [llm.predict_next_token(ids[: n + 1]).id for n in range(3, len(ids))]
    assert sorted(right) == sorted(token_id for _, token_id in chosen)


def test_a_chat_stream_says_when_its_session_was_used_meanwhile(llm: LLM) -> None:
    messages = [{"role": "user", "content": "hi"}]
    with llm.session() as s:
        stream = llm.chat(messages, session=s, stream=True, max_tokens=20, ignore_eos=True)
        next(stream)
        s.append([5])
        with pytest.raises(RuntimeError, match="changed"):
            list(stream)
        whole = llm.chat(messages, max_tokens=20, ignore_eos=True)
        assert llm.chat(messages, session=s, max_tokens=20, ignore_eos=True).token_ids == whole.token_ids


def test_too_many_ids_are_told_before_memory_is_taken(llm: LLM) -> None:
    ids = np.zeros(10_000_000, np.int32)  # their logits would be 10 TB
    with llm.session() as s, pytest.raises(ContextLengthError):
        s.append(ids, "all")
    with llm.session() as s, pytest.raises(ContextLengthError):
        llm._engine.append([s._cache], [ids], "all")
    with pytest.raises(ContextLengthError):
        llm([ids])


def test_what_a_token_has_no_place_for_is_refused(llm: LLM) -> None:
    with llm.session() as s:
        for name, value in (("n", 2), ("prompt_logprobs", 1), ("use_cache", False), ("profile", True)):
            for predict in (s.predict, llm.predict_next_token):
                with pytest.raises(ValueError, match=name):
                    predict([1, 2], None, **{name: value})
        assert len(s) == 0


@pytest.mark.parametrize("layer", [0.5, "0", None])
def test_a_layer_is_an_int(llm: LLM, layer: Any) -> None:
    with llm.session() as s, pytest.raises(TypeError, match="layer must be an int"):
        s.keys(layer)


def test_an_id_out_of_range_names_its_session(llm: LLM) -> None:
    with pytest.raises(ValueError, match=r"session 1\[2\]"):
        llm.append([llm.session(), llm.session()], [[1], [1, 2, llm.vocab_size]])
