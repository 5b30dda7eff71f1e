"""Rotary positions and sliding windows as config.json says them.

`rope_parameters` since transformers 5, `rope_theta`, `rope_scaling` and `partial_rotary_factor` before.
"""

from __future__ import annotations

import math
from typing import Any

from nextoken import _native
from nextoken._native import LayerSpec, RopeScaling
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import Translation, positive
from nextoken.errors import UnsupportedModelError

FULL, SLIDING = "full_attention", "sliding_attention"
MOST_LAYERS = 4096


def same_positions(
    config: ConfigJson,
    t: Translation,
    *,
    theta: float = 10000.0,
    window: int | None = None,
    partial: bool = False,
    share: float = 1.0,
) -> LayerSpec:
    """Every layer rotates and sees alike; returns that layer.

    `partial`: heads of this family may rotate in part, by default that `share` of them.
    """
    scaling, base = _parts(config, theta)
    layer = _rotation(config, scaling, t, base, partial=partial, share=share)
    scaling.require_all_read()
    layer.window = window or 0
    t.layers = [layer] * _n_layers(t)
    return layer


def positions_by_type(
    config: ConfigJson, t: Translation, types: list[str], *, full: float, local: float, old_local: str | None
) -> None:
    """`rope_parameters` by type of layer; before transformers 5, `rope_scaling` is for full layers alone.

    `full` and `local` are default bases; `old_local` is the key of the local one, None if it is rope_theta too.
    """
    window = sliding_window(config, types)
    if config.has("rope_parameters"):
        rope = config.part("rope_parameters")
        parts = [(rope.part(FULL), full), (rope.part(SLIDING), local)]
    else:
        theta = config.number("rope_theta", full)
        near = theta if old_local is None else config.number(old_local, local)
        rope = config.part("rope_scaling")
        parts = [(rope, theta), (ConfigJson({}, config.path), near)]
    seen, slid = (
        _rotation(config, part, t, part.number("rope_theta", base), single=False) for part, base in parts
    )
    t.origins["rope.freq_base"] = "rope_theta"
    t.hparams["rope.freq_base"] = seen.rope_theta
    for part in (*(part for part, _ in parts), rope):
        part.require_all_read()
    slid.window = window
    t.layers = [seen if kind == FULL else slid for kind in types]


def types_of_layers(config: ConfigJson, t: Translation, pattern: list[str]) -> list[str]:
    """`layer_types`, or `pattern` where there are none."""
    if not config.has("layer_types"):
        return pattern
    types = config.texts("layer_types")
    if len(types) != _n_layers(t):
        raise config.error("layer_types", f"has {len(types)} entries for {_n_layers(t)} layers")
    for kind in types:
        if kind not in (FULL, SLIDING):
            raise UnsupportedModelError(
                f"{config.path}: layer_types has {kind[:64]!a}, this version applies {FULL!r} and {SLIDING!r}"
            )
    return types


def pattern_of(t: Translation, *, full_every: int) -> list[str]:
    """The last of every so many layers sees everything."""
    return [SLIDING if full_every < 1 or (i + 1) % full_every else FULL for i in range(_n_layers(t))]


def sliding_window(config: ConfigJson, types: list[str], default: int = 4096) -> int:
    """The window of the sliding layers; 0 if there are none."""
    window = None if config.is_null("sliding_window") else config.integer("sliding_window", default)
    if SLIDING not in types:
        return 0
    if window is None or window < 1:
        raise config.error("sliding_window", f"is {window}, and there are layers that slide")
    return window


def told_positions(config: ConfigJson, t: Translation, every: int) -> list[bool]:
    """Whether each layer is: `no_rope_layers` marks by 0 those that are not, or they are the last of every so many."""
    every = config.integer("no_rope_layer_interval", every)
    n = _n_layers(t)
    marks = config.items("no_rope_layers") if config.has("no_rope_layers") else []
    if not marks:
        return [every < 1 or (i + 1) % every != 0 for i in range(n)]
    if len(marks) < n or not all(type(mark) is int and mark in (0, 1) for mark in marks):
        raise config.error("no_rope_layers", f"is no list of 0 and 1 for {n} layers")
    return [mark == 1 for mark in marks[:n]]


