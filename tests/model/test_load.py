"""The loader on files that do not fit, change under it, or are too large: a typed error, and nothing left behind."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors, loading
from nextoken.architectures import plan
from nextoken.checkpoints.gguf import open_gguf
from tests.blocks import HALVES
from tests.gguf_files import TYPES, tiny_gemma3, tiny_llama
from tests.model.test_forward import all_logits, load, random_ids
from tests.process import handles_and_threads, linux, resident, settles_at_most

NOT_FINITE = (np.nan, np.inf, -np.inf)
IDS = [3, 14, 15, 92, 65]


def patch(path: Path, tensor: str, at: int, data: bytes) -> None:
    """Overwrites bytes of a tensor; negative `at` counts from its end."""
    with open_gguf(path) as checkpoint:
        info = checkpoint.tensors[tensor]
    with path.open("r+b") as file:
        file.seek(info.offset + at + (info.nbytes if at < 0 else 0))
        file.write(data)


def bits(llm: LLM) -> bytes:
    return np.asarray(llm([IDS])).tobytes()


# --- tensors that do not fit ---


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("blk.1.ffn_up.weight", (96, 64), "64 x 96"),  # transposed
        ("blk.0.attn_q.weight", (64, 65), "64 x 64"),
        ("blk.0.attn_k.weight", (64, 64), "64 x 32"),  # as many heads as q has
        ("blk.0.attn_norm.weight", (63,), "64"),
        ("output_norm.weight", (64, 2), "64"),
        ("output.weight", (64, 7), r"64 x \d+"),
        ("token_embd.weight", (32, 400), "64 x 400"),
        ("rope_freqs.weight", (16,), "8"),
    ],
)
def test_a_shape_that_does_not_fit_is_named_with_the_expected(
    tmp_path: Path, name: str, shape: tuple[int, ...], expected: str
) -> None:
    path = tiny_llama(tmp_path / "m.gguf", tensors={name: (np.ones(shape[::-1], "<f4"), "F32", shape)})
    actual = " x ".join(map(str, shape))
    with pytest.raises(
        errors.ModelFormatError, match=rf"{name}' is {actual}, .* ask for {expected}$"
    ) as caught:
        LLM(path)
    assert caught.value.field == name
    assert caught.value.offset is not None


def test_norms_of_heads_have_their_width(tmp_path: Path) -> None:
    name = "blk.0.attn_q_norm.weight"
    path = tiny_gemma3(tmp_path / "m.gguf", tensors={name: (np.ones(64, "<f4"), "F32", (64,))})
    with pytest.raises(errors.ModelFormatError, match=f"{name}' is 64, .* 32"):
        LLM(path)


def test_a_type_that_is_known_but_not_multiplied_with_names_the_tensor(tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    path = tiny_llama(tmp_path / "m.gguf", tensors={name: (bytes(64 * 64 * 8), 27, (64, 64))})  # I64
    with pytest.raises(errors.UnsupportedModelError, match=name):
        LLM(path)


@pytest.mark.parametrize("dtype", [None, "q8_0"])
def test_doubles_are_rounded_to_floats(tmp_path: Path, dtype: str | None) -> None:
    rng = np.random.default_rng(1)
    doubles = {
        "blk.0.attn_q.weight": rng.normal(0, 0.1, (64, 64)),
        "output_norm.weight": rng.uniform(1, 2, 64),
    }

    def bits(kind: int, dtype_in_file: str) -> bytes:
        tensors = {n: (v.astype(dtype_in_file), kind, v.shape) for n, v in doubles.items()}
        with LLM(tiny_llama(tmp_path / "m.gguf", tensors=tensors), dtype=dtype) as llm:
            return np.asarray(llm([[1, 5, 9, 3]])).tobytes()

    assert bits(28, "<f8") == bits(0, "<f4")


@pytest.mark.parametrize("bad", [0.0, -1.0, 0.1])
def test_frequency_factors_are_not_close_to_zero(tmp_path: Path, bad: float) -> None:
    factors = np.array([1, 1, 2, bad, 4, 4, 8, 8], "<f4")
    path = tiny_llama(tmp_path / "m.gguf", tensors={"rope_freqs.weight": (factors, "F32", (8,))})
    with pytest.raises(errors.ModelFormatError, match="rope_freqs") as caught:
        LLM(path)
    assert caught.value.field == "rope_freqs.weight"


def padded(path: Path, extra: int) -> Path:
    """A model with so many rows more than tokens, whose embeddings are large: they have the largest logits."""
    vocab = len(tiny_tokens(path))
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 0.3, (vocab + extra, 64)).astype("<f4")
    rows[vocab:] *= 20
    return tiny_llama(path, tensors={"token_embd.weight": (rows, "F32", (64, vocab + extra))})


def tiny_tokens(path: Path) -> list[str]:
    with open_gguf(tiny_llama(path)) as checkpoint:
        return list(checkpoint.metadata["tokenizer.ggml.tokens"])


def test_rows_beyond_the_tokenizer_are_never_generated(tmp_path: Path) -> None:
    with LLM(padded(tmp_path / "m.gguf", 40)) as llm:
        n = llm.vocab_size - 40
        assert int(np.argmax(llm([IDS])[0][-1])) >= n
        for temperature in (0.0, 1.0, 50.0):
            for seed in range(5):
                answer = llm.generate(IDS, max_tokens=8, temperature=temperature, seed=seed, ignore_eos=True)
                assert all(token_id < n for token_id in answer.token_ids)


def test_fewer_rows_than_tokens_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    n = len(tiny_tokens(path)) - 1
    tiny_llama(path, tensors={"token_embd.weight": (np.ones((n, 64), "<f4"), "F32", (64, n))})
    with pytest.raises(
        errors.ModelFormatError, match=f"has {n + 1} elements, the embedding {n} rows"
    ) as caught:
        LLM(path)
    assert caught.value.field == "tokenizer.ggml.tokens"


def test_a_tied_head_is_the_embedding(tmp_path: Path) -> None:
    tied = tiny_llama(tmp_path / "tied.gguf")
    with open_gguf(tied) as checkpoint:
        info = checkpoint.tensors["token_embd.weight"]
        raw = tied.read_bytes()[info.offset : info.offset + info.nbytes]
    own = tiny_llama(tmp_path / "own.gguf", tensors={"output.weight": (raw, "F32", info.shape)})
    assert (all_logits(load(tied), IDS) == all_logits(load(own), IDS)).all()


# --- numbers that are none ---

PLACES = [(kind.upper(), place, "<e") for kind, places in HALVES.items() for place in places]
PLACES += [("F32", 0, "<f"), ("F16", 0, "<e"), ("BF16", -2, "<f")]


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize(("kind", "place", "form"), PLACES)
def test_weights_and_scales_that_are_not_finite_name_the_tensor(
    tmp_path: Path, kind: str, place: int, form: str, value: float
) -> None:
    name = "blk.1.ffn_down.weight"
    path = tiny_llama(tmp_path / "m.gguf", kind)
    raw = struct.pack(form, value)
    patch(
        path, name, place if kind == "BF16" else place - TYPES[kind][2], raw[-2:] if kind == "BF16" else raw
    )
    with pytest.raises(errors.NumericalError, match=name):
        LLM(path)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_norms_that_are_not_finite_name_the_tensor(tmp_path: Path, value: float) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    patch(path, "blk.1.ffn_norm.weight", 8, struct.pack("<f", value))
    with pytest.raises(errors.NumericalError, match="blk.1.ffn_norm.weight"):
        LLM(path)


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_1", "Q6_K"])
def test_weights_of_zero_run_and_greedy_says_the_lowest_id(tmp_path: Path, kind: str) -> None:
    path = tiny_llama(tmp_path / "m.gguf", kind)
    with open_gguf(path) as checkpoint:
        sizes = {tensor.name: tensor.nbytes for tensor in checkpoint.tensors.values()}
    for name, nbytes in sizes.items():
        patch(path, name, 0, bytes(nbytes))
    with LLM(path) as llm:
        assert not np.any(llm([IDS]))
        assert llm.generate(IDS, max_tokens=4, temperature=0.0, ignore_eos=True).token_ids == (0,) * 4


@pytest.mark.parametrize("kv_dtype", ["f16", "f32", "q8"])
def test_weights_that_overflow_on_the_way_are_an_error_and_leave_no_trace(
    tmp_path: Path, kv_dtype: str
) -> None:
    # The values of token 7, and of no other, are infinite: only its embedding reaches the huge column.
    path = tiny_llama(tmp_path / "m.gguf", n_layers=1)
    with open_gguf(path) as checkpoint:
        vocab = checkpoint.tensors["token_embd.weight"].shape[1]
    rng = np.random.default_rng(0)
    embedding = rng.normal(0, 0.3, (vocab, 64)).astype("<f4")
    embedding[:, 0] = 0
    embedding[7, 0] = 5
    values = rng.normal(0, 0.1, (32, 64)).astype("<f4")
    values[:, 0] = 3e38
    tiny_llama(path, n_layers=1, tensors={
        "token_embd.weight": (embedding, "F32", (64, vocab)),
        "blk.0.attn_v.weight": (values, "F32", (64, 32)),
    })  # fmt: skip
    with LLM(path, kv_dtype=kv_dtype) as llm:
        with llm.session() as s:
            expected = s.append([1, 2, 3, 4, 5])
        with llm.session() as s:
            s.append([1, 2, 3], "none")
            with pytest.raises(errors.NumericalError):
                s.append([7, 8, 9])
            assert s.token_ids == [1, 2, 3]
            for wanted in ("all", "none"):
                with pytest.raises(errors.NumericalError):
                    s.append([7, 8, 9], wanted)
            with pytest.raises(errors.NumericalError):
                llm([[1, 7]])
            assert (s.append([4, 5]) == expected).all()
            s.rewind(2)
            with pytest.raises(errors.NumericalError):
                llm.generate([1, 7], max_tokens=2)
            assert (s.append([4, 5]) == expected).all()


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0"])
def test_logits_that_overflow_are_an_error(tmp_path: Path, kind: str) -> None:
    path = tiny_llama(tmp_path / "m.gguf", kind, tied=False)
    patch(path, "output_norm.weight", 0, np.full(64, 1e38, "<f4").tobytes())
    with LLM(path) as llm, llm.session() as s:
        with pytest.raises(errors.NumericalError):
            llm([IDS])
        for wanted in ("last", "all"):
            with pytest.raises(errors.NumericalError):
                s.append(IDS, wanted)
        with pytest.raises(errors.NumericalError):
            llm.generate(IDS, max_tokens=2)
        assert len(s) == 0


# --- files that change ---


def test_a_file_cut_while_it_is_read_is_truncated(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    half = path.stat().st_size // 2

    def cut(done: int, total: int) -> None:
        os.truncate(path, half)

    with pytest.raises(errors.ModelTruncatedError) as caught:
        LLM(path, n_threads=1, progress=cut)
    assert caught.value.actual is not None
    assert caught.value.actual <= half


def at_the_end(change: Callable[[], None]) -> Callable[[int, int], None]:
    return lambda done, total: change() if done == total else None


def test_a_file_cut_behind_the_reader_is_noticed(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    with pytest.raises(errors.ModelTruncatedError):
        LLM(path, progress=at_the_end(lambda: os.truncate(path, 100)))


def test_a_file_written_behind_the_reader_is_noticed(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    os.utime(path, (1e9, 1e9))  # clocks of file systems are coarse
    with pytest.raises(errors.ModelFormatError, match="changed"):
        LLM(path, progress=at_the_end(lambda: patch(path, "output_norm.weight", 0, b"\0")))


def test_a_file_replaced_between_header_and_weights_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tiny_llama(tmp_path / "m.gguf"), tiny_llama(tmp_path / "other.gguf", seed=1)
    plan = loading.plan

    def plan_then_replace(*arguments: Any, **options: Any) -> Any:
        result = plan(*arguments, **options)
        os.replace(other, path)
        return result

    monkeypatch.setattr(loading, "plan", plan_then_replace)
    with pytest.raises(errors.ModelFormatError, match="replaced"):
        LLM(path)


@pytest.mark.parametrize("change", ["truncate", "overwrite", "replace", "remove"])
def test_a_loaded_model_does_not_look_at_its_file_again(tmp_path: Path, change: str) -> None:
    path, other = tiny_llama(tmp_path / "m.gguf", "Q8_0"), tiny_llama(tmp_path / "other.gguf", "Q8_0", seed=1)
    with LLM(path) as llm:
        before = bits(llm)
        if change == "truncate":
            os.truncate(path, 0)
        elif change == "overwrite":
            path.write_bytes(b"\xff" * path.stat().st_size)
        elif change == "replace":
            os.replace(other, path)
        else:
            path.unlink()
        assert bits(llm) == before
        assert llm.generate("the quick", max_tokens=4).token_ids
    if change == "replace":
        with LLM(path) as new:
            assert bits(new) != before


# --- failures leave nothing behind ---


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor more after the test than before."""
    before = handles_and_threads()
    yield
    assert settles_at_most(before)


