"""The native forward pass against the float64 textbook, for every weight type and both families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nextoken import _native
from nextoken.architectures import plan
from nextoken.checkpoints.gguf import open_gguf
from tests import gguf_files
from tests.model import reference

FLOATS = ["F32", "F16", "BF16"]
QUANTISED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
# Error of logits relative to their spread. Weights are exact on both sides; what differs is how activations are
# rounded: float32 sums, bf16 (8 bits), int8 with a scale per 32 (about 0.6 % a matmul) or per 256 (about 0.8 %),
# through two layers of tiny matrices, where little averages out.
TOLERANCE = {"F32": 2e-5, "F16": 2e-5, "BF16": 0.02} | dict.fromkeys(QUANTISED, 0.06)


def load(path: Path, n_threads: int = 2, isa: str | None = None) -> _native.Model:
    with open_gguf(path) as checkpoint:
        p = plan(checkpoint)
        return _native.Model.load(p.spec, p.tensors, str(path), n_threads=n_threads, isa=isa)


def all_logits(model: _native.Model, ids: list[int], kv_dtype: str = "f32") -> np.ndarray:
    cache = _native.Cache(model, kv_dtype, 256)
    (logits,) = _native.append(model, [cache], [ids], "all")
    return logits


def config_of(model: _native.Model, gemma: bool) -> reference.Config:
    s = model.spec
    full = s.layers[-1] if not gemma else s.layers[5]
    return reference.Config(
        n_heads=s.n_heads,
        n_kv_heads=s.n_kv_heads,
        head_dim=s.head_dim,
        eps=s.norm_eps,
        theta=full.rope_theta,
        gemma=gemma,
        window=s.layers[0].window,
        rope_factor=full.rope_factor,
    )


def random_ids(n: int, vocab_size: int, seed: int = 1) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, vocab_size, n)]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("kind", FLOATS + QUANTISED)
def test_logits_meet_the_textbook(tmp_path: Path, family: str, kind: str) -> None:
    make = gguf_files.tiny_llama if family == "llama" else gguf_files.tiny_gemma3
    path = make(tmp_path / "model.gguf", kind, seed=7)
    model = load(path)
    ids = random_ids(70, model.spec.vocab_size)
    expected = reference.logits(gguf_files.read_weights(path), config_of(model, family == "gemma3"), ids)
    actual = all_logits(model, ids)
    assert actual.shape == expected.shape
    assert np.std(expected) > 0
    assert np.max(np.abs(actual - expected)) <= TOLERANCE[kind] * np.max(np.abs(expected))


def test_an_f16_cache_rounds_keys_and_values_to_f16(tmp_path: Path) -> None:
    path = gguf_files.tiny_llama(tmp_path / "model.gguf", "F32", seed=3)
    model = load(path)
    ids = random_ids(40, model.spec.vocab_size)
    expected = reference.logits(gguf_files.read_weights(path), config_of(model, gemma=False), ids)
    actual = all_logits(model, ids, "f16")
    assert 0 < np.max(np.abs(actual - all_logits(model, ids, "f32")))
    assert np.max(np.abs(actual - expected)) <= 3e-3 * np.max(np.abs(expected))  # 11 bits, two layers


def test_an_untied_head_and_linear_scaling_of_positions(tmp_path: Path) -> None:
    scaled = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    path = gguf_files.tiny_llama(tmp_path / "model.gguf", "F32", seed=5, tied=False, metadata=scaled)
    model = load(path)
    ids = random_ids(40, model.spec.vocab_size)
    config = config_of(model, gemma=False)
    assert config.rope_factor == 4.0
    expected = reference.logits(gguf_files.read_weights(path), config, ids)
    assert np.max(np.abs(all_logits(model, ids) - expected)) <= 2e-5 * np.max(np.abs(expected))