def windows_of_qwen(
    config: ConfigJson, t: Translation, pattern: list[str], *, theta: float = 10000.0
) -> None:
    """Windows that `use_sliding_window` switches on, on layers of `pattern` or of `layer_types`."""
    layer = same_positions(config, t, theta=theta)
    used = config.flag("use_sliding_window", False)
    types = types_of_layers(config, t, pattern if used else [FULL] * _n_layers(t))
    if not used:
        config.has("sliding_window")
        if SLIDING in types:
            raise config.error("layer_types", "has layers that slide, and use_sliding_window is false")
        return
    local = copy(layer)
    local.window = sliding_window(config, types)
    t.layers = [layer if kind == FULL else local for kind in types]


def copy(layer: LayerSpec) -> LayerSpec:
    """Another with the same positions."""
    result = LayerSpec()
    for name in (
        "theta",
        "scaling",
        "factor",
        "n_ctx",
        "fast",
        "slow",
        "magnitude",
        "log_magnitude",
        "whole",
    ):
        setattr(result, f"rope_{name}", getattr(layer, f"rope_{name}"))
    return result


def _n_layers(t: Translation) -> int:
    """Within what a spec allows; another number is refused there, by name."""
    return int(min(max(t.hparams["block_count"], 0), MOST_LAYERS + 1))


def _parts(config: ConfigJson, theta: float) -> tuple[ConfigJson, float]:
    """The object with the scaling, and the base."""
    has_scaling = config.has("rope_scaling")
    scaling = config.part("rope_scaling" if has_scaling else "rope_parameters")
    if has_scaling:
        config.only("rope_parameters", (None,), None)
    base = scaling.number("rope_theta") if scaling.has("rope_theta") else config.number("rope_theta", theta)
    config.has("rope_theta")
    return scaling, base


def _rotation(
    config: ConfigJson,
    scaling: ConfigJson,
    t: Translation,
    theta: float,
    *,
    single: bool = True,
    partial: bool = False,
    share: float = 1.0,
) -> LayerSpec:
    """The positions that an object of config.json describes; with `single`, they are those of every layer."""
    t.put("rope.freq_base", theta, "rope_theta")
    head_dim = t.hparams["attention.key_length"]
    for part in (config, scaling):
        if not partial:
            part.only("partial_rotary_factor", (1.0, 1, None), None)
        share = part.number("partial_rotary_factor", share)
    n_rot = int(head_dim * share)
    t.put("rope.dimension_count", n_rot, "head_dim" if share == 1.0 else "partial_rotary_factor")
    layer = LayerSpec()
    layer.rope_theta = theta
    kind = scaling.text("rope_type", scaling.text("type", "default"))
    if t.architecture == "phi3" and kind in ("su", "yarn"):
        kind = "longrope"  # as older folders of this family say
    if kind == "linear":
        layer.rope_factor = positive(scaling, "factor")
        t.origins["rope.scaling.factor"] = "rope_scaling.factor"
    elif kind == "yarn":
        if not single:
            scaling.only("truncate", (True, None), True)  # transformers does not read it there
        _yarn(config, scaling, t, layer)
    elif kind == "llama3":
        _llama3(config, scaling, t, layer, n_rot, single)
    elif kind == "longrope" and single:
        _longrope(config, scaling, t, layer, n_rot)
    elif kind == "dynamic" and single:
        _dynamic(scaling, t, theta, n_rot)
    elif kind != "default":
        raise UnsupportedModelError(
            f"{scaling.path}: rope_type {kind[:64]!a} is not applied by this version to this family"
        )
    return layer


def _trained(config: ConfigJson, scaling: ConfigJson, t: Translation) -> int:
    """The context before scaling; that of the whole config goes first."""
    inner = positive(scaling, "original_max_position_embeddings", t.hparams["context_length"])
    return int(positive(config, "original_max_position_embeddings", inner))


