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
from tests.families.folders import write_folder
from tests.families.tiny import FAMILIES, Family, ids
from tests.hf_folders import Typed, llama_folder
from tests.quantised_folders import TABLES, fp8_folders, read_floats, rewrite

DEEPSEEK: dict[str, Any] = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "weight_block_size": [128, 128],
}
FLOAT8 = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False}
GATE = "model.layers.0.mlp.gate_proj.weight"


def compressed(strategy: str, **weights: Any) -> dict[str, Any]:
    """As llm-compressor writes it."""
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "global_compression_ratio": 1.23,
        "ignore": ["lm_head", "re:.*mlp.gate$"],
        "kv_cache_scheme": None,
        "sparsity_config": {},
        "transform_config": {},
        "version": "0.11.0",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "format": None,
                "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True},
                "output_activations": None,
                "weights": FLOAT8
                | {"strategy": strategy, "observer": "minmax", "observer_kwargs": {}, "group_size": None}
                | weights,
            }
        },
    }


MODELOPT: dict[str, Any] = {
    "quant_method": "modelopt",
    "quant_algo": "FP8",
    "producer": {"name": "modelopt", "version": "0.29.0"},
    "ignore": ["lm_head"],
    "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"},
    "config_groups": {
        "group_0": {
            "input_activations": {"dynamic": False, "num_bits": 8, "type": "float"},
            "weights": {"dynamic": False, "num_bits": 8, "type": "float"},
            "targets": ["Linear"],
        }
    },
}


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
    _change(fp8, scale_fmt=None)
    refused(fp8, errors.UnsupportedModelError, "the scales of .*, are U8")


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


# --- quantization_config ---


