"""Choices that a seed makes, and parts of configurations that families share."""

from __future__ import annotations

import random
from typing import Any

Options = dict[str, Any]
N_CTX = 512
FULL, SLIDING = "full_attention", "sliding_attention"
GATES = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu2", "silu", "swish", "gelu_fast")


class Draw:
    """Choices that a seed makes."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def one(self, *values: Any) -> Any:
        return self._random.choice(values)

    def whole(self, lo: int, hi: int) -> int:
        return self._random.randint(lo, hi)

    def number(self, lo: float, hi: float) -> float:
        return round(self._random.uniform(lo, hi), 4)

    def flag(self) -> bool:
        return self._random.random() < 0.5

    def some(self, options: Options) -> Options:
        """Each of them or its default."""
        return {name: value for name, value in options.items() if self.flag()}

    def window(self) -> int:
        return self.one(1, 2, 17, 33, 64, 100, 255)

    def types(self, n: int) -> list[str]:
        return [self.one(FULL, SLIDING) for _ in range(n)]

    def heads(self, *, even: bool = True, most: int = 8) -> tuple[int, int, int]:
        """Heads, heads of k and v, and their width."""
        n_kv, group = self.whole(1, 3), self.whole(1, most // 3 + 1)
        width = self.one(8, 12, 16, 18, 20, 24, 32, 40) if even else self.one(7, 8, 15, 16, 24)
        return n_kv * group, n_kv, width

    def sizes(self, *, free_head: bool = False, even: bool = True, grouped: bool = True) -> Options:
        """What all have. `free_head`: heads need not add up to the stream."""
        n, n_kv, width = self.heads(even=even)
        options = {
            "vocab_size": self.whole(60, 400),
            "hidden_size": n * width,
            "intermediate_size": self.whole(1, 230),
            "num_hidden_layers": self.whole(1, 6),
            "num_attention_heads": n,
            "max_position_embeddings": N_CTX,
            "tie_word_embeddings": self.flag(),
        }
        if grouped:
            options["num_key_value_heads"] = n_kv
        if free_head and self.flag():  # transformers wants whole heads all the same
            options |= {"hidden_size": n * self.whole(3, 25), "head_dim": width}
        return options

    def rope(self, width: int, *kinds: str) -> Options:
        """Positions, one of `kinds` or of all."""
        kind = self.one(*(kinds or ("default", "linear", "yarn", "llama3", "dynamic", "longrope")))
        options: Options = {"rope_type": kind, "rope_theta": self.one(100.0, 5000.0, 1e4, 5e5, 1e6)}
        factor = self.one(2.0, 4.0, 7.5)
        trained = self.one(64, 128, 200)
        if kind in ("linear", "dynamic"):
            options["factor"] = factor
        if kind == "yarn":
            options |= {"factor": factor, "original_max_position_embeddings": trained}
            options |= self.some(
                {
                    "beta_fast": self.number(8, 40),
                    "beta_slow": self.number(0.5, 2),
                    "truncate": self.flag(),
                    "attention_factor": self.number(0.5, 1.5),
                    "mscale": self.number(0.5, 1.5),
                    "mscale_all_dim": self.number(0.5, 1.5),
                }
            )
        if kind == "llama3":
            options |= {
                "factor": factor,
                "low_freq_factor": self.one(1.0, 0.5),
                "high_freq_factor": self.one(4.0, 2.5),
                "original_max_position_embeddings": trained,
            }
        if kind == "longrope":
            for name in ("long_factor", "short_factor"):
                options[name] = [self.number(1, 4) for _ in range(width // 2)]
            options["original_max_position_embeddings"] = trained
            options |= self.some({"factor": factor, "attention_factor": self.number(0.8, 1.4)})
        return options


def width_of(options: Options) -> int:
    return int(options.get("head_dim") or options["hidden_size"] // options["num_attention_heads"])


def rotating(d: Draw, *kinds: str, **how: bool) -> Options:
    o = d.sizes(**how)
    o["rope_parameters"] = d.rope(width_of(o), *kinds)
    o["max_position_embeddings"] = d.one(N_CTX, N_CTX, 200)
    return o | {"rms_norm_eps": d.one(1e-6, 1e-5, 1e-3), "hidden_act": d.one("silu", *GATES)}


def layered(d: Draw, o: Options) -> Options:
    """Windows on some layers."""
    if d.flag():
        o["layer_types"] = d.types(o["num_hidden_layers"])
    return o | {"sliding_window": d.window()}


def by_type(d: Draw, o: Options) -> Options:
    """Positions of their own for layers that slide."""
    kinds = ("default", "linear", "yarn", "llama3")
    o["rope_parameters"] = {kind: d.rope(width_of(o), *kinds) for kind in (FULL, SLIDING)}
    return o


def experts(d: Draw, count: str = "num_experts") -> Options:
    n = d.whole(1, 9)
    return {count: n, "num_experts_per_tok": d.whole(1, n)}


def partial(d: Draw, o: Options) -> Options:
    """Only a part of each head rotates."""
    width = width_of(o)
    n_rot = 2 * d.whole(2, width // 2)
    o["rope_parameters"] = d.rope(n_rot, "default", "linear", "yarn", "dynamic") | {
        "partial_rotary_factor": n_rot / width
    }
    return o


def layer_normed(o: Options, eps: str = "layer_norm_eps") -> Options:
    return {name if name != "rms_norm_eps" else eps: value for name, value in o.items()}


def multipliers(d: Draw) -> Options:
    return {
        "embedding_multiplier": d.number(1, 12),
        "residual_multiplier": d.number(0.1, 1),
        "attention_multiplier": d.number(0.01, 0.3),
        "logits_scaling": d.number(0.5, 8),
    }


def qwen_window(d: Draw, o: Options, *, typed: bool = True) -> Options:
    if d.flag():
        o |= {
            "use_sliding_window": True,
            "sliding_window": d.window(),
            "max_window_layers": d.whole(0, o["num_hidden_layers"]),
        }
        if typed and d.flag():
            o["layer_types"] = d.types(o["num_hidden_layers"])
    return o


def sparse(d: Draw, o: Options) -> Options:
    """Experts on some layers only."""
    n = o["num_hidden_layers"]
    return d.some(
        {"decoder_sparse_step": d.whole(1, 3), "mlp_only_layers": [i for i in range(n) if d.flag()]}
    )