@linux
def test_200_failed_loads_cost_nothing(tmp_path: Path, nothing_left: None) -> None:
    broken = tiny_llama(tmp_path / "broken.gguf", hidden=256)
    patch(broken, "blk.1.ffn_down.weight", -4, struct.pack("<f", np.nan))
    whole = tiny_llama(tmp_path / "whole.gguf", hidden=256)
    cancel = threading.Event()
    cancel.set()

    def fail() -> None:
        with pytest.raises(errors.NumericalError):
            LLM(broken, n_threads=2)
        with pytest.raises(errors.Cancelled):
            LLM(whole, n_threads=2, cancel=cancel)

    for _ in range(20):
        fail()
    before = resident()
    for _ in range(100):
        fail()
    assert resident() - before < 8 << 20  # one load of weights is 4 MiB


@linux
def test_a_set_event_stops_a_load_before_and_on_the_way(tmp_path: Path, nothing_left: None) -> None:
    path = tiny_llama(tmp_path / "m.gguf")
    cancel = threading.Event()

    def set_it(done: int, total: int) -> None:
        cancel.set()
        time.sleep(0.02)  # the event is asked for every 10 ms
        assert done < total

    for progress in (set_it, None):
        with pytest.raises(errors.Cancelled):
            LLM(path, n_threads=1, cancel=cancel, progress=progress)


