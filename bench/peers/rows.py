"""What is measured: a row of the table, and the least that its arithmetic and its bytes allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextoken.checkpoints.gguf import open_gguf

RAGGED_STEP = 32  # as in the workers: the i-th of n sequences starts after 32 * (i + 1) ids
FLOATS = {"F32": "float", "F16": "float", "BF16": "bf16"}


@dataclass(frozen=True)
class Row:
    """`decode` or `prefill` of `tokens` with `depth` ids in the cache; `ragged` decodes `sequences` together.

    `first` is the time from a process's start to the first token after `tokens` ids, `memory` its peak.
    """

    what: str
    tokens: int
    depth: int = 0
    sequences: int = 1

    @classmethod
    def parse(cls, text: str) -> Row:
        """decode:128, decode:64@2048, prefill:512, ragged:32x8, first:31, memory:31; `str` is the inverse.

        >>> str(Row.parse("decode:64@2048"))
        'decode:64@2048'
        """
        what, _, rest = text.partition(":")
        if what not in ("decode", "prefill", "ragged", "first", "memory") or not rest:
            raise ValueError(
                f"{text!r} is no row: decode:128, decode:64@2048, prefill:512, ragged:32x8, first:31"
            )
        rest, _, depth = rest.partition("@")
        tokens, _, sequences = rest.partition("x")
        return cls(what, int(tokens), int(depth or 0), int(sequences or 1))

    def __str__(self) -> str:
        depth = f"@{self.depth}" if self.depth else ""
        return f"{self.what}:{self.tokens}{depth}" + (f"x{self.sequences}" if self.sequences > 1 else "")

    @property
    def title(self) -> str:
        if self.what == "first":
            return "load to first token, s"
        if self.what == "memory":
            return "peak memory, MiB"
        if self.what == "ragged":
            return f"decode {self.sequences} ragged sequences together"
        return f"{self.what} {self.tokens}" + (f" at depth {self.depth}" if self.depth else "")

    @property
    def less_is_better(self) -> bool:
        return self.what in ("first", "memory")

    @property
    def new_tokens(self) -> int:
        return self.tokens * self.sequences


@dataclass(frozen=True)
class Facts:
    """What a pass has to read and multiply, from the file's tensor table."""

    file_bytes: int
    weight_bytes: int  # that every token reads: all but an embedding that is no head
    body_int8: int  # multiply-adds a token in quantised matrices, the head apart
    body_float: int
    head_int8: int  # multiply-adds of one row of logits
    head_float: int
    heads: int
    kv_heads: int
    head_dim: int
    windows: tuple[int | None, ...]  # a layer's sliding window
    body_bf16: int = 0
    head_bf16: int = 0

    @classmethod
    def of(cls, path: Path) -> Facts:
        with open_gguf(path) as file:
            tied = "output.weight" not in file.tensors
            head = "token_embd.weight" if tied else "output.weight"
            macs = {f"{part}_{kind}": 0 for part in ("body", "head") for kind in ("int8", "float", "bf16")}
            weight_bytes = 0
            for name, tensor in file.tensors.items():
                if name == "token_embd.weight" and not tied:
                    continue
                weight_bytes += tensor.nbytes
                if len(tensor.shape) == 2:
                    part = "head" if name == head else "body"
                    macs[f"{part}_{FLOATS.get(tensor.type_name, 'int8')}"] += tensor.n_elements

            def number(name: str, default: int | None = None) -> int:
                return int(file.metadata.get(f"{file.architecture}.{name}", default))

            heads = number("attention.head_count")
            head_dim = number("attention.key_length", number("embedding_length") // heads)
            window = number("attention.sliding_window", 0) or None
            # gemma3: five layers with a window, then one without
            windows = tuple(None if i % 6 == 5 else window for i in range(number("block_count")))
            kv_heads = number("attention.head_count_kv", heads)
            return cls(
                file.size,
                weight_bytes,
                **macs,
                heads=heads,
                kv_heads=kv_heads,
                head_dim=head_dim,
                windows=windows,
            )

    def keys_read(self, position: int) -> int:
        """Keys that the token at `position` sees, over all layers."""
        return sum(min(position + 1, window or position + 1) for window in self.windows)


def least_seconds(row: Row, facts: Facts, limits: dict[str, Any]) -> float:
    """Seconds below which the machine can not do the row: its reading, or its multiply-adds, whichever is longer.

    The row is a pass, not a start. The cache is f16. Weights are read once a pass, however many tokens it has.
    """
    starts = [RAGGED_STEP * (i + 1) for i in range(row.sequences)] if row.sequences > 1 else [row.depth]
    positions = [start + i for start in starts for i in range(row.tokens)]
    passes = 1 if row.what == "prefill" else row.tokens
    keys = sum(facts.keys_read(p) for p in positions)
    kv_bytes = 0 if row.what == "prefill" else keys * facts.kv_heads * facts.head_dim * 2 * 2
    rows = 1 if row.what == "prefill" else row.new_tokens
    int8 = facts.body_int8 * row.new_tokens + facts.head_int8 * rows
    floats = (
        facts.body_float * row.new_tokens + facts.head_float * rows + keys * facts.heads * facts.head_dim * 2
    )
    bf16 = facts.body_bf16 * row.new_tokens + facts.head_bf16 * rows
    reading = (facts.weight_bytes * passes + kv_bytes) / (limits["read"] * 1e9)
    int8_rate, float_rate = max(limits["int8"].values()), max(limits["float"].values())
    bf16_rate = max(limits.get("bf16", {}).values(), default=float_rate)
    return float(max(reading, (int8 / int8_rate + floats / float_rate + bf16 / bf16_rate) / 1e9))
