"""From metadata and tensor table to a plan: what does not fit is refused by the name of the key or tensor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors
from nextoken.architectures import Plan, plan, supported
from nextoken.checkpoints.gguf import open_gguf
from tests.gguf_files import F64, Typed, tiny_gemma3, tiny_llama
from tests.gguf_pieces import U64

HUGE = 2**32 - 1
NOT_POSITIVE = (0.0, -1.0, math.nan, math.inf, -math.inf, "1.0")
NO_FLOAT = (Typed(F64, 1e300), Typed(F64, 5e-324))
NOT_A_COUNT = (0, -1, 1.0, "2", True, [2, 2], Typed(U64, 2**64 - 1))


def plan_of(path: Path) -> Plan:
    with open_gguf(path) as checkpoint:
        return plan(checkpoint)


def llama_with(tmp_path: Path, **options: Any) -> Plan:
    return plan_of(tiny_llama(tmp_path / "m.gguf", **options))


def refused(tmp_path: Path, family: str, key: str, value: Any) -> None:
    """ModelFormatError with the key in its field and its message."""
    make = tiny_llama if family == "llama" else tiny_gemma3
    path = make(tmp_path / "m.gguf", metadata={f"{family}.{key}": value})
    with pytest.raises(errors.ModelFormatError) as caught:
        plan_of(path)
    assert caught.value.field == f"{family}.{key}"
    assert f"{family}.{key}" in str(caught.value)
    assert caught.value.path == str(path)


LLAMA_COUNTS = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
)


@pytest.mark.parametrize("value", NOT_A_COUNT)
@pytest.mark.parametrize("key", LLAMA_COUNTS)
def test_a_count_that_is_none_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    refused(tmp_path, "llama", key, value)


@pytest.mark.parametrize("value", NOT_A_COUNT)
@pytest.mark.parametrize("key", ["attention.sliding_window", "attention.sliding_window_pattern"])
def test_a_window_that_is_none_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    refused(tmp_path, "gemma3", key, value)


@pytest.mark.parametrize("value", [HUGE, 2**63 - 1])
@pytest.mark.parametrize("key", [key for key in LLAMA_COUNTS if key != "context_length"])
def test_a_huge_count_is_refused(tmp_path: Path, key: str, value: int) -> None:
    refused(tmp_path, "llama", key, value)


def test_a_huge_context_is_no_reason_to_refuse_the_model(tmp_path: Path) -> None:
    assert llama_with(tmp_path, metadata={"llama.context_length": HUGE}).spec.n_ctx == HUGE


@pytest.mark.parametrize("value", NOT_POSITIVE + NO_FLOAT)
@pytest.mark.parametrize("key", ["attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor"])
def test_a_number_that_is_not_positive_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    refused(tmp_path, "llama", key, value)


@pytest.mark.parametrize("value", NOT_POSITIVE)
@pytest.mark.parametrize(
    "key", ["rope.freq_base_swa", "rope.freq_base", "final_logit_softcapping", "attn_logit_softcapping"]
)
def test_a_number_of_gemma_that_is_not_positive_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    refused(tmp_path, "gemma3", key, value)


@pytest.mark.parametrize("value", NO_FLOAT)
@pytest.mark.parametrize("key", ["final_logit_softcapping", "attn_logit_softcapping"])
def test_a_cap_beyond_float_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    refused(tmp_path, "gemma3", key, value)


@pytest.mark.parametrize(("key", "value"), [("rope.freq_base", 0.5), ("rope.scaling.factor", 1e-4)])
def test_a_rotation_too_fast_for_its_sine_is_refused(tmp_path: Path, key: str, value: float) -> None:
    refused(tmp_path, "llama", key, value)


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("llama", "block_count"),
        ("llama", "context_length"),
        ("llama", "embedding_length"),
        ("llama", "feed_forward_length"),
        ("llama", "attention.head_count"),
        ("llama", "attention.layer_norm_rms_epsilon"),
        ("gemma3", "attention.sliding_window"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, family: str, key: str) -> None:
    refused(tmp_path, family, key, None)


@pytest.mark.parametrize("value", [15, 1, 18, HUGE, -2])
def test_rotated_dimensions_are_even_and_within_a_head(tmp_path: Path, value: int) -> None:
    refused(tmp_path, "llama", "rope.dimension_count", value)


def test_heads_share_keys_in_groups_of_one_size(tmp_path: Path) -> None:
    refused(tmp_path, "llama", "attention.head_count_kv", 3)


def test_values_as_long_as_keys(tmp_path: Path) -> None:
    refused(tmp_path, "llama", "attention.value_length", 8)


def test_heads_that_do_not_divide_the_width_need_a_key_length(tmp_path: Path) -> None:
    metadata = {"llama.attention.head_count": 5, "llama.attention.head_count_kv": 5}
    with pytest.raises(errors.ModelFormatError) as caught:
        llama_with(tmp_path, metadata=metadata)
    assert caught.value.field == "llama.attention.key_length"
    metadata |= {"llama.attention.key_length": 16}
    assert llama_with(tmp_path, metadata=metadata).spec.head_dim == 16


def test_no_grouping_without_a_number_of_kv_heads(tmp_path: Path) -> None:
    assert llama_with(tmp_path, metadata={"llama.attention.head_count_kv": None}).spec.n_kv_heads == 4


def test_a_missing_architecture_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        llama_with(tmp_path, metadata={"general.architecture": None})
    assert caught.value.field == "general.architecture"


def test_an_unknown_architecture_lists_the_known_and_is_cut_short(tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedModelError, match=", ".join(supported())) as caught:
        llama_with(tmp_path, metadata={"general.architecture": "x" * 2**20})
    assert len(str(caught.value)) < 2000 + len(str(tmp_path))  # of 2**20


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.expert_shared_count", 1),
        ("llama.attention.sliding_window", 4096),
        ("llama.rope.scaling.type", "longrope"),
        ("llama.rope.scaling.attn_factor", 1.5),
        ("llama.rope.scale_linear", 4.0),
    ],
)
def test_a_hyper_parameter_that_is_not_applied_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(errors.UnsupportedModelError, match=key):
        llama_with(tmp_path, metadata={key: value})


@pytest.mark.parametrize(
    ("metadata", "factor"),
    [
        ({"type": "linear", "factor": 4.0}, 4.0),
        ({"factor": 4.0}, 4.0),
        ({"type": "none", "factor": 4.0}, 1.0),
        ({"type": "linear"}, 1.0),
        ({}, 1.0),
    ],
)
def test_linear_scaling_of_positions(tmp_path: Path, metadata: dict[str, Any], factor: float) -> None:
    keys = {f"llama.rope.scaling.{name}": value for name, value in metadata.items()}
    assert [layer.rope_factor for layer in llama_with(tmp_path, metadata=keys).spec.layers] == [factor] * 2


def test_a_magnitude_of_yarn_stands_for_that_of_its_factor(tmp_path: Path) -> None:
    yarn = {"type": "yarn", "factor": 8.0, "original_context_length": 32}
    keys = {f"llama.rope.scaling.{name}": value for name, value in yarn.items()}
    (layer, _) = llama_with(tmp_path, metadata=keys).spec.layers
    assert (layer.rope_magnitude, layer.rope_log_magnitude) == (1.0, 0.1)
    (layer, _) = llama_with(
        tmp_path, metadata=keys | {"llama.rope.scaling.yarn_attn_factor": 1.25}
    ).spec.layers
    assert (layer.rope_magnitude, layer.rope_log_magnitude) == (1.25, 0.0)


def test_windows_of_gemma_are_local_but_every_sixth(tmp_path: Path) -> None:
    path = tiny_gemma3(tmp_path / "m.gguf", metadata={"gemma3.rope.scaling.factor": 8.0})
    layers = plan_of(path).spec.layers
    assert [layer.window for layer in layers] == [16] * 5 + [0, 16]
    assert [layer.rope_theta for layer in layers] == [1e4] * 5 + [1e6, 1e4]
    assert [layer.rope_factor for layer in layers] == [1.0] * 5 + [8.0, 1.0]


def test_missing_tensors_are_listed(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFormatError, match=r"blk\.1\.ffn_up\.weight") as caught:
        llama_with(tmp_path, tensors={"blk.1.ffn_up.weight": None})
    assert caught.value.field == "blk.1.ffn_up.weight"


def test_ten_missing_tensors_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        llama_with(tmp_path, metadata={"llama.block_count": 4})
    text = str(caught.value)
    assert text.count("blk.") == 10
    assert "18 tensors are missing" in text
    assert "and 8 more" in text


@pytest.mark.parametrize("name", ["token_embd.weight", "output_norm.weight"])
def test_a_missing_tensor_of_no_layer_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        llama_with(tmp_path, tensors={name: None})
    assert caught.value.field == name


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q.scale", "blk.2.attn_q.weight", "blk.0.attn_q_norm.weight", "x"]
)
def test_a_tensor_that_is_not_applied_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.UnsupportedModelError, match=name):
        llama_with(tmp_path, tensors={name: (np.ones(64, "<f4"), "F32", (64,))})


def test_what_is_unknown_is_left_out_where_the_user_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tiny_llama(
        tmp_path / "m.gguf",
        metadata={"llama.expert_gating_func": 2},
        tensors={"blk.0.attn_gate.weight": (np.ones(64, "<f4"), "F32", (64,))},
    )
    with open_gguf(path) as checkpoint:
        with pytest.raises(errors.UnsupportedModelError, match="allow_unused"):
            plan(checkpoint)
        assert "blk.0.attn_gate.weight" not in str(plan(checkpoint, allow_unused=True).tensors)
    assert "expert_gating_func" in caplog.text
    assert "blk.0.attn_gate.weight" in caplog.text
    with pytest.raises(errors.UnsupportedModelError):
        LLM(path)
    plain = tiny_llama(tmp_path / "plain.gguf")
    with LLM(path, allow_unused=True) as llm, LLM(plain) as known:
        assert np.array_equal(llm([[1, 2, 3]]), known([[1, 2, 3]]))
    with pytest.raises(TypeError, match="allow_unused"):
        LLM(path, allow_unused=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "tensors"),
    [
        ({"llama.attention.sliding_window": 16}, {}),
        ({"llama.attn_logit_softcapping": 50.0}, {}),
        ({}, {"output_norm.bias": (np.ones(64, "<f4"), "F32", (64,))}),
    ],
)
def test_what_is_known_to_change_the_answers_is_never_left_out(
    tmp_path: Path, metadata: dict[str, Any], tensors: dict[str, Any]
) -> None:
    path = tiny_llama(tmp_path / "m.gguf", metadata=metadata, tensors=tensors)
    with open_gguf(path) as checkpoint, pytest.raises(errors.UnsupportedModelError, match="changes the"):
        plan(checkpoint, allow_unused=True)


def test_the_head_is_the_embedding_unless_the_file_has_one(tmp_path: Path) -> None:
    assert "lm_head" not in llama_with(tmp_path).tensors
    assert llama_with(tmp_path, tied=False).tensors["lm_head"].name == "output.weight"


def test_an_unknown_architecture_whose_tensors_are_known_says_so(tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedModelError, match="are named like those of gemma3$"):
        plan_of(tiny_gemma3(tmp_path / "m.gguf", metadata={"general.architecture": "gemma-like"}))


def test_q_k_v_in_one_matrix_take_the_place_of_three(tmp_path: Path) -> None:
    one = {"blk.0.attn_qkv.weight": (np.ones(64 * 128, "<f4"), "F32", (64, 128))}
    names = ("attn_q", "attn_k", "attn_v")
    roles = llama_with(tmp_path, tensors=one | {f"blk.0.{name}.weight": None for name in names}).tensors
    assert roles["layers.0.qkv"].name == "blk.0.attn_qkv.weight"
    assert "layers.0.q" not in roles
    assert "layers.1.q" in roles


def test_the_frequencies_of_phi3_follow_the_context(tmp_path: Path) -> None:
    from tests.families.tiny import FAMILIES, write

    path = write(tmp_path / "m.gguf", FAMILIES["phi3-long"])
    with open_gguf(path) as file:
        names = {n: plan(file, n).tensors["rope_factors"].name for n in (None, 128, 129)}
    long, short = "rope_factors_long.weight", "rope_factors_short.weight"
    assert names == {None: long, 128: short, 129: long}


def test_a_router_without_a_number_of_experts_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelFormatError) as caught:
        llama_with(tmp_path, metadata={"llama.expert_count": 8})
    assert caught.value.field == "llama.expert_used_count"