@linux
@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt()])
def test_what_progress_raises_comes_out(tmp_path: Path, error: BaseException, nothing_left: None) -> None:
    def broken(done: int, total: int) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        LLM(tiny_llama(tmp_path / "m.gguf"), n_threads=2, progress=broken)
    assert caught.value is error


def test_progress_ends_at_the_bytes_of_the_matrices(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    path = tiny_llama(tmp_path / "m.gguf", "Q8_0")
    LLM(path, progress=lambda done, total: calls.append((done, total))).close()
    with open_gguf(path) as checkpoint:
        expected = sum(t.nbytes for t in checkpoint.tensors.values() if len(t.shape) == 2)
    assert calls[-1] == (expected, expected)
    assert calls == sorted(calls)


TOO_SMALL = """
import resource, sys
from pathlib import Path
from nextoken import LLM, loading, tokenizer  # what is imported later would lack the memory
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
try:
    LLM(sys.argv[1], n_threads=1)
except MemoryError as error:
    print(error)
"""


@linux
def test_too_little_address_space_is_a_memory_error_with_the_bytes(tmp_path: Path) -> None:
    path = tiny_llama(
        tmp_path / "m.gguf", tensors={"token_embd.weight": (bytes(64 << 20), "F32", (64, 1 << 18))}
    )
    out = subprocess.run(
        [sys.executable, "-c", TOO_SMALL, str(path)], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    needed = re.search(r"the weights: (\d+) bytes needed", out)
    assert needed, out
    assert int(needed[1]) > 64 << 20


# --- threads and identity ---


@pytest.mark.parametrize(
    ("hidden", "kind"), [(36, "F32"), (100, "F16"), (96, "Q8_0"), (160, "Q4_1"), (256, "Q6_K")]
)
def test_any_number_of_threads_loads_the_same_model(tmp_path: Path, hidden: int, kind: str) -> None:
    path = tiny_llama(tmp_path / "m.gguf", kind, hidden=hidden, n_heads=2, n_kv_heads=1, n_layers=3)
    models = [load(path, n_threads) for n_threads in (1, 2, 3, 7)]
    ids = random_ids(20, models[0].spec.vocab_size)
    assert len({model.fingerprint for model in models}) == 1
    assert len({all_logits(model, ids).tobytes() for model in models}) == 1


def test_one_flipped_bit_of_any_tensor_is_another_fingerprint(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf", "Q8_0", n_layers=1, tied=False)
    original = load(path, 1).fingerprint
    assert re.fullmatch("[0-9a-f]{32}", original)
    seen = {original}
    with open_gguf(path) as checkpoint:
        tensors = list(checkpoint.tensors.values())
    n = 1
    for tensor in tensors:
        for at in (0, tensor.nbytes // 2 + 1, tensor.nbytes - 1):
            old = path.read_bytes()[tensor.offset + at]
            patch(path, tensor.name, at, bytes([old ^ 1]))
            seen.add(load(path, 1).fingerprint)
            patch(path, tensor.name, at, bytes([old]))
            n += 1
    assert len(seen) == n
    assert load(path, 1).fingerprint == original


def test_hyper_parameters_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"llama.rope.freq_base": 20000.0},
        {"llama.attention.layer_norm_rms_epsilon": 2e-5},
        {"llama.rope.scaling.factor": 2.0},
        {"llama.context_length": 512},
    ]
    models = [load(tiny_llama(tmp_path / "m.gguf", metadata=change), 1) for change in changes]
    assert len({model.fingerprint for model in models}) == len(changes)


@pytest.mark.parametrize("theta", [1.0, 3e38])
def test_extreme_rotations_stay_finite(tmp_path: Path, theta: float) -> None:
    metadata = {"llama.rope.freq_base": theta, "llama.rope.scaling.factor": 2.0**-10}
    metadata["llama.context_length"] = 2**32 - 1
    with LLM(tiny_llama(tmp_path / "m.gguf", metadata=metadata)) as llm:
        assert np.isfinite(llm([IDS])).all()


def test_heads_that_do_not_rotate(tmp_path: Path) -> None:
    with LLM(tiny_llama(tmp_path / "m.gguf", n_layers=1, metadata={"llama.rope.dimension_count": 0})) as llm:
        logits = llm([[5, 6, 7], [6, 5, 7]])  # without rotation the order of what went before does not matter
    np.testing.assert_allclose(logits[0][-1], logits[1][-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q2_K", "IQ2_XXS", "NVFP4"])
def test_what_a_model_takes_in_memory_is_known_from_its_header(tmp_path: Path, kind: str) -> None:
    path = tiny_llama(tmp_path / "m.gguf", kind)
    with open_gguf(path) as checkpoint:
        tensors = plan(checkpoint).tensors.values()
    with LLM(path) as llm:
        assert llm.nbytes == sum(t.memory_nbytes for t in tensors if len(t.shape) > 1)
