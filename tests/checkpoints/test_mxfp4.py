"""gpt-oss as it is published: experts in MXFP4, whose codes and scales are kept, and the bits of the GGUF file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextoken import LLM, _native, errors, kernels
from nextoken.architectures import plan
from nextoken.checkpoints.gguf import open_gguf
from nextoken.checkpoints.hf_folder import open_folder
from nextoken.checkpoints.hf_translation import translate
from tests.families.family import ids
from tests.families.folders import write_folder
from tests.families.tiny import FAMILIES, gguf_tensors, write
from tests.gguf_pieces import Tensor
from tests.hf_folders import Typed, write_weights
from tests.quantised_folders import (
    GPT_OSS,
    Codes,
    dequantised,
    floats,
    is_expert,
    random_experts,
    read_floats,
    rewrite,
)

FAMILY = FAMILIES["gpt-oss"]
GATE_UP, DOWN = (f"model.layers.1.mlp.experts.{name}_proj" for name in ("gate_up", "down"))


def to_gguf(blocks: Codes, scales: Codes) -> bytes:
    """Rows in blocks of 17 bytes: the exponent, and bytes that hold elements i and i + 16."""
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*scales.shape, 32)
    halves = codes[..., :16] | codes[..., 16:] << 4
    return np.concatenate([scales[..., None], halves], axis=-1).astype(np.uint8).tobytes()


def published(folder: Path, seed: int = 0) -> tuple[Path, dict[str, tuple[Codes, Codes]]]:
    """The tiny gpt-oss with its experts in MXFP4, and these."""
    write_folder(folder, FAMILY)
    experts, tensors = {}, dict[str, Any]()
    for i, (name, values) in enumerate(read_floats(folder).items()):
        if is_expert(name):  # column by column where it is float
            experts[name] = random_experts((len(values), values.shape[2], values.shape[1]), seed + i)
            tensors[name + "_blocks"], tensors[name + "_scales"] = experts[name]
        else:
            tensors[name] = values
    write_weights(folder, tensors)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"quantization_config": GPT_OSS, "torch_dtype": "bfloat16"})
    )
    return folder, experts


def gguf_file(path: Path, experts: dict[str, tuple[Codes, Codes]]) -> Path:
    """The file of the same model, experts as the gguf package has MXFP4."""
    others: dict[str, Tensor] = {}
    for name, (blocks, scales) in experts.items():
        p = f"blk.{name.split('.')[2]}.ffn_"
        parts = (
            {"gate": slice(0, None, 2), "up": slice(1, None, 2)} if "gate" in name else {"down": slice(None)}
        )
        for part, rows in parts.items():
            b, s = blocks[:, rows], scales[:, rows]
            others[f"{p}{part}_exps.weight"] = (to_gguf(b, s), "MXFP4", (s.shape[2] * 32, s.shape[1], len(s)))
    assert others.keys() <= gguf_tensors(FAMILY).keys()
    return write(path, FAMILY, others=others)


def logits(path: Path, **options: Any) -> npt.NDArray[np.float32]:
    with LLM(path, kv_dtype="f32", **options) as llm:
        return np.asarray(llm([ids(100)])[0])


# --- numbers ---


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_blocks_of_a_folder_are_blocks_of_gguf_in_another_order(rows: int, blocks: int, seed: int) -> None:
    """The definition on this side, the gguf package and ours on the other."""
    import gguf

    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (rows, blocks, 16), np.uint8)
    scales = rng.integers(0, 253, (rows, blocks)).astype(np.uint8)  # above it some products are too large
    data = np.frombuffer(to_gguf(codes, scales), np.uint8)
    theirs = gguf.quants.dequantize(data, gguf.GGMLQuantizationType.MXFP4)
    ours = kernels.dequantize(data, "mxfp4")
    np.testing.assert_array_equal(theirs, floats(codes, scales).reshape(-1))
    np.testing.assert_array_equal(ours, floats(codes, scales).reshape(-1))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_published_folder_has_the_bits_of_the_gguf_file(tmp_path: Path, seed: int) -> None:
    folder, experts = published(tmp_path / "hf", seed)
    file = gguf_file(tmp_path / "m.gguf", experts)
    assert logits(folder).tobytes() == logits(file).tobytes()
    with LLM(folder) as llm, LLM(file) as of_file:
        assert llm.nbytes == of_file.nbytes


def test_every_byte_of_every_expert_is_read_into_its_place(tmp_path: Path) -> None:
    """The fingerprint is of the blocks that were read: the same as of the file, whose order they take."""
    folder, experts = published(tmp_path / "hf")
    file = gguf_file(tmp_path / "m.gguf", experts)
    with open_folder(str(folder)) as checkpoint, open_gguf(file) as of_file:
        p, theirs = plan(checkpoint), plan(of_file).tensors
        kinds = {role: tensor.type_name for role, tensor in p.tensors.items() if "expert" in role}
        assert {kind for role, kind in kinds.items() if not role.endswith("bias")} == {"MXFP4"}
        prints = []
        for tensors, paths in ((p.tensors, checkpoint.paths), (theirs, [str(file)])):
            model = _native.Model.load(p.spec, tensors, paths, n_threads=2)
            prints.append(model.fingerprint)
            model.close()
    assert prints[0] == prints[1]


def test_logits_are_near_those_of_the_float_model(tmp_path: Path) -> None:
    """Products of MXFP4 take activations in eight bits."""
    folder, experts = published(tmp_path / "hf")
    exact = logits(dequantised(folder, experts))
    off = logits(folder) - exact
    assert 0 < np.sqrt((off**2).mean()) < 0.03 * np.sqrt((exact**2).mean())


def test_the_published_config_is_read() -> None:
    """config.json of openai/gpt-oss-20b."""
    config = {
        "architectures": ["GptOssForCausalLM"],
        "attention_bias": True,
        "attention_dropout": 0.0,
        "eos_token_id": 200002,
        "experts_per_token": 4,
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 2880,
        "initial_context_length": 4096,
        "initializer_range": 0.02,
        "intermediate_size": 2880,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
        "max_position_embeddings": 131072,
        "model_type": "gpt_oss",
        "num_attention_heads": 64,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 24,
        "num_key_value_heads": 8,
        "num_local_experts": 32,
        "output_router_logits": False,
        "pad_token_id": 199999,
        "quantization_config": GPT_OSS,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "factor": 32.0,
            "original_max_position_embeddings": 4096,
            "rope_type": "yarn",
            "truncate": False,
        },
        "rope_theta": 150000,
        "router_aux_loss_coef": 0.9,
        "sliding_window": 128,
        "swiglu_limit": 7.0,
        "tie_word_embeddings": False,
        "transformers_version": "4.55.0.dev0",
        "use_cache": True,
        "vocab_size": 201088,
    }
    t = translate(config, "config.json")
    assert t.architecture == "gpt-oss"
    assert t.quantization.method == "mxfp4"


# --- what is refused ---


def test_a_folder_that_is_quantised_is_not_quantised_again(tmp_path: Path) -> None:
    folder, _ = published(tmp_path / "hf")
    with pytest.raises(
        ValueError, match=r"dtype='q8_0' .*experts\.gate_up_proj_blocks' is quantised already, as MXFP4"
    ):
        LLM(folder, dtype="q8_0")


def no_scales(t: dict[str, Any]) -> None:
    del t[DOWN + "_scales"]


def no_blocks(t: dict[str, Any]) -> None:
    del t[DOWN + "_blocks"]


def whole_bytes(t: dict[str, Any]) -> None:
    t[DOWN + "_blocks"] = np.zeros((5, 96, 5, 32), np.uint8)


def flat_blocks(t: dict[str, Any]) -> None:
    t[DOWN + "_blocks"] = t[DOWN + "_blocks"].reshape(5, 96, 80)


def float_blocks(t: dict[str, Any]) -> None:
    t[DOWN + "_blocks"] = t[DOWN + "_blocks"].astype(np.float32)


def float_scales(t: dict[str, Any]) -> None:
    t[DOWN + "_scales"] = t[DOWN + "_scales"].astype(np.float32)


def fewer_scales(t: dict[str, Any]) -> None:
    t[DOWN + "_scales"] = t[DOWN + "_scales"][..., :-1]


def fewer_experts(t: dict[str, Any]) -> None:
    for end in ("_blocks", "_scales"):
        t[DOWN + end] = t[DOWN + end][:-1]


def nothing(t: dict[str, Any]) -> None:
    for end in ("_blocks", "_scales"):
        t[DOWN + end] = t[DOWN + end][:, :0]


def odd_rows(t: dict[str, Any]) -> None:
    for end in ("_blocks", "_scales"):
        t[GATE_UP + end] = t[GATE_UP + end][:, :-1]


def eight_bits(t: dict[str, Any]) -> None:
    t["model.layers.0.self_attn.q_proj.weight"] = Typed.of(np.zeros((192, 96)), "F8_E4M3")


FORMAT, UNSUPPORTED = errors.ModelFormatError, errors.UnsupportedModelError


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (no_scales, FORMAT, rf"{DOWN}_blocks' is U8, and its scales, {DOWN}_scales, are missing"),
        (no_blocks, UNSUPPORTED, rf"{DOWN}_scales' is no known part"),
        (whole_bytes, FORMAT, rf"{DOWN}_blocks' is U8 of \[5, 96, 5, 32\] .* blocks of 16 bytes"),
        (flat_blocks, FORMAT, rf"{DOWN}_blocks' is U8 of \[5, 96, 80\]"),
        (float_blocks, FORMAT, rf"{DOWN}_blocks' is F32 of"),
        (float_scales, FORMAT, rf"{DOWN}_blocks' .* under scales of F32, \[5, 96, 5\]"),
        (fewer_scales, FORMAT, rf"{DOWN}_blocks' .* under scales of U8, \[5, 96, 4\]"),
        (
            fewer_experts,
            FORMAT,
            rf"{DOWN}_blocks' is 160 x 96 x 4, the hyper-parameters ask for 160 x 96 x 5",
        ),
        (nothing, FORMAT, rf"{DOWN}_blocks' .* holds nothing"),
        (odd_rows, FORMAT, rf"{GATE_UP}_blocks' is .*, matrices of experts were expected"),
        (eight_bits, UNSUPPORTED, r"q_proj\.weight' is F8_E4M3"),
    ],
    ids=lambda value: value.__name__ if callable(value) and not isinstance(value, type) else "",
)
def test_experts_that_do_not_fit_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], error: type[Exception], message: str
) -> None:
    folder, _ = published(tmp_path / "hf")
    with pytest.raises(error, match=message):
        LLM(rewrite(folder, change))


def test_a_scale_that_is_no_number_names_the_tensor(tmp_path: Path) -> None:
    folder, _ = published(tmp_path / "hf")

    def spoil(t: dict[str, Any]) -> None:
        t[GATE_UP + "_scales"][2, 33, 1] = 255

    rewrite(folder, spoil)
    with pytest.raises(errors.NumericalError, match=rf"{GATE_UP}_blocks', between rows .* not finite"):
        LLM(folder)


def test_blocks_without_the_method_are_no_experts(tmp_path: Path) -> None:
    folder, _ = published(tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UNSUPPORTED, match=r"_blocks' is U8"):
        LLM(folder)
