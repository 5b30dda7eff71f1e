"""The promise: logits are the same bits however they are computed. And the test of the test: faults are found."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nextoken import _native, kernels
from nextoken.architectures import plan
from nextoken.checkpoints.opening import open_checkpoint
from tests.bits.matrix import JUNK, Logits, Way, all_ways, check_same_bits, few_ways
from tests.bits.toy import Toy
from tests.gguf_files import tiny_gemma3, tiny_llama


def two_layer_gemma3(path: Path, types: str | dict[str, str]) -> Path:
    """One layer with a sliding window, one without."""
    return tiny_gemma3(path, types, n_layers=2, metadata={"gemma3.attention.sliding_window_pattern": 2})


FAMILIES = {"llama": tiny_llama, "gemma3": two_layer_gemma3}
TYPES = (
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q2_K", "Q3_K", "IQ1_S",
    "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4",
)  # fmt: skip
MIXED = {
    "token_embd": "Q8_0",
    "attn_v": "Q6_K",
    "ffn_down": "Q4_1",
    "attn_q": "F16",
    "ffn_up": "Q5_K",
    "": "Q4_0",
}


class NativeMachine:
    """A model of a file or folder, on so many threads of an instruction set."""

    def __init__(self, path: Path, n_threads: int, isa: str, kv_dtype: str) -> None:
        with open_checkpoint(path) as checkpoint:
            p = plan(checkpoint)
            paths = [os.fsencode(part) for part in checkpoint.paths]
            self.model = _native.Model.load(p.spec, p.tensors, paths, n_threads=n_threads, isa=isa)
        assert self.model.isa == isa
        self._kv_dtype = kv_dtype

    def new(self, n_ctx: int = 256) -> _native.Cache:
        return _native.Cache(self.model, self._kv_dtype, n_ctx)

    def append(self, states: list[_native.Cache], ids: list[list[int]]) -> list[Logits]:
        return _native.append(self.model, states, ids, "all")

    def fork(self, state: _native.Cache) -> _native.Cache:
        return state.fork()

    def rewind(self, state: _native.Cache, n: int) -> None:
        state.rewind(n)


def isas_here() -> tuple[str, ...]:
    """The instruction sets that this processor runs, the plainest first; the others are tried where they run."""
    return tuple(reversed(kernels.isas()))


def sequences(vocab_size: int, lengths: tuple[int, ...], seed: int = 5) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocab_size, n).tolist() for n in lengths]


def check_model(path: Path, ways: list[Way], lengths: tuple[int, ...], kv_dtype: str = "f16") -> None:
    @cache
    def machine_for(n_threads: int, isa: str) -> NativeMachine:
        return NativeMachine(path, n_threads, isa, kv_dtype)

    check_same_bits(machine_for, sequences(machine_for(1, "scalar").model.spec.vocab_size, lengths), ways)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_way_gives_the_same_bits(family: str, tmp_path: Path) -> None:
    path = FAMILIES[family](tmp_path / "m.gguf", MIXED)
    check_model(path, all_ways(isas_here()), (71, 1, 18))


@pytest.mark.parametrize("kv_dtype", ["f32", "q8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_other_caches_too(family: str, kv_dtype: str, tmp_path: Path) -> None:
    path = FAMILIES[family](tmp_path / "m.gguf", MIXED)
    check_model(path, few_ways(isas_here()), (71, 1, 18), kv_dtype)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("type", TYPES)
def test_every_weight_type_gives_the_same_bits(family: str, type: str, tmp_path: Path) -> None:
    path = FAMILIES[family](tmp_path / "m.gguf", type)
    check_model(path, few_ways(isas_here()), (25, 1, 9))


def test_a_head_of_its_own_gives_the_same_bits(tmp_path: Path) -> None:
    check_model(tiny_llama(tmp_path / "m.gguf", "Q4_0", tied=False), few_ways(isas_here()), (25, 1, 9))


def test_logits_of_the_last_row_are_those_of_all_rows(tmp_path: Path) -> None:
    machine = NativeMachine(tiny_llama(tmp_path / "m.gguf", "Q4_1"), 2, isas_here()[-1], "f16")
    (ids,) = sequences(machine.model.spec.vocab_size, (30,))
    (every,) = machine.append([machine.new()], [ids])
    (last,) = _native.append(machine.model, [machine.new()], [ids], "last")
    assert (last.view(np.uint32) == every[-1].view(np.uint32)).all()


def toy(fault: str | None) -> None:
    lengths = (20, 1, 9)
    check_same_bits(
        lambda n_threads, isa: Toy(fault, n_threads, isa),
        sequences(32, lengths),
        all_ways(("scalar", "avx2"), threads=(1, 3)),
    )


def test_the_matrix_accepts_a_right_toy() -> None:
    toy(None)


@pytest.mark.parametrize("fault", ["rows", "threads", "isa", "fork", "rewind"])
def test_the_matrix_catches_a_kernel_that_depends_on(fault: str) -> None:
    with pytest.raises(AssertionError, match="sequence"):
        toy(fault)


def test_the_few_ways_catch_the_same_faults() -> None:
    for fault in ("rows", "threads", "isa", "fork", "rewind"):
        with pytest.raises(AssertionError, match="sequence"):
            check_same_bits(
                lambda n_threads, isa, fault=fault: Toy(fault, n_threads, isa),
                sequences(32, (20, 1, 9)),
                few_ways(("scalar", "avx2")),
            )
    assert max(JUNK) < 32