def _change(folder: Path, **changes: Any) -> Path:
    """Keys of quantization_config; those with dots lead into it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        *way, last = key.split("__")
        part = config["quantization_config"]
        for name in way:
            part = part[name]
        part[last] = value
    path.write_text(json.dumps(config))
    return folder


def refused(folder: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LLM(folder)


PUBLISHED: dict[str, tuple[dict[str, Any], tuple[int, int] | None, str]] = {
    "DeepSeek V3": (DEEPSEEK, (128, 128), "_scale_inv"),
    "DeepSeek V3.1": (DEEPSEEK | {"scale_fmt": "ue8m0"}, (128, 128), "_scale_inv"),
    "Qwen 3": (DEEPSEEK | {"modules_to_not_convert": ["lm_head"]}, (128, 128), "_scale_inv"),
    "MiniMax": (DEEPSEEK | {"ignored_layers": ["lm_head"]}, (128, 128), "_scale_inv"),
    "Mistral": (
        {
            "quant_method": "fp8",
            "activation_scheme": "static",
            "weight_block_size": None,
            "dequantize": False,
        },
        None,
        "_scale_inv",
    ),
    "AutoFP8": (
        {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]},
        None,
        "_scale",
    ),
    "a tensor": (compressed("tensor"), None, "_scale"),
    "rows": (compressed("channel"), (1, 10**6), "_scale"),
    "blocks": (compressed("block", block_structure=[128, 128]), (128, 128), "_scale"),
    "groups": (compressed("group", group_size=32), (1, 32), "_scale"),
    "modelopt": (MODELOPT, None, "_scale"),
    "modelopt, rows": (
        {"quant_method": "modelopt", "quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"},
        (1, 10**6),
        "_scale",
    ),
    "modelopt, blocks": ({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}, (128, 128), "_scale"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_configurations_as_they_are_published_load(tmp_path: Path, name: str) -> None:
    config, block, ending = PUBLISHED[name]
    folder = write_folder(tmp_path / "f32", FAMILIES["qwen3"])
    fp8, plain = fp8_folders(folder, block, config, ending=ending)
    assert logits(fp8) == logits(plain)


def test_scales_of_activations_and_caches_change_nothing(tmp_path: Path) -> None:
    fp8, plain = fp8_folders(
        write_folder(tmp_path / "f32", FAMILIES["qwen3"]), None, MODELOPT, ending="_scale"
    )

    def add(tensors: dict[str, Any]) -> None:
        for i in range(4):
            for name in ("q_proj.input_scale", "k_proj.k_scale", "v_proj.v_scale", "q_proj.activation_scale"):
                tensors[f"model.layers.{i}.self_attn.{name}"] = np.array(7.0, np.float32)

    assert logits(rewrite(fp8, add)) == logits(plain)
    rewrite(plain, add)
    refused(plain, errors.UnsupportedModelError, r"q_proj\.input_scale' is no known part")


def test_modelopt_may_say_it_in_a_file_of_its_own(tmp_path: Path) -> None:
    fp8, plain = fp8_folders(
        write_folder(tmp_path / "f32", FAMILIES["qwen3"]), None, MODELOPT, ending="_scale"
    )
    config = json.loads((fp8 / "config.json").read_text())
    del config["quantization_config"]
    (fp8 / "config.json").write_text(json.dumps(config))
    refused(fp8, errors.UnsupportedModelError, r"weight' is F8_E4M3; .* as quantization_config says")
    beside = fp8 / "hf_quant_config.json"
    said = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    beside.write_text(json.dumps({"producer": {"name": "modelopt"}, "quantization": said}))
    assert logits(fp8) == logits(plain)
    beside.write_text(json.dumps({"quantization": said | {"quant_algo": "W4A8_AWQ"}}))
    refused(
        fp8, errors.UnsupportedModelError, r"hf_quant_config\.json: quantization\.quant_algo is 'W4A8_AWQ'"
    )
    beside.write_text("{")
    refused(fp8, errors.ModelFormatError, r"hf_quant_config\.json: .* no JSON")


WEIGHTS = "config_groups__group_0__weights"
UNSUPPORTED, FORMAT = errors.UnsupportedModelError, errors.ModelFormatError


@pytest.mark.parametrize(
    ("config", "changes", "error", "message"),
    [
        (DEEPSEEK, {"quant_method": "awq"}, UNSUPPORTED, r"quantization_config\.quant_method is 'awq'"),
        (DEEPSEEK, {"quant_method": None}, UNSUPPORTED, r"quantization_config\.quant_method is null"),
        (DEEPSEEK, {"quant_method": ["fp8"]}, UNSUPPORTED, r"quant_method is \['fp8'\]"),
        (DEEPSEEK, {"fmt": "e3m4"}, UNSUPPORTED, r"quantization_config\.fmt is 'e3m4'"),
        (DEEPSEEK, {"expert_dtype": "fp4"}, UNSUPPORTED, r"expert_dtype is 'fp4'"),
        (DEEPSEEK, {"scale_fmt": "log"}, UNSUPPORTED, r"scale_fmt is 'log'"),
        (DEEPSEEK, {"rotation": "hadamard"}, UNSUPPORTED, r"quantization_config\.'rotation' is not applied"),
        (DEEPSEEK, {"weight_block_size": [128]}, FORMAT, r"weight_block_size has 1 sizes"),
        (DEEPSEEK, {"weight_block_size": [0, 128]}, FORMAT, r"weight_block_size has the size 0"),
        (DEEPSEEK, {"weight_block_size": [128, 2**31]}, FORMAT, r"weight_block_size has the size 2147483648"),
        (DEEPSEEK, {"weight_block_size": [128.0, 1]}, FORMAT, r"weight_block_size has the size 128\.0"),
        (DEEPSEEK, {"weight_block_size": "128"}, FORMAT, r"weight_block_size is '128', a list"),
        (compressed("channel"), {"format": "pack-quantized"}, UNSUPPORTED, r"format is 'pack-quantized'"),
        (compressed("channel"), {"quantization_status": "initialized"}, UNSUPPORTED, "quantization_status"),
        (compressed("channel"), {"transform_config": {"a": {}}}, UNSUPPORTED, r"transform_config\.'a'"),
        (compressed("channel"), {"sparsity_config": {"format": "sparse-24"}}, UNSUPPORTED, "sparsity_config"),
        (compressed("channel"), {"config_groups": None}, FORMAT, r"is \[\]|asks for"),
        (compressed("channel"), {"config_groups": 3}, FORMAT, r"config_groups is 3, an object"),
        (compressed("channel"), {f"{WEIGHTS}__num_bits": 4}, UNSUPPORTED, r"group_0\.weights\.num_bits is 4"),
        (compressed("channel"), {f"{WEIGHTS}__type": "int"}, UNSUPPORTED, r"weights\.type is 'int'"),
        (compressed("channel"), {f"{WEIGHTS}__symmetric": False}, UNSUPPORTED, r"symmetric is false"),
        (compressed("channel"), {f"{WEIGHTS}__strategy": "tensor_group"}, UNSUPPORTED, r"strategy is 'tensor_g"),
        (compressed("channel"), {f"{WEIGHTS}__actorder": "group"}, UNSUPPORTED, r"actorder is 'group'"),
        (compressed("channel"), {f"{WEIGHTS}__group_size": 64}, UNSUPPORTED, r"group_size is 64"),
        (compressed("channel"), {f"{WEIGHTS}__strategy": "block"}, FORMAT, r"block_structure is missing"),
        (compressed("channel"), {f"{WEIGHTS}__strategy": "group"}, FORMAT, r"group_size is missing"),
        (MODELOPT, {"quant_algo": "NVFP4"}, UNSUPPORTED, r"quant_algo is 'NVFP4'"),
        (DEEPSEEK, {"quant_method": "mxfp4"}, UNSUPPORTED, r"'fmt' is not applied"),
    ],
)  # fmt: skip
def test_what_a_configuration_says_and_is_not_applied_is_named(
    tmp_path: Path, config: dict[str, Any], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    block, ending = ((128, 128), "_scale_inv") if config is DEEPSEEK else ((1, 10**6), "_scale")
    fp8, _ = fp8_folders(write_folder(tmp_path / "f32", family_of(32, 24, 2)), block, config, ending=ending)
    refused(_change(fp8, **json.loads(json.dumps(changes))), error, message)


def test_two_sizes_of_blocks_are_refused(tmp_path: Path) -> None:
    config = compressed("block", block_structure=[16, 16])
    other = compressed("block", block_structure=[32, 32])["config_groups"]["group_0"]
    config["config_groups"]["group_1"] = other
    fp8, _ = fp8_folders(llama_folder(tmp_path), (16, 16), config, ending="_scale")
    refused(fp8, errors.ModelFormatError, "config_groups has blocks of 2 sizes")


def test_a_type_of_the_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    fp8, _ = fp8_folders(llama_folder(tmp_path), (128, 128), DEEPSEEK)
    config = json.loads((fp8 / "config.json").read_text())
    (fp8 / "config.json").write_text(json.dumps(config | {"torch_dtype": "float8_e4m3fn"}))
    refused(fp8, errors.UnsupportedModelError, "torch_dtype is 'float8_e4m3fn'")


# --- tensors ---


def nan_code(t: dict[str, Any]) -> None:
    t[GATE].reshape(-1)[40] = 0x7F


def minus_nan_code(t: dict[str, Any]) -> None:
    t[GATE].reshape(-1)[-1] = 0xFF


def nan_scale(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"][-1, -1] = np.nan


def infinite_scale(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"][0, 0] = np.inf


def huge_scale(t: dict[str, Any]) -> None:
    t[GATE].reshape(-1)[0] = 0x7E  # 448
    t[GATE + "_scale_inv"][0, 0] = 3e38


def nan_exponent(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = Typed.of(np.full(t[GATE + "_scale_inv"].shape, 255), "F8_E8M0")


def infinite_code(t: dict[str, Any]) -> None:
    t[GATE] = Typed.of(np.full(t[GATE].shape, 0x7C), "F8_E5M2")


@pytest.mark.parametrize(
    "change",
    [nan_code, minus_nan_code, nan_scale, infinite_scale, huge_scale, nan_exponent, infinite_code],
    ids=lambda f: f.__name__,
)
def test_numbers_that_are_none_name_the_tensor(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    folder = llama_folder(tmp_path)
    fp8, _ = fp8_folders(folder, (16, 24), DEEPSEEK | {"weight_block_size": [16, 24]})
    rewrite(fp8, change)
    for options in ({}, {"check": False}, {"dtype": "q8_0"}, {"dtype": "f32"}):
        with pytest.raises(errors.NumericalError, match=rf"{GATE}', between rows .* not finite"):
            LLM(fp8, **options)


def no_scale(t: dict[str, Any]) -> None:
    del t[GATE + "_scale_inv"]


def two_scales(t: dict[str, Any]) -> None:
    t[GATE + "_scale"] = t[GATE + "_scale_inv"]


def flat_scales(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = t[GATE + "_scale_inv"].reshape(-1)


def short_scales(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = t[GATE + "_scale_inv"][:-1]


def turned_scales(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = np.ascontiguousarray(t[GATE + "_scale_inv"].T)


def deep_scales(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = t[GATE + "_scale_inv"][None]


def no_scales_at_all(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = np.zeros((0, 3), np.float32)


def no_rows(t: dict[str, Any]) -> None:
    t[GATE] = Typed.of(t[GATE][:0], "F8_E4M3")


def whole_numbers(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = np.ones(t[GATE + "_scale_inv"].shape, np.int32)


def quantised_scales(t: dict[str, Any]) -> None:
    t[GATE + "_scale_inv"] = Typed.of(np.ones(t[GATE + "_scale_inv"].shape), "F8_E4M3")


def a_vector(t: dict[str, Any]) -> None:
    t["model.norm.weight"] = Typed.of(np.full(64, 0x38), "F8_E4M3")
    t["model.norm.weight_scale_inv"] = np.ones((1, 1), np.float32)


def a_cube(t: dict[str, Any]) -> None:
    t[GATE] = Typed.of(np.asarray(t[GATE])[None, None], "F8_E4M3")


def scales_of_a_float(t: dict[str, Any]) -> None:
    t[GATE] = np.ones(t[GATE].shape, np.float32)


def more_rows(t: dict[str, Any]) -> None:
    t[GATE] = Typed.of(np.zeros((112, 64)), "F8_E4M3")
    t[GATE + "_scale_inv"] = np.ones((7, 3), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (no_scale, FORMAT, f"{GATE}' is F8_E4M3, and its scales, .*_scale_inv or .*_scale, are missing"),
        (two_scales, FORMAT, f"{GATE}' .* are both there"),
        (
            flat_scales,
            FORMAT,
            rf"{GATE}' is F8_E4M3 of \[96, 64\] under scales of \[18\], \[\] or \[6, 3\] is",
        ),
        (short_scales, FORMAT, rf"{GATE}' .* under scales of \[5, 3\]"),
        (turned_scales, FORMAT, rf"{GATE}' .* under scales of \[3, 6\]"),
        (deep_scales, FORMAT, rf"{GATE}' .* under scales of \[1, 6, 3\]"),
        (no_scales_at_all, FORMAT, rf"{GATE}' .* holds nothing"),
        (no_rows, FORMAT, rf"{GATE}' of \[0, 64\] .* holds nothing"),
        (whole_numbers, UNSUPPORTED, f"gate_proj.weight_scale_inv', the scales of '{GATE}', are I32"),
        (quantised_scales, FORMAT, "gate_proj.weight_scale_inv' is F8_E4M3, and its scales"),
        (a_vector, UNSUPPORTED, r"model\.norm\.weight' is F8_E4M3 of \[64\]: matrices"),
        (a_cube, UNSUPPORTED, r"gate_proj\.weight' is F8_E4M3 of \[1, 1, 96, 64\]: matrices"),
        (scales_of_a_float, UNSUPPORTED, "gate_proj.weight_scale_inv' is no known part"),
        (more_rows, FORMAT, f"{GATE}' is 64 x 112, the hyper-parameters ask for 64 x 96"),
    ],
    ids=lambda value: value.__name__ if callable(value) and not isinstance(value, type) else "",
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], error: type[Exception], message: str
) -> None:
    fp8, _ = fp8_folders(llama_folder(tmp_path), (16, 24), DEEPSEEK | {"weight_block_size": [16, 24]})
    refused(rewrite(fp8, change), error, message)


def test_products_too_large_for_the_type_are_refused(tmp_path: Path) -> None:
    fp8, _ = fp8_folders(llama_folder(tmp_path), None, DEEPSEEK | {"weight_block_size": None}, dtype="F16")

    def enlarge(t: dict[str, Any]) -> None:
        t[GATE + "_scale_inv"][:] = 1e6

    rewrite(fp8, enlarge)
    with pytest.raises(errors.NumericalError, match=f"{GATE}'.* too large for F16"):
        LLM(fp8)


def test_positions_behind_skipped_rows_are_no_fp8(tmp_path: Path) -> None:
    fp8, _ = fp8_folders(
        cases.write_folder(tmp_path / "f32", cases.CASES["opt"]), None, DEEPSEEK | {"weight_block_size": None}
    )
    refused(fp8, errors.UnsupportedModelError, "embed_positions.weight' is F8_E4M3, of which no rows")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("codes", 0),
        ("codes", 9),
        ("type", 2),
        ("file", 1),
        ("file", -1),
        ("block_rows", 0),
        ("block_rows", 2**62),
        ("block_columns", -3),
        ("matrix_lines", 0),
        ("matrix_lines", 95),
        ("nbytes", 4),
        ("offset", 2**40),
        ("offset", -8),
    ],
)
def test_scales_that_lead_elsewhere_are_refused_before_anything_is_read(
    tmp_path: Path, name: str, value: int
) -> None:
    from dataclasses import replace

    fp8, _ = fp8_folders(llama_folder(tmp_path), (16, 24), DEEPSEEK | {"weight_block_size": [16, 24]})
    with open_folder(str(fp8)) as checkpoint:
        p = plan(checkpoint)
        gate = p.tensors["layers.0.gate"]
        assert gate.scales is not None
        wrong = replace(gate, scales=replace(gate.scales, **{name: value}))
        with pytest.raises((errors.ModelFormatError, errors.ModelTruncatedError), match=GATE):
            _native.Model.load(p.spec, p.tensors | {"layers.0.gate": wrong}, checkpoint.paths, n_threads=1)


def test_the_reference_holds_what_it_is_given(tmp_path: Path) -> None:
    """Products are within a step of FP8 of the floats they were made of."""
    folder = llama_folder(tmp_path)
    before = read_floats(folder)
    _, plain = fp8_folders(folder, (16, 24), DEEPSEEK, dtype="F32")
    after = read_floats(plain)
    for name, values in before.items():
        step = np.abs(values).max() / 448 + np.abs(values) / 16
        assert (np.abs(after[name] - values) <= step).all()
