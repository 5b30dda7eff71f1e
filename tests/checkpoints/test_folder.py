"""Hugging Face folders: the bits of the GGUF file with the same weights, and a name for everything that is refused."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, errors
from nextoken.checkpoints.hf_folder import open_folder
from tests.gguf_files import tiny_llama
from tests.hf_folders import gemma3_folder, llama_folder, write_weights

IDS = [3, 14, 15, 92, 65, 35, 89, 79]


def bits(model: Path, **options: Any) -> bytes:
    with LLM(model, kv_dtype="f32", **options) as llm:
        return np.asarray(llm([IDS])).tobytes()


def edit(folder: Path, file: str = "config.json", **changes: Any) -> Path:
    """Replaces keys of a JSON file; None drops one."""
    path = folder / file
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    return folder


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("write", [llama_folder, gemma3_folder])
def test_a_folder_has_the_bits_of_the_gguf_of_the_same_weights(
    tmp_path: Path, write: Callable[..., Path], dtype: str
) -> None:
    folder = write(tmp_path, dtype)
    assert bits(folder) == bits(tmp_path / "model.gguf")


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 4), (8, 1)])
def test_heads_of_llama_are_paired_one_by_one(tmp_path: Path, heads: int, kv_heads: int) -> None:
    folder = llama_folder(tmp_path, "BF16", n_heads=heads, n_kv_heads=kv_heads, tied=False)
    assert bits(folder) == bits(tmp_path / "model.gguf")


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0", "q4_k", "f16"])
def test_a_folder_is_quantised_on_load_as_a_file_is(tmp_path: Path, dtype: str) -> None:
    folder = llama_folder(tmp_path, "BF16", hidden=256)
    assert bits(folder, dtype=dtype) == bits(tmp_path / "model.gguf", dtype=dtype)


def test_shards_are_one_model(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path, "F16", shards=3)
    assert len(list(folder.glob("*.safetensors"))) == 3
    assert bits(folder) == bits(tmp_path / "model.gguf")


def test_the_text_half_of_a_model_that_sees_is_read(tmp_path: Path) -> None:
    folder = gemma3_folder(tmp_path, "BF16", prefix="language_model.")
    assert bits(folder) == bits(tmp_path / "model.gguf")


def test_text_goes_in_and_comes_out(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    with LLM(folder) as llm, LLM(tmp_path / "model.gguf") as gguf:
        assert llm.name == "hf"
        assert llm.tokenizer.encode("the quick 42 foxes") == gguf.tokenizer.encode("the quick 42 foxes")
        assert (
            llm.generate("the quick", max_tokens=6).token_ids
            == gguf.generate("the quick", max_tokens=6).token_ids
        )
        messages = [{"role": "user", "content": "hi <|im_end|> there"}]
        assert llm.tokenizer.encode_chat(messages) == gguf.tokenizer.encode_chat(messages)
        assert llm.tokenizer.eos_ids == gguf.tokenizer.eos_ids


def test_links_are_followed_as_the_hub_cache_has_them(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    (tmp_path / "blobs").mkdir()
    for file in list(folder.iterdir()):
        file.rename(tmp_path / "blobs" / file.name)
        file.symlink_to(Path("..") / "blobs" / file.name)
    assert bits(folder) == bits(tmp_path / "model.gguf")


# --- config.json ---


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"hidden_size": None}, errors.ModelFormatError, "hidden_size is missing"),
        ({"hidden_size": "64"}, errors.ModelFormatError, "hidden_size is '64', an integer was expected"),
        ({"hidden_size": True}, errors.ModelFormatError, "hidden_size is true, an integer was expected"),
        ({"num_hidden_layers": 2**63}, errors.ModelFormatError, "num_hidden_layers is 9223372036854775808"),
        ({"num_hidden_layers": 0}, errors.ModelFormatError, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 3}, errors.ModelFormatError, r"blk\.2\."),
        ({"num_attention_heads": 0}, errors.ModelFormatError, "num_attention_heads is 0"),
        ({"num_attention_heads": -4}, errors.ModelFormatError, "num_attention_heads is -4"),
        ({"num_key_value_heads": 3}, errors.ModelFormatError, "num_key_value_heads"),
        ({"vocab_size": 7}, errors.ModelFormatError, r"vocab_size is 7, the embedding has \d+ rows"),
        ({"rms_norm_eps": 0}, errors.ModelFormatError, "rms_norm_eps"),
        ({"rms_norm_eps": "tiny"}, errors.ModelFormatError, "rms_norm_eps is 'tiny'"),
        ({"intermediate_size": 64}, errors.ModelFormatError, "mlp.gate_proj.weight' is 64 x 96"),
        ({"head_dim": 15}, errors.ModelFormatError, "head_dim|rope.dimension_count|n_rot"),
        ({"tie_word_embeddings": False}, errors.ModelFormatError, "tie_word_embeddings is false.*lm_head"),
        ({"model_type": "mamba"}, errors.UnsupportedModelError, "model_type 'mamba' .* gemma3"),
        ({"hidden_act": "mish"}, errors.UnsupportedModelError, "hidden_act is 'mish', .* 'silu'"),
        ({"attention_bias": True}, errors.ModelFormatError, r"asks for blk\.0\.attn_q\.bias"),
        ({"mlp_bias": True}, errors.ModelFormatError, r"asks for blk\.0\.ffn_gate\.bias"),
        ({"clip_qkv": 8.0}, errors.UnsupportedModelError, "'clip_qkv' is not applied"),
        ({"partial_rotary_factor": 0.5}, errors.UnsupportedModelError, "partial_rotary_factor is 0.5"),
        (
            {"rope_scaling": {"type": "proportional", "factor": 2}},
            errors.UnsupportedModelError,
            "rope_type 'proportional'",
        ),
        ({"rope_scaling": {"type": "linear"}}, errors.ModelFormatError, "rope_scaling.factor is missing"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}},
            errors.UnsupportedModelError,
            "rope_scaling.'beta' is not applied",
        ),
        (
            {"quantization_config": {"quant_method": "awq"}},
            errors.UnsupportedModelError,
            "quantization_config",
        ),
    ],
)
def test_a_key_that_can_not_be_applied_is_named(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    folder = edit(llama_folder(tmp_path), **changes)
    with pytest.raises(error, match=message):
        LLM(folder)


def test_keys_that_change_the_arithmetic_change_the_answers(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    seen = {bits(folder)}
    for changes in (
        {"rope_theta": 500.0},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {"rms_norm_eps": 0.5},
        {
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ):
        edit(folder, **{"rope_scaling": None, "rope_theta": 10000.0, "rms_norm_eps": 1e-5} | changes)
        seen.add(bits(folder))
    assert len(seen) == 5


def test_rope_parameters_say_what_rope_theta_and_rope_scaling_say(tmp_path: Path) -> None:
    folder = edit(llama_folder(tmp_path), rope_theta=700.0, rope_scaling={"type": "linear", "factor": 4.0})
    before = bits(folder)
    edit(
        folder,
        rope_theta=None,
        rope_scaling=None,
        rope_parameters={"rope_theta": 700.0, "rope_type": "linear", "factor": 4.0},
    )
    assert bits(folder) == before


def test_llama3_scaling_has_the_divisors_of_gguf(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    folder = llama_folder(tmp_path, config={"rope_scaling": scaling, "rope_theta": 500000.0})
    # The reference is Llama's own code in float64: apply_scaling of llama-models, model.py.
    wave = 2 * np.pi * 500000.0 ** (np.arange(0, 16, 2) / 16)
    smooth = (64 / wave - 1) / (4 - 1)
    divisors = np.where(wave < 64 / 4, 1.0, np.where(wave > 64 / 1, 8.0, 1 / ((1 - smooth) / 8 + smooth)))
    values = open_folder(str(folder)).tensors["rope_freqs.weight"].values
    np.testing.assert_allclose(values, divisors, rtol=1e-12)
    tiny_llama(
        tmp_path / "model.gguf",
        metadata={"llama.rope.freq_base": 500000.0},
        tensors={"rope_freqs.weight": (divisors.astype("<f4"), "F32", (8,))},
    )
    assert bits(folder) == bits(tmp_path / "model.gguf")


def test_the_pattern_of_full_layers_may_be_a_number_or_a_list(tmp_path: Path) -> None:
    folder = gemma3_folder(tmp_path, sliding_window=4)
    before = bits(folder)
    types = ["full_attention" if i == 5 else "sliding_attention" for i in range(7)]
    edit(folder, sliding_window_pattern=None, layer_types=types)
    assert bits(folder) == before
    edit(
        folder, layer_types=["full_attention" if i == 2 or i == 5 else "sliding_attention" for i in range(7)]
    )
    assert bits(folder) != before
    edit(folder, layer_types=[*types[:-1], "full_attention"])
    assert len(open_folder(str(folder)).translation.layers) == 7
    with pytest.raises(errors.ModelFormatError, match="layer_types has 6 entries for 7 layers"):
        LLM(edit(folder, layer_types=types[1:]))
    with pytest.raises(errors.UnsupportedModelError, match="layer_types has 'chunked_attention'"):
        LLM(edit(folder, layer_types=["chunked_attention", *types[1:]]))


def test_scales_and_caps_of_gemma3_are_read(tmp_path: Path) -> None:
    folder = gemma3_folder(tmp_path)
    before = bits(folder)
    assert bits(edit(folder, query_pre_attn_scalar=7)) != before
    assert bits(edit(folder, query_pre_attn_scalar=32, final_logit_softcapping=0.5)) != before
    with pytest.raises(errors.UnsupportedModelError, match="attn_logit_softcapping is 2.0"):
        LLM(edit(folder, attn_logit_softcapping=2.0))


def test_a_window_of_mistral_is_applied(tmp_path: Path) -> None:
    folder = edit(llama_folder(tmp_path), model_type="mistral", sliding_window=256)
    assert bits(folder) == bits(tmp_path / "model.gguf")
    assert bits(edit(folder, sliding_window=len(IDS))) == bits(tmp_path / "model.gguf")
    assert bits(edit(folder, sliding_window=len(IDS) - 1)) != bits(tmp_path / "model.gguf")
    with pytest.raises(errors.ModelFormatError, match="sliding_window is 0"):
        LLM(edit(folder, sliding_window=0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("[]", "is a JSON list, an object was expected"),
        ('{"a": 1, "a": 2}', "has the key 'a' twice"),
        ('{"a": NaN}', "has NaN"),
        ("[" * 100_000, "nested too deeply|is no JSON"),
        ('{"a": "\udc80"}', "is not UTF-8"),
    ],
)
def test_a_config_that_is_no_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    folder = llama_folder(tmp_path)
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(errors.ModelFormatError, match=message) as caught:
        LLM(folder)
    assert caught.value.path == str(folder / "config.json")


# --- files ---


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(errors.UnsupportedModelError, match="pytorch_model.bin, a pickle"):
        LLM(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match="no model.safetensors"):
        LLM(folder)


@pytest.mark.parametrize(
    "name", ["../model.gguf", "/etc/passwd", "a/b.safetensors", "..safetensors", "x\0.safetensors", 3]
)
def test_an_index_leads_to_no_file_outside_the_folder(tmp_path: Path, name: Any) -> None:
    folder = llama_folder(tmp_path, shards=2)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["model.norm.weight"] = name
    path.write_text(json.dumps(index))
    with pytest.raises(errors.ModelFormatError, match="no file of the folder") as caught:
        LLM(folder)
    assert caught.value.field == "weight_map"


def test_an_index_that_its_files_do_not_bear_out_is_refused(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path, shards=2)
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"]["model.norm.weight"]
    path.write_text(json.dumps(index))
    with pytest.raises(errors.ModelFormatError, match="disagree on where 'model.norm.weight' is"):
        LLM(folder)


def test_a_tensor_that_is_too_many_or_missing_is_named(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    tensors = {name: np.ones((2, 2), np.float32) for name in ("model.layers.0.self_attn.q_norm.weight",)}
    write_weights(folder, tensors)
    with pytest.raises(errors.UnsupportedModelError, match=r"model\.layers\.0\.self_attn\.q_norm\.weight"):
        LLM(folder)
    write_weights(folder, {"model.norm.weight": np.ones(64, np.float32)})
    with pytest.raises(errors.ModelFormatError, match="missing"):
        LLM(folder)


def test_a_failed_load_leaves_nothing_open(tmp_path: Path) -> None:
    folder = edit(llama_folder(tmp_path, shards=2), intermediate_size=64)
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        with pytest.raises(errors.ModelFormatError):
            LLM(folder)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_folder_without_a_tokenizer_takes_ids(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path)
    before = bits(folder)
    (folder / "tokenizer.json").unlink()
    assert bits(folder) == before
    with LLM(folder) as llm, pytest.raises(errors.TokenizerError, match="no tokenizer.json"):
        llm.generate("hello")
