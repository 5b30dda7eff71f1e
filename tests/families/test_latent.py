"""Attention to latents: against the float64 textbook that makes keys and values of them, transformers, and the bits."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, SamplingParams, errors, kernels
from tests.bits.matrix import Way, check_same_bits
from tests.bits.test_same_bits import NativeMachine, check_model, few_ways, isas_here, sequences
from tests.families import latent
from tests.families.family import ids
from tests.families.latent import CASES, write_file, write_folder
from tests.families.make_decoders import REFERENCE, STEP
from tests.gguf_files import encode

TRANSFORMERS = np.load(REFERENCE)
IN_FILES = [name for name, case in CASES.items() if case.in_file]


@functools.cache
def expected(name: str) -> np.ndarray:
    return latent.logits(CASES[name], ids())


def logits(path: Path, n: int = 300, **options: Any) -> np.ndarray:
    with LLM(path, **({"kv_dtype": "f32"} | options)) as llm:
        return np.asarray(llm([ids(n)])[0])


def off(actual: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(actual - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", CASES)
def test_a_folder_meets_the_textbook_and_transformers(tmp_path: Path, name: str) -> None:
    actual = logits(write_folder(tmp_path / "hf", CASES[name]))
    assert np.std(expected(name)) > 0.05 * np.abs(expected(name)).max()
    # Float32 through four layers, against float64, and against float32 in another order of sums.
    assert off(actual, expected(name)) <= 2e-5
    assert off(actual[::STEP], TRANSFORMERS[name]) <= 1e-4


@pytest.mark.parametrize("name", IN_FILES)
def test_a_file_meets_the_textbook_and_has_the_bits_of_the_folder(tmp_path: Path, name: str) -> None:
    actual = logits(write_file(tmp_path / "m.gguf", CASES[name]))
    assert off(actual, expected(name)) <= 2e-5
    folder = logits(write_folder(tmp_path / "hf", CASES[name]))
    if any("yarn" in key or "attn_factor" in key for key in CASES[name].keys):  # float32 in files
        assert off(actual, folder) <= 1e-5
    else:
        assert actual.tobytes() == folder.tobytes()


@pytest.mark.parametrize("name", ["deepseek-v2-lite", "deepseek-v3", "minicpm3"])
def test_every_way_gives_the_same_bits(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path / "m.gguf", CASES[name], "Q8_0")
    check_model(path, few_ways(isas_here()), (71, 1, 18))


class LongMachine(NativeMachine):
    def new(self, n_ctx: int = 512) -> Any:
        return super().new(n_ctx)


@pytest.mark.parametrize("kv_dtype", ["f32", "f16", "q8"])
def test_with_every_cache_and_past_a_segment(tmp_path: Path, kv_dtype: str) -> None:
    """Sizes that fit nothing, and more heads than are taken together."""
    odd = CASES["deepseek-odd"].hf | {
        "num_attention_heads": 20,
        "rope_interleave": True,
        "attention_bias": False,
    }
    odd |= {"num_hidden_layers": 2, "num_key_value_heads": 20}
    path = write_file(tmp_path / "m.gguf", dataclasses.replace(CASES["deepseek-odd"], hf=odd))
    fast = isas_here()[-1]
    ways = [Way(chunk=chunk, batched=True, n_threads=2, isa=fast) for chunk in (1, 37, None)]
    machine_for = functools.cache(lambda n_threads, isa: LongMachine(path, n_threads, isa, kv_dtype))
    check_same_bits(machine_for, sequences(72, (270, 3)), ways)


@pytest.mark.parametrize(("kind", "rank"), [("Q8_0", 64), ("Q4_K", 256), ("Q6_K", 1280)])
def test_what_makes_keys_becomes_halves_where_blocks_lie_across(tmp_path: Path, kind: str, rank: int) -> None:
    """The file with one quantised tensor has the bits of the one with two, of which the first is F16."""
    import gguf

    case = CASES["deepseek-v2-lite"]
    case = dataclasses.replace(case, hf=case.hf | {"kv_lora_rank": rank, "num_hidden_layers": 1})

    nope, value_dim, n = (
        case.config()[key] for key in ("qk_nope_head_dim", "v_head_dim", "num_attention_heads")
    )
    whole = case.weights()["model.layers.0.self_attn.kv_b_proj.weight"]
    blocks = np.asarray(kernels.quantize(whole, kind.lower())).reshape(n, nope + value_dim, -1)
    heads = gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind])
    k_b = heads[:, :nope].swapaxes(1, 2)

    fused = {"blk.0.attn_kv_b.weight": (blocks.tobytes(), kind, whole.shape[::-1])}
    split = {
        "blk.0.attn_k_b.weight": (encode(k_b, "F16"), "F16", k_b.shape[::-1]),
        "blk.0.attn_v_b.weight": (blocks[:, nope:].tobytes(), kind, heads[:, nope:].shape[::-1]),
    }
    one = write_file(tmp_path / "one.gguf", case, others=fused)
    two = write_file(tmp_path / "two.gguf", dataclasses.replace(case, fused=False), others=split)
    assert logits(one, 20).tobytes() == logits(two, 20).tobytes()


def test_experts_past_the_chosen_groups_are_not_taken(tmp_path: Path) -> None:
    """As many groups as are used: no limit."""
    case = CASES["deepseek-v2"]
    limited = logits(write_folder(tmp_path / "a", case), 90)
    every = logits(write_folder(tmp_path / "b", case, {"topk_group": 4}), 90)
    greedy = logits(write_folder(tmp_path / "c", case, {"topk_method": "greedy"}), 90)
    assert off(every, limited) > 1e-2
    assert every.tobytes() == greedy.tobytes()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("deepseek-v2", {"routed_scaling_factor": 0.5}),
        ("deepseek-v2", {"num_experts_per_tok": 2}),
        ("deepseek-v3", {"norm_topk_prob": False}),
        ("deepseek-v3", {"topk_group": 1, "num_experts_per_tok": 2}),
        ("deepseek-v3", {"rope_interleave": False}),
        ("deepseek-v3", {"rope_parameters": latent.YARN | {"mscale": 1.0, "mscale_all_dim": 0.5}}),
        ("deepseek-v3", {"rope_parameters": latent.YARN}),
        ("minicpm3", {"scale_emb": 3}),
        ("minicpm3", {"scale_depth": 0.5}),
        ("minicpm3", {"scale_depth": None}),
        ("minicpm3", {"dim_model_base": 64}),
    ],
)  # fmt: skip
def test_a_key_that_changes_the_arithmetic_changes_the_logits(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    before = logits(write_folder(tmp_path / "before", CASES[name]), 90)
    after = logits(write_folder(tmp_path / "after", CASES[name], changes), 90)
    assert off(after, before) > 1e-3


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("deepseek-v2", {"norm_topk_prob": True}, "norm_topk_prob is true"),
        ("deepseek-v2", {"topk_method": "noaux_tc"}, "topk_method is 'noaux_tc'"),
        ("deepseek-v2", {"scoring_func": "sigmoid"}, "scoring_func is 'sigmoid'"),
        ("deepseek-v2", {"mlp_bias": True}, "mlp_bias is true"),
        ("deepseek-v2", {"n_group": 3}, "n_group"),
        ("deepseek-v2", {"topk_group": 5}, "topk_group"),
        ("deepseek-v2", {"topk_group": 1}, "num_experts_per_tok"),
        ("deepseek-v3", {"moe_layer_freq": 2}, "moe_layer_freq is 2"),
        ("deepseek-v3", {"num_key_value_heads": 3}, "num_key_value_heads is 3"),
        ("deepseek-v3", {"attention_bias": True}, "asks for blk"),
        ("deepseek-v3", {"kv_lora_rank": 48}, "kv"),
        ("deepseek-v3", {"v_head_dim": 16}, "kv_b_proj"),
        ("deepseek-v3", {"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ("deepseek-v3", {"index_topk": 2}, "index_topk"),
        ("minicpm3", {"mlp_bias": True}, "mlp_bias is true"),
        ("minicpm3", {"scale_emb": -1}, "scale_emb"),
    ],
)  # fmt: skip
def test_what_is_not_applied_is_named(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    folder = write_folder(tmp_path / "hf", CASES[name], changes)
    with pytest.raises((errors.UnsupportedModelError, errors.ModelFormatError), match=message):
        LLM(folder)


def test_layers_that_predict_further_tokens_are_left_out(tmp_path: Path) -> None:
    case = CASES["deepseek-v3"]
    plain = logits(write_folder(tmp_path / "plain", case), 20)
    further = {"model.layers.4.eh_proj.weight": latent.random("eh_proj", 96, 192)}
    folder = write_folder(tmp_path / "hf", case, {"num_nextn_predict_layers": 1}, **further)
    assert logits(folder, 20).tobytes() == plain.tobytes()
    keys = {"block_count": 5, "nextn_predict_layers": 1}
    five = dataclasses.replace(
        case,
        keys=case.keys | keys,
        tensors={"blk.4.nextn.eh_proj.weight": [1.0], "blk.4.attn_norm.weight": [1.0]},
    )
    file = logits(write_file(tmp_path / "five.gguf", five), 20)
    assert file.tobytes() == logits(write_file(tmp_path / "four.gguf", case), 20).tobytes()


@pytest.mark.parametrize("kv_dtype", ["f32", "f16", "q8"])
def test_the_cache_holds_one_latent_and_one_key_a_token(tmp_path: Path, kv_dtype: str) -> None:
    case = CASES["deepseek-v3"]
    path = write_file(tmp_path / "m.gguf", case)
    with LLM(path, kv_dtype=kv_dtype) as llm, llm.session() as session:
        session.append(ids(70), logits="none")
        keys, values = session.keys(1), session.values(1)
        assert keys.shape == (70, 1, 64 + 16)
        assert values.shape == (70, 1, 64)
        assert np.array_equal(keys[..., :64], values)
        a_token = {"f32": 80 * 4, "f16": 80 * 2, "q8": 80 + 2 * 4}[kv_dtype]
        assert session.nbytes == 2 * 64 * 4 * a_token  # two blocks, four layers
        session.save(tmp_path / "s.session")
        with llm.session(tmp_path / "s.session") as again:
            assert np.array_equal(again.keys(3), session.keys(3))
            bits = [np.asarray(s.append([5], logits="last")).tobytes() for s in (again, session)]
            assert bits[0] == bits[1]


def test_a_quantised_folder_stays_near(tmp_path: Path) -> None:
    case = CASES["minicpm3"]
    folder = write_folder(tmp_path / "hf", case)
    plain = logits(folder, 60)
    for dtype, most in (("f16", 1e-3), ("q8_0", 2e-2), ("q4_k", 0.2)):
        assert off(logits(folder, 60, dtype=dtype), plain) < most


def test_a_profile_tells_the_matrices_of_heads_apart(tmp_path: Path) -> None:
    with LLM(write_file(tmp_path / "m.gguf", CASES["deepseek-v3"])) as llm:
        result = llm.generate([ids(5)], SamplingParams(max_tokens=3, ignore_eos=True, profile=True))[0]
    ops = {op.name: op for op in result.timings.decode_ops}
    assert ops["latents"].seconds > 0
    assert ops["latents"].bytes > 0


@pytest.mark.parametrize("name", IN_FILES)
def test_tensors_are_named_as_the_gguf_package_names_them(name: str) -> None:
    import gguf

    arch = next(a for a, text in gguf.MODEL_ARCH_NAMES.items() if text == CASES[name].architecture)
    known = {gguf.TENSOR_NAMES[tensor].format(bid=i) for tensor in gguf.MODEL_TENSORS[arch] for i in range(4)}
    ours = {tensor.rpartition(".")[0] for tensor in latent.gguf(CASES[name])}
    assert ours <= known, ours - known