def _yarn(config: ConfigJson, scaling: ConfigJson, t: Translation, layer: LayerSpec) -> None:
    """arXiv:2309.00071"""
    trained = _trained(config, scaling, t)
    factor = positive(scaling, "factor", t.hparams["context_length"] / trained)
    layer.rope_scaling, layer.rope_factor, layer.rope_n_ctx = RopeScaling.yarn, factor, trained
    layer.rope_fast, layer.rope_slow = (
        positive(scaling, "beta_fast", 32.0),
        positive(scaling, "beta_slow", 1.0),
    )
    layer.rope_whole = scaling.flag("truncate", True)
    some, all_dims = scaling.number("mscale", 0.0), scaling.number("mscale_all_dim", 0.0)
    if scaling.has("attention_factor"):
        layer.rope_magnitude = positive(scaling, "attention_factor")
    elif factor <= 1.0:
        pass
    elif some and all_dims:
        log = float(_native.kernels.exact_log(factor))
        layer.rope_magnitude = (0.1 * some * log + 1.0) / (0.1 * all_dims * log + 1.0)
    else:
        layer.rope_log_magnitude = 0.1


def _llama3(
    config: ConfigJson, scaling: ConfigJson, t: Translation, layer: LayerSpec, n_rot: int, single: bool
) -> None:
    """What each rotary frequency is divided by: nothing for short waves, `factor` for long ones. arXiv:2407.21783

    Where all layers rotate alike they are the numbers that a converter writes into a GGUF file.
    """
    factor, low, high = (positive(scaling, key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    n_ctx = _trained(config, scaling, t)
    if high <= low:
        raise scaling.error("high_freq_factor", f"is {high}, more than low_freq_factor was expected")
    theta = layer.rope_theta
    if not single:
        layer.rope_scaling, layer.rope_factor, layer.rope_n_ctx = RopeScaling.llama3, factor, n_ctx
        layer.rope_fast, layer.rope_slow = high, low
        return
    if theta < 1.0 or n_rot < 1 or n_rot > 65536:
        return  # refused further on, by name
    divisors = []
    for i in range(n_rot // 2):
        wave = 2.0 * math.pi * float(_native.kernels.exact_pow(theta, 2.0 * i / n_rot))
        smooth = min(1.0, max(0.0, (n_ctx / wave - low) / (high - low)))
        divisors.append(1.0 / ((1.0 - smooth) / factor + smooth))
    t.rope_divisors = tuple(divisors)


def _longrope(config: ConfigJson, scaling: ConfigJson, t: Translation, layer: LayerSpec, n_rot: int) -> None:
    """Two lists of divisors, for contexts up to the trained one and beyond. arXiv:2402.13753

    Which of them holds is a matter of `n_ctx`, so that a token never changes its neighbours.
    """
    trained = _trained(config, scaling, t)
    long, short = _divisors(scaling, "long_factor", n_rot), _divisors(scaling, "short_factor", n_rot)
    factor = positive(scaling, "factor", t.hparams["context_length"] / trained)
    magnitude = 1.0
    if factor > 1.0 and trained > 1:
        log = _native.kernels.exact_log
        magnitude = math.sqrt(1.0 + float(log(factor)) / float(log(float(trained))))
    layer.rope_magnitude = positive(scaling, "attention_factor", magnitude)

    def choose(spec: _native.Spec, n_ctx: int) -> None:
        spec.rope_divisors = long if n_ctx > trained else short

    t.changes.append(choose)


def _dynamic(scaling: ConfigJson, t: Translation, theta: float, n_rot: int) -> None:
    """NTK scaling by the length of the text, which is `n_ctx` here: up to the trained context there is none."""
    factor = positive(scaling, "factor")
    trained: int = t.hparams["context_length"]

    def stretch(spec: _native.Spec, n_ctx: int) -> None:
        if n_ctx <= trained or n_rot <= 2:
            return
        longer = factor * n_ctx / trained - (factor - 1.0)
        layers = spec.layers
        for layer in layers:
            layer.rope_theta = theta * float(_native.kernels.exact_pow(longer, n_rot / (n_rot - 2)))
        spec.layers = layers

    t.changes.append(stretch)


def _divisors(scaling: ConfigJson, key: str, n_rot: int) -> list[float]:
    values: list[Any] = scaling.items(key)
    if len(values) != n_rot // 2:
        raise scaling.error(key, f"has {len(values)} numbers, {n_rot // 2} were expected")
    if not all(type(v) in (int, float) and math.isfinite(v) and v > 0 for v in values):
        raise scaling.error(key, "holds something else than numbers above zero")
    return [float(v) for v in values]
