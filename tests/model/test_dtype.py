"""Float checkpoints converted or quantised while they are read: the bits of a file that was written in that type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nextoken import LLM, _native, errors, kernels
from nextoken.architectures import plan
from nextoken.checkpoints.gguf import open_gguf
from nextoken.checkpoints.tensors import DTYPES, with_dtype
from tests.gguf_files import TYPES, Tensor, read_weights, tiny_gemma3, tiny_llama
from tests.model.test_forward import all_logits

IDS = [3, 14, 15, 92, 65, 35, 89]


def same_in(path: Path, weights: dict[str, np.ndarray], dtype: str, head: str, **options: object) -> Path:
    """The tiny llama of those float weights, its matrices quantised beforehand: the head as `head`."""
    tensors: dict[str, Tensor] = {}
    for name, values in weights.items():
        if values.ndim == 2:
            kind = head if name == "token_embd.weight" else dtype
            tensors[name] = (bytes(kernels.quantize(values, kind)), kind.upper(), values.shape[::-1])
    return tiny_llama(path, tensors=tensors, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_converted_model_has_the_bits_of_a_file_in_that_type(
    tmp_path: Path, source: str, dtype: str
) -> None:
    path = tiny_llama(tmp_path / "float.gguf", source, hidden=256)
    head = "q6_k" if dtype[:2] in ("q4", "q5") else dtype
    expected = same_in(tmp_path / "q.gguf", read_weights(path), dtype, head, hidden=256)
    with LLM(path, dtype=dtype) as converted, LLM(expected) as stored:
        assert np.asarray(converted([IDS])).tobytes() == np.asarray(stored([IDS])).tobytes()
        assert converted.nbytes == stored.nbytes


@pytest.mark.parametrize(
    ("hidden", "dtype", "matrix", "head"),
    [
        (64, "q4_k", "q5_0", "q8_0"),  # rows of 64 and 96 are no blocks of 256
        (64, "q5_k", "q5_1", "q8_0"),
        (64, "q6_k", "q8_0", "q8_0"),
        (64, "q4_0", "q4_0", "q8_0"),
    ],
)
def test_rows_that_are_no_whole_blocks_take_the_next_type(
    tmp_path: Path, hidden: int, dtype: str, matrix: str, head: str
) -> None:
    path = tiny_llama(tmp_path / "float.gguf", "BF16", hidden=hidden)
    expected = same_in(tmp_path / "q.gguf", read_weights(path), matrix, head, hidden=hidden)
    with LLM(path, dtype=dtype) as converted, LLM(expected) as stored:
        assert np.asarray(converted([IDS])).tobytes() == np.asarray(stored([IDS])).tobytes()


def test_rows_that_are_no_blocks_at_all_are_stored_as_f16(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf", "F32", hidden=48, n_heads=2, n_kv_heads=1)
    with open_gguf(path) as checkpoint:
        tensors = with_dtype(plan(checkpoint).tensors, "q4_0")
    assert tensors["embedding"].stored_type == tensors["layers.0.q"].stored_type == TYPES["F16"][0]
    assert tensors["layers.0.down"].stored_type == TYPES["Q4_0"][0]  # rows of 96
    assert tensors["layers.1.attn_norm"].stored_type is None
    with LLM(path, dtype="q4_0") as llm:
        assert np.isfinite(llm([IDS])).all()


@pytest.mark.parametrize("dtype", ["q4_0", "q8_0", "q4_k", "q6_k"])
def test_threads_and_instruction_sets_do_not_change_what_is_stored(tmp_path: Path, dtype: str) -> None:
    path = tiny_gemma3(tmp_path / "m.gguf", "BF16", hidden=256)
    with open_gguf(path) as checkpoint:
        p = plan(checkpoint)
    tensors = with_dtype(p.tensors, dtype)
    found = set()
    for isa in kernels.isas():
        for n_threads in (1, 2, 3):
            model = _native.Model.load(p.spec, tensors, str(path), n_threads=n_threads, isa=isa)
            found.add((model.fingerprint, all_logits(model, IDS).tobytes()))
            model.close()
    assert len(found) == 1


def test_another_dtype_is_another_model(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf", "F16")
    with open_gguf(path) as checkpoint:
        p = plan(checkpoint)
    prints = {
        _native.Model.load(p.spec, tensors, str(path), n_threads=1).fingerprint
        for tensors in (p.tensors, with_dtype(p.tensors, "q8_0"), with_dtype(p.tensors, "q4_0"))
    }
    assert len(prints) == 3


def test_a_quantised_file_is_not_quantised_again(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "m.gguf", {"ffn_up": "Q8_0", "": "F16"})
    with pytest.raises(ValueError, match=r"dtype='q4_0' .* 'blk\.0\.ffn_up\.weight' .* already, as Q8_0"):
        LLM(path, dtype="q4_0")
    with open_gguf(path) as checkpoint:
        p = plan(checkpoint)
    from dataclasses import replace

    forced = p.tensors | {"layers.1.up": replace(p.tensors["layers.1.up"], stored_type=0)}
    with pytest.raises(errors.UnsupportedModelError, match=r"blk\.1\.ffn_up\.weight' is quantised already"):
        _native.Model.load(p.spec, forced, str(path), n_threads=1)


def test_a_type_that_is_none_is_refused_before_the_file_is_opened() -> None:
    with pytest.raises(ValueError, match="dtype='q9' is not available, choose from 'f32'"):
        LLM("nowhere.gguf", dtype="q9")
    with pytest.raises(TypeError, match="dtype must be a str or None, got int"):
        LLM("nowhere.gguf", dtype=8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "q4_0", "not finite"),
        (-np.inf, "q6_k", "not finite"),
        (1e6, "f16", "too large for F16"),
        (3e38, "q8_0", "too large for Q8_0"),
        (-3e38, "q4_k", "too large for Q4_K"),
    ],
)
def test_numbers_that_can_not_be_stored_name_the_tensor_and_the_rows(
    tmp_path: Path, value: float, dtype: str, message: str
) -> None:
    name = "blk.1.ffn_up.weight"
    values = np.ones((512, 256), np.float32)
    values[100, 7] = value
    path = tiny_llama(tmp_path / "m.gguf", hidden=256, tensors={name: (values, "F32", (256, 512))})
    with pytest.raises(errors.NumericalError, match=f"{name}', between rows 96 and 112: .* {message}"):
        LLM(path, dtype=dtype)
