"""FP8 folders: the bits of the folder whose weights were multiplied out beforehand, and a name for what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import LLM, _native, errors, kernels
from nextoken.architectures import plan
from nextoken.checkpoints.hf_folder import open_folder
from nextoken.checkpoints.summary import summary
from nextoken.checkpoints.tensors import with_dtype
from tests.families import cases, latent
from tests.families.family import Family, ids
from tests.families.folders import write_folder
from tests.families.tiny import FAMILIES
from tests.hf_folders import llama_folder
from tests.quantised_folders import (
    DEEPSEEK,
    TABLES,
    change_config,
    compressed,
    fp8_folders,
    read_floats,
    rewrite,
)


def found(folder: Path, n: int = 60, **options: Any) -> tuple[str, bytes]:
    """What was read, by its fingerprint, and logits."""
    with LLM(folder, kv_dtype="f32", **options) as llm:
        return llm._engine.model.fingerprint, np.asarray(llm([ids(n)])).tobytes()


def logits(folder: Path, **options: Any) -> bytes:
    return found(folder, **options)[1]


def family_of(hidden: int, ffn: int, heads: int) -> Family:
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": 1,
        "num_hidden_layers": 1,
        "max_position_embeddings": 64,
    }
    return Family("llama", {"model_type": "llama"} | sizes, permuted=True)


# --- numbers ---


@pytest.mark.parametrize("kind", TABLES)
def test_every_code_is_its_number(tmp_path: Path, kind: str) -> None:
    """The fingerprint is of the floats that were read."""
    plain = write_folder(tmp_path / "f32", family_of(64, 24, 4))
    fp8, plain = fp8_folders(plain, None, DEEPSEEK, kind=kind, dtype="F32")
    codes = np.flatnonzero(np.isfinite(TABLES[kind])).astype(np.uint8)
    scale = np.float32(0.0123)

    def put(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"].reshape(-1)[: len(codes)] = codes
        tensors["lm_head.weight_scale_inv"] = np.full((1, 1), scale)

    def multiplied(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"] = TABLES[kind][stored["lm_head.weight"]] * scale

    stored: dict[str, Any] = {}
    rewrite(rewrite(fp8, put), stored.update)
    rewrite(plain, multiplied)
    assert found(fp8) == found(plain)


@given(
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 70),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["tensor", "channel", "block"]),
    st.sampled_from(["F32", "BF16", "F16", "F8_E8M0"]),
    st.sampled_from(["_scale_inv", "_scale"]),
    st.sampled_from(["BF16", "F32"]),
)
def test_any_shapes_and_scales_are_the_products(
    tmp_path_factory: pytest.TempPathFactory,
    heads: int,
    half_head: int,
    ffn: int,
    block: tuple[int, int],
    strategy: str,
    scale_type: str,
    ending: str,
    dtype: str,
) -> None:
    hidden = 2 * half_head * heads
    folder = write_folder(tmp_path_factory.mktemp("fp8") / "f32", family_of(hidden, ffn, heads))
    shape = {"tensor": None, "channel": (1, 10**6), "block": block}[strategy]
    config = compressed(strategy, **({"block_structure": list(block)} if strategy == "block" else {}))
    fp8, plain = fp8_folders(folder, shape, config, scale_type=scale_type, ending=ending, dtype=dtype)
    assert logits(fp8, n=7) == logits(plain, n=7)
    # In float32 before any rounding: every float that is read.
    products = fp8.parent / "products"
    fp8_folders(_moved(folder, products), shape, config, scale_type=scale_type, ending=ending, dtype="F32")
    assert found(fp8, n=7, dtype="f32") == found(products / "plain", n=7)


def _moved(folder: Path, to: Path) -> Path:
    to.mkdir()
    return folder.rename(to / folder.name)


FOLDERS: dict[str, Callable[[Path], Path]] = {
    **{
        name: lambda to, name=name: write_folder(to, FAMILIES[name])
        for name in ("llama", "phi3", "gemma3", "qwen3moe", "mixtral", "granitemoe", "gpt-oss")
    },
    **{
        name: lambda to, name=name: latent.write_folder(to, latent.CASES[name])
        for name in ("deepseek-v3", "deepseek-v2-lite", "minicpm3")
    },
    **{
        name: lambda to, name=name: cases.write_folder(to, cases.CASES[name])
        for name in ("gpt2", "gptneox", "falcon-40b", "opt")
    },
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("block", [(24, 40), None], ids=["blocks", "one"])
def test_a_family_has_the_bits_of_the_multiplied_folder(
    tmp_path: Path, name: str, block: tuple[int, int] | None
) -> None:
    """Heads in pairs, fused and split matrices, columns, experts in one tensor or in many, latents."""
    config = DEEPSEEK | {"weight_block_size": block and list(block)}
    skipped = {"opt": "embed_positions"}.get(name, "nothing")
    fp8, plain = fp8_folders(
        FOLDERS[name](tmp_path / "f32"),
        block,
        config,
        chosen=lambda tensor, values: values.ndim > 1 and "bias" not in tensor and skipped not in tensor,
    )
    assert logits(fp8) == logits(plain)
    assert logits(fp8, dtype="q8_0") != logits(fp8)


def test_a_scale_may_be_a_number_by_itself_and_one_an_expert(tmp_path: Path) -> None:
    config = DEEPSEEK | {"weight_block_size": None, "activation_scheme": "static"}
    fp8, plain = fp8_folders(
        write_folder(tmp_path / "f32", FAMILIES["granitemoe"]), None, config, squeezed=True
    )
    assert logits(fp8) == logits(plain)


def test_scales_may_be_in_another_shard(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f32", FAMILIES["qwen3"])
    fp8, plain = fp8_folders(folder, (32, 32), DEEPSEEK | {"weight_block_size": [32, 32]}, shards=5)
    index = json.loads((fp8 / "model.safetensors.index.json").read_text())["weight_map"]
    assert any(index[name] != index[name + "_scale_inv"] for name in index if name + "_scale_inv" in index)
    assert logits(fp8) == logits(plain)


def test_bytes_are_exponents_where_the_format_of_scales_says_so(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f32", FAMILIES["qwen3"])
    config = DEEPSEEK | {"weight_block_size": [32, 32], "scale_fmt": "ue8m0"}
    fp8, plain = fp8_folders(folder, (32, 32), config, scale_type="F8_E8M0")

    def as_bytes(tensors: dict[str, Any]) -> None:
        for name in tensors:
            if name.endswith("_scale_inv"):
                tensors[name] = np.asarray(tensors[name])

    rewrite(fp8, as_bytes)
    assert logits(fp8) == logits(plain)
    change_config(fp8, scale_fmt=None)
    with pytest.raises(errors.UnsupportedModelError, match="the scales of .*, are U8"):
        LLM(fp8)


# --- what is stored ---


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_products_are_rounded_to_the_type_of_the_checkpoint(tmp_path: Path, dtype: str) -> None:
    fp8, plain = fp8_folders(
        llama_folder(tmp_path), (16, 24), DEEPSEEK | {"weight_block_size": [16, 24]}, dtype=dtype
    )
    with LLM(fp8) as llm, LLM(plain) as stored, open_folder(str(fp8)) as checkpoint:
        assert llm.nbytes == stored.nbytes
        tensors = plan(checkpoint).tensors.values()
        matrices = sum(t.memory_nbytes for t in tensors if len(t.shape) > 1)
        vectors = sum(t.memory_nbytes for t in tensors if len(t.shape) == 1)
        assert matrices <= llm.nbytes <= matrices + 2 * vectors
    assert logits(fp8) == logits(plain)


@pytest.mark.parametrize("dtype", ["f32", "f16", "q8_0", "q4_0", "q4_k", "q6_k"])
def test_a_dtype_is_made_of_the_products(tmp_path: Path, dtype: str) -> None:
    folder = llama_folder(tmp_path, hidden=256)
    fp8, plain = fp8_folders(folder, (100, 100), DEEPSEEK | {"weight_block_size": [100, 100]}, dtype="F32")
    assert logits(fp8, dtype=dtype) == logits(plain, dtype=dtype)


def test_threads_and_instruction_sets_do_not_change_what_is_stored(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f32", FAMILIES["granitemoe"])
    fp8, _ = fp8_folders(folder, (24, 40), DEEPSEEK | {"weight_block_size": [24, 40]})
    seen = set()
    with open_folder(str(fp8)) as checkpoint:
        p = plan(checkpoint)
        for isa in kernels.isas():
            for n_threads in (1, 3):
                model = _native.Model.load(
                    p.spec, with_dtype(p.tensors, "q8_0"), checkpoint.paths, n_threads=n_threads, isa=isa
                )
                seen.add(model.fingerprint)
                model.close()
    assert len(seen) == 1


def test_a_summary_tells_what_is_in_the_file(tmp_path: Path) -> None:
    fp8, _ = fp8_folders(llama_folder(tmp_path), (16, 16), DEEPSEEK | {"weight_block_size": [16, 16]})
    with open_folder(str(fp8)) as checkpoint:
        types = {t.type_name: t for t in summary(checkpoint).types}
        assert types["F8_E4M3"].nbytes > types["F8_E4M3"].n_elements
        assert sum(t.nbytes for t in types.values()) < checkpoint.size


def test_the_reference_holds_what_it_is_given(tmp_path: Path) -> None:
    """Products are within a step of FP8 of the floats they were made of."""
    folder = llama_folder(tmp_path)
    before = read_floats(folder)
    _, plain = fp8_folders(folder, (16, 24), DEEPSEEK, dtype="F32")
    after = read_floats(plain)
    for name, values in before.items():
        step = np.abs(values).max() / 448 + np.abs(values) / 16
        assert (np.abs(after[name] - values) <= step).all()
