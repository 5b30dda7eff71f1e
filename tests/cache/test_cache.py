"""The KV cache: what it holds, what forks share, and that going back leaves no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nextoken import _native, errors
from tests import gguf_files
from tests.model import reference
from tests.model.test_forward import config_of, load, random_ids
from tests.process import linux, resident

BLOCK = 64  # tokens


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> _native.Model:
    return load(gguf_files.tiny_llama(tmp_path_factory.mktemp("cache") / "m.gguf", seed=2))


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> _native.Model:
    return load(gguf_files.tiny_gemma3(tmp_path_factory.mktemp("cache") / "m.gguf", seed=2))


def append(model: _native.Model, cache: _native.Cache, ids: list[int]) -> np.ndarray:
    (logits,) = _native.append(model, [cache], [ids], "all")
    return np.asarray(logits)


def filled(
    model: _native.Model, ids: list[int], kv_dtype: str = "f16", n_ctx: int = 256
) -> tuple[_native.Cache, np.ndarray]:
    cache = _native.Cache(model, kv_dtype, n_ctx)
    return cache, append(model, cache, ids)


def ids_for(model: _native.Model, n: int, seed: int = 1) -> list[int]:
    return random_ids(n, model.spec.vocab_size, seed)


def contents(cache: _native.Cache) -> bytes:
    return bytes(np.asarray(cache.export()))


def test_keys_and_values_are_those_of_the_textbook(tmp_path: Path) -> None:
    path = gguf_files.tiny_llama(tmp_path / "m.gguf", seed=4)
    model = load(path)
    c = config_of(model, gemma=False)
    ids = ids_for(model, 70)
    w = {name: value.astype(np.float64) for name, value in gguf_files.read_weights(path).items()}
    h = reference.rms_norm(w["token_embd.weight"][ids], w["blk.0.attn_norm.weight"], c.eps)
    shape = (70, c.n_kv_heads, c.head_dim)
    keys = reference.rope((h @ w["blk.0.attn_k.weight"].T).reshape(shape), c.theta, halves=False)
    values = (h @ w["blk.0.attn_v.weight"].T).reshape(shape)
    for kv_dtype, tolerance in (("f32", 2e-6), ("f16", 1e-3), ("q8", 5e-3)):
        cache, _ = filled(model, ids, kv_dtype)
        for actual, expected in ((cache.keys(0), keys), (cache.values(0), values)):
            assert actual.shape == shape
            assert actual.dtype == np.float32
            assert not actual.flags.writeable
            assert np.max(np.abs(actual - expected)) <= tolerance * np.max(np.abs(expected))


def test_an_f16_cache_holds_the_f32_one_rounded(llama: _native.Model) -> None:
    # Layer 0 alone: what later layers store depends on what was read back.
    ids = ids_for(llama, 70)
    half, full = filled(llama, ids, "f16")[0], filled(llama, ids, "f32")[0]
    for read in ("keys", "values"):
        rounded = getattr(full, read)(0).astype(np.float16).astype(np.float32)
        assert (getattr(half, read)(0) == rounded).all()


def test_rewinding_a_q8_cache_leaves_no_trace(gemma: _native.Model) -> None:
    ids = ids_for(gemma, 90)
    cache, _ = filled(gemma, ids, "q8")
    append(gemma, cache, ids_for(gemma, 101, seed=3))
    cache.rewind(101)
    assert contents(cache) == contents(filled(gemma, ids, "q8")[0])


def test_large_blocks_come_from_slabs_and_are_used_again(tmp_path: Path) -> None:
    """Blocks of 512 KiB, 32 to a slab: forks and rewinds in turn, and what they leave behind is in no result."""
    metadata = {"llama.attention.key_length": 256, "llama.rope.dimension_count": 256}
    metadata |= {"llama.attention.value_length": 256}
    rng = np.random.default_rng(0)
    wide = {
        f"blk.{i}.attn_{part}.weight": (rng.normal(0, 0.1, shape[::-1]).astype("<f4"), "F32", shape)
        for i in range(2)
        for part, shape in (("q", (64, 1024)), ("k", (64, 512)), ("v", (64, 512)), ("output", (1024, 64)))
    }
    model = load(gguf_files.tiny_llama(tmp_path / "m.gguf", metadata=metadata, tensors=wide))
    assert model.spec.kv_bytes("f32", 1) == 512 << 10
    ids = ids_for(model, 250)
    base, expected = filled(model, ids, "f32")
    before = contents(base)
    forks = [base.fork() for _ in range(40)]
    for i, fork in enumerate(forks):  # one slab is full, another begins
        fork.rewind(10 + i)
        append(model, fork, ids_for(model, 5, seed=i))
    for fork in forks[::2]:
        fork.close()
    again = [base.fork() for _ in range(20)]
    for fork in again:
        fork.rewind(100)
        assert (append(model, fork, ids[150:]) == expected[150:]).all()
        assert contents(fork) == before
    assert contents(base) == before
    base.rewind(250)
    assert base.nbytes == 0
    assert (append(model, base, ids) == expected).all()


@pytest.mark.parametrize("kv_dtype", ["f16", "f32", "q8"])
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 128, 129])
def test_nbytes_grow_by_blocks(llama: _native.Model, kv_dtype: str, n: int) -> None:
    s = llama.spec
    of_head = {"f16": 2 * s.head_dim, "f32": 4 * s.head_dim, "q8": s.head_dim + 4}[kv_dtype]
    block = s.n_layers * s.n_kv_heads * 2 * of_head * BLOCK
    cache = _native.Cache(llama, kv_dtype, 256)
    if n:
        append(llama, cache, ids_for(llama, n))
    assert cache.nbytes == -(-n // BLOCK) * block == s.kv_bytes(kv_dtype, n)
    assert len(contents(cache)) == cache.nbytes
    cache.rewind(n)
    assert cache.nbytes == 0


def test_heads_of_an_odd_width_fit_their_blocks(tmp_path: Path) -> None:
    model = load(gguf_files.tiny_llama(tmp_path / "m.gguf", hidden=72, n_heads=4))
    cache, _ = filled(model, ids_for(model, 70))
    assert cache.keys(1).shape == cache.values(1).shape == (70, 2, 18)
    assert cache.nbytes == model.spec.kv_bytes("f16", 70) == len(contents(cache))


@pytest.mark.parametrize("n", [1, 40, 63, 64, 65, 100])
@pytest.mark.parametrize("writer", ["original", "fork"])
def test_a_fork_and_its_original_do_not_see_each_other_write(
    llama: _native.Model, n: int, writer: str
) -> None:
    ids, more = ids_for(llama, n), ids_for(llama, 30, seed=2)
    original, _ = filled(llama, ids)
    before = contents(original)
    fork = original.fork()
    assert fork.ids() == ids
    assert contents(fork) == before
    first, second = (original, fork) if writer == "original" else (fork, original)
    expected = append(llama, first, more)
    assert contents(second) == before
    assert second.ids() == ids
    assert (append(llama, second, more) == expected).all()
    assert contents(first) == contents(second)


def test_a_fork_outlives_its_original(llama: _native.Model) -> None:
    ids = ids_for(llama, 90)
    original, _ = filled(llama, ids)
    before = contents(original)
    fork = original.fork()
    original.close()
    assert contents(fork) == before
    append(llama, fork, [1])


@linux
def test_forks_share_memory_until_they_write(tmp_path: Path) -> None:
    metadata = {"llama.attention.key_length": 256, "llama.rope.dimension_count": 256}
    metadata |= {"llama.attention.value_length": 256}
    rng = np.random.default_rng(0)
    wide = {
        f"blk.{i}.attn_{part}.weight": (rng.normal(0, 0.1, shape[::-1]).astype("<f4"), "F32", shape)
        for i in range(2)
        for part, shape in (("q", (64, 1024)), ("k", (64, 512)), ("v", (64, 512)), ("output", (1024, 64)))
    }
    model = load(gguf_files.tiny_llama(tmp_path / "m.gguf", metadata=metadata, tensors=wide))
    cache, _ = filled(model, ids_for(model, 200), "f32")
    assert cache.nbytes == 2 << 20
    before = resident()
    forks = [cache.fork() for _ in range(50)]
    assert resident() - before < 20 << 20  # of 100 MiB
    for fork in forks:
        append(model, fork, [1])
    assert resident() - before < 50 << 20  # one block of each was copied, 25 MiB
    assert {fork.nbytes for fork in forks} == {cache.nbytes}


def test_rewinding_past_a_window_gives_the_same_bits(gemma: _native.Model) -> None:
    window = gemma.spec.layers[0].window
    assert window == 16
    ids, detour = ids_for(gemma, 120), ids_for(gemma, 100, seed=3)
    _, expected = filled(gemma, ids)
    for keep in (1, 15, 16, 17, 63, 64, 65):
        cache, _ = filled(gemma, ids[:keep])
        append(gemma, cache, detour)
        cache.rewind(len(detour))
        assert len(cache) == keep
        assert (append(gemma, cache, ids[keep:]) == expected[keep:]).all()


def test_rewinding_leaves_the_same_bytes(gemma: _native.Model) -> None:
    ids = ids_for(gemma, 90)
    cache, _ = filled(gemma, ids)
    append(gemma, cache, ids_for(gemma, 60, seed=3))
    cache.rewind(60)
    assert contents(cache) == contents(filled(gemma, ids)[0])


@pytest.mark.parametrize("n", [-1, 11])
def test_rewind_takes_what_is_there(llama: _native.Model, n: int) -> None:
    cache, _ = filled(llama, ids_for(llama, 10))
    with pytest.raises(ValueError, match="rewind"):
        cache.rewind(n)
    assert len(cache) == 10


@pytest.mark.parametrize("kv_dtype", ["f16", "f32", "q8"])
@pytest.mark.parametrize("n", [0, 1, 64, 90])
def test_a_restored_cache_goes_on_with_the_same_bits(gemma: _native.Model, kv_dtype: str, n: int) -> None:
    ids, more = ids_for(gemma, n), ids_for(gemma, 50, seed=2)
    cache = _native.Cache(gemma, kv_dtype, 256)
    if n:
        append(gemma, cache, ids)
    data = np.asarray(cache.export())
    restored = _native.Cache.restore(gemma, kv_dtype, 256, ids, data)
    assert restored.ids() == ids
    assert contents(restored) == data.tobytes()
    assert (append(gemma, restored, more) == append(gemma, cache, more)).all()
    assert contents(restored) == contents(cache)


def test_restore_refuses_what_does_not_fit(llama: _native.Model) -> None:
    ids = ids_for(llama, 10)
    data = np.asarray(filled(llama, ids)[0].export())
    for wrong in (data[:-1], np.append(data, np.uint8(0)), data[:0]):
        with pytest.raises(errors.ModelFormatError) as caught:
            _native.Cache.restore(llama, "f16", 256, ids, wrong)
        assert caught.value.field == "data"
    with pytest.raises(errors.ModelFormatError):
        _native.Cache.restore(llama, "f32", 256, ids, data)
    for bad in (-1, llama.spec.vocab_size):
        with pytest.raises(errors.ModelFormatError) as caught:
            _native.Cache.restore(llama, "f16", 256, [*ids[:-1], bad], data)
        assert caught.value.field == "ids"
    with pytest.raises(errors.ContextLengthError):
        _native.Cache.restore(llama, "f16", 9, ids, data)


@pytest.mark.parametrize("n_ctx", [1, 63, 64, 65, 100])
def test_the_context_is_full_at_n_ctx_exactly(llama: _native.Model, n_ctx: int) -> None:
    ids = ids_for(llama, n_ctx + 1)
    with pytest.raises(errors.ContextLengthError) as caught:
        filled(llama, ids, n_ctx=n_ctx)
    assert (caught.value.n_prompt, caught.value.n_ctx) == (n_ctx + 1, n_ctx)
    cache, logits = filled(llama, ids[:-1], n_ctx=n_ctx)
    assert len(logits) == len(cache) == cache.n_ctx == n_ctx
    before = contents(cache)
    with pytest.raises(errors.ContextLengthError):
        append(llama, cache, [1])
    assert contents(cache) == before
    cache.rewind(1)
    assert (append(llama, cache, ids[n_ctx - 1 : n_ctx]) == logits[-1:]).all()


def test_a_failed_pass_gives_back_what_it_reserved(llama: _native.Model) -> None:
    a, _ = filled(llama, ids_for(llama, 60))
    b = _native.Cache(llama, "f16", 10)
    before, nbytes = contents(a), a.nbytes
    with pytest.raises(errors.ContextLengthError):
        _native.append(llama, [a, b], [[1] * 30, [1] * 11], "none")

    class Cancel:
        calls = 0

        def is_set(self) -> bool:
            Cancel.calls += 1
            return True

    with pytest.raises(errors.Cancelled):
        _native.append(llama, [a], [[1] * 150], "none", cancel=Cancel())
    assert Cancel.calls
    assert (a.nbytes, contents(a), b.nbytes) == (nbytes, before, 0)
