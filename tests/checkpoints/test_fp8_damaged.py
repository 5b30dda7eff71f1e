"""FP8 folders whose numbers or shapes do not fit: each fault gives a typed error that names the tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextoken import LLM, _native, errors
from nextoken.architectures import plan
from nextoken.checkpoints.hf_folder import open_folder
from tests.families import cases
from tests.hf_folders import Typed, llama_folder
from tests.quantised_folders import (
    DEEPSEEK,
    fp8_folders,
    rewrite,
)

UNSUPPORTED, FORMAT = errors.UnsupportedModelError, errors.ModelFormatError
GATE = "model.layers.0.mlp.gate_proj.weight"


def refused(folder: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LLM(folder)


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
