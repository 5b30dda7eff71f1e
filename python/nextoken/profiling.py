"""Where the time of a prefill and of a decoded token goes, op by op, beside what the machine can do at best.

Each case is one native pass over `batch` sequences behind `depth` tokens each, repeated; shown is the pass of median
length. The cache is filled with the keys and values of a short text again and again: a time does not depend on them.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nextoken import _native, device
from nextoken.completion import OpTiming, op_timings

if TYPE_CHECKING:
    from nextoken.llm import LLM

BATCHES = (1, 8, 64)
DEPTHS = (0, 2048, 8192, 32768)
PREFILL_TOKENS = 512  # of all sequences of a batch together
CASE_SECONDS = 0.3  # repetitions stop there, but not before MIN_PASSES
MIN_PASSES, MAX_PASSES = 3, 25
SEED_TOKENS = 256  # whose keys and values fill the cache
LOOP_TOKENS = 64


@dataclass(frozen=True)
class Limits:
    """What the machine reaches at best with the model's threads, or the card, measured in the same run.

    Of a card `read_bytes_per_s` is what a copy within its memory reads and writes.
    """

    read_bytes_per_s: float
    int8_macs_per_s: float
    float_macs_per_s: float
    bf16_macs_per_s: float

    @classmethod
    def measured(cls, llm: LLM) -> Limits:
        """Those of where the model runs."""
        if llm.device == "cpu":
            return cls(*_native.machine_limits(llm.n_threads, llm.isa))
        return cls(device.copy_bandwidth(), *device.most_macs())

    def least_seconds(self, op: OpTiming) -> float:
        """The time `op` needs at these limits: that of its reading or of its arithmetic, the longer one."""
        arithmetic = (
            op.int8_macs / self.int8_macs_per_s
            + op.float_macs / self.float_macs_per_s
            + op.bf16_macs / self.bf16_macs_per_s
        )
        return max(op.bytes / self.read_bytes_per_s, arithmetic)


@dataclass(frozen=True)
class Case:
    """One pass: `tokens` of them in all sequences together; `outside_s` is the call's time around the native pass."""

    phase: Literal["prefill", "decode"]
    batch: int
    depth: int
    tokens: int
    seconds: float
    outside_s: float
    ops: tuple[OpTiming, ...]

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / (self.seconds + self.outside_s)

    @property
    def waiting_s(self) -> float:
        return sum(op.waiting_s for op in self.ops)


@dataclass(frozen=True)
class Loop:
    """`llm.stream` at batch 1: a token's time in all, and in its native pass; the rest is Python and the binding."""

    tokens: int
    seconds_per_token: float
    pass_seconds_per_token: float

    @property
    def outside_s(self) -> float:
        return self.seconds_per_token - self.pass_seconds_per_token


@dataclass(frozen=True)
class ModelProfile:
    model: str
    isa: str
    n_threads: int
    kv_dtype: str
    limits: Limits
    loop: Loop
    cases: tuple[Case, ...]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, rates and shares of the limits included."""
        result = asdict(self)
        result["loop"]["outside_s"] = self.loop.outside_s
        for case, values in zip(self.cases, result["cases"], strict=True):
            values |= {"tokens_per_s": case.tokens_per_s, "waiting_s": case.waiting_s}
            for op, row in zip(case.ops, values["ops"], strict=True):
                row |= {
                    "bytes_per_s": op.bytes_per_s,
                    "macs_per_s": op.macs_per_s,
                    "share_of_limit": self.limits.least_seconds(op) / op.seconds if op.seconds else None,
                }
        return result

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n")

    def write_png(self, path: Path) -> None:
        """The roofline: each op's multiply-adds a second over its multiply-adds a byte. Needs the extra `plots`."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(8, 5.2), dpi=130)
        intensities = np.logspace(-1, 4, 200)  # multiply-adds a byte
        for peak, name in (
            (self.limits.int8_macs_per_s, "int8"),
            (self.limits.float_macs_per_s, "float"),
            (self.limits.bf16_macs_per_s, "bf16"),
        ):
            roof = np.minimum(intensities * self.limits.read_bytes_per_s, peak)
            axes.plot(intensities, roof / 1e9, color="black", linewidth=1)
            axes.annotate(f"{name} {peak / 1e9:.0f}", (intensities[-1], peak / 1e9), va="bottom", ha="right")
        markers = dict(zip(sorted({case.batch for case in self.cases}), "osD^v<>", strict=False))
        names = [op.name for case in self.cases for op in case.ops if op.bytes and op.macs_per_s]
        colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(names))}
        for case in self.cases:
            for op in case.ops:
                if op.name in colors and op.bytes:
                    axes.plot(
                        op.macs / op.bytes,
                        op.macs_per_s / 1e9,
                        markers.get(case.batch, "*"),
                        color=colors[op.name],
                        fillstyle="none" if case.phase == "prefill" else "full",
                    )
        for name, color in colors.items():
            axes.plot([], [], "o", color=color, label=name)
        for batch, marker in markers.items():
            axes.plot([], [], marker, color="gray", label=f"batch {batch}")
        axes.plot([], [], "o", color="gray", fillstyle="none", label="prefill (hollow)")
        axes.set(xscale="log", yscale="log", xlabel="multiply-adds a byte read", ylabel="G multiply-adds/s")
        axes.set_title(
            f"{self.model}, {self.isa}, {self.n_threads} threads, "
            f"{self.limits.read_bytes_per_s / 1e9:.0f} GB/s from memory"
        )
        axes.grid(True, alpha=0.3)
        axes.legend(fontsize="small")
        figure.tight_layout()
        figure.savefig(path)
        pyplot.close(figure)


def run(
    llm: LLM,
    *,
    batches: Sequence[int] = BATCHES,
    depths: Sequence[int] = DEPTHS,
    memory: int | None = None,
    on_case: Callable[[Case], None] | None = None,
) -> ModelProfile:
    """Measure the machine, the loop, and each batch at each depth that context and memory allow.

    `memory` bounds the bytes of all caches of a case; None is half of what the machine, or the card, has available.
    Raises ValueError for a batch below 1 or a depth below 0, and as `Session.append`.
    """
    if any(batch < 1 for batch in batches) or any(depth < 0 for depth in depths):
        raise ValueError("a batch is at least 1, a depth at least 0")
    limits = Limits.measured(llm)
    bench = _Bench(llm, available_memory(llm) // 2 if memory is None else memory)
    loop = bench.loop()
    cases: list[Case] = []
    for depth in depths:
        for batch in batches:
            for case in bench.cases(batch, depth):
                cases.append(case)
                if on_case is not None:
                    on_case(case)
    return ModelProfile(
        llm.name, llm.isa, llm.n_threads, llm.kv_dtype, limits, loop, tuple(cases), tuple(bench.left_out)
    )


def available_memory(llm: LLM) -> int:
    """Bytes that can be taken without pushing others out, as Linux or the card says; elsewhere half of all there is."""
    if llm.device != "cpu":
        return device.card_info().free_bytes
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class _Bench:
    def __init__(self, llm: LLM, memory: int) -> None:
        self._llm = llm
        self._engine = llm._engine
        self._memory = memory
        self.left_out: list[str] = []
        rng = np.random.default_rng(0)
        self._ids = rng.integers(0, llm.vocab_size, max(PREFILL_TOKENS, SEED_TOKENS)).astype(np.int32)
        n = min(SEED_TOKENS, llm.n_ctx) // 64 * 64  # whole blocks of the cache
        self._seed = np.zeros(0, np.uint8)
        if n:
            cache = self._engine.new_cache()
            self._engine.append([cache], [self._ids[:n]], "none")
            self._seed = np.asarray(cache.export())
        self._seed_tokens = n

    def loop(self) -> Loop:
        """The loop as users run it, EOS or not."""
        from nextoken.sampling import SamplingParams

        n = min(LOOP_TOKENS, self._llm.n_ctx - 1)
        params = SamplingParams(max_tokens=n, ignore_eos=True, profile=True)
        measured = []
        for _ in range(3):
            stream = self._llm.stream(self._ids[:1].tolist(), params)
            start = time.perf_counter()
            for _token in stream:
                pass
            seconds = time.perf_counter() - start
            timings = stream.completion.timings
            inside = sum(op.seconds for op in (*timings.prefill_ops, *timings.decode_ops))
            measured.append((seconds - inside, Loop(n, seconds / n, inside / n)))
        return sorted(measured, key=lambda pair: pair[0])[1][1]

    def cases(self, batch: int, depth: int) -> Iterable[Case]:
        """Prefill and decode of a batch behind `depth` tokens; where that is too much, only a word in `left_out`."""
        llm = self._llm
        most = llm.n_ctx - MAX_PASSES - 1  # a depth of the whole context leaves no room for what is measured
        if depth > llm.n_ctx or (depth and (most < 0 or not self._seed_tokens)):
            self._skip(f"depth {depth}: the context is {llm.n_ctx}")
            return
        depth = min(depth, max(0, most))
        n = min(max(1, PREFILL_TOKENS // batch), llm.n_ctx - depth)
        needed = batch * llm._engine.model.spec.kv_bytes(llm.kv_dtype, depth + max(n, MAX_PASSES))
        if needed > self._memory:
            self._skip(f"batch {batch} at depth {depth}: {needed / 2**20:.0f} MiB of cache")
            return
        caches = [self._filled(depth) for _ in range(batch)]
        yield self._case("prefill", caches, depth, [self._ids[:n]] * batch)
        yield self._case("decode", caches, depth, [self._ids[:1]] * batch)

    def _case(
        self, phase: Literal["prefill", "decode"], caches: list[_native.Cache], depth: int, ids: list[Any]
    ) -> Case:
        """Repeats the pass: a prefill from `depth` each time, decoding from one token further on."""
        isa = self._llm.isa if self._llm.device == "cpu" else None
        samplers = [_native.Sampler(vocab_size=self._llm.vocab_size, isa=isa) for _ in caches]
        passes: list[tuple[float, float, tuple[OpTiming, ...]]] = []
        spent = 0.0
        self._engine.predict(caches, ids, samplers)  # warms up
        while len(passes) < MIN_PASSES or (spent < CASE_SECONDS and len(passes) < MAX_PASSES - 1):
            if phase == "prefill" or len(caches[0]) == self._llm.n_ctx:
                self._rewind(caches, depth)
            profile = _native.Profile()
            start = time.perf_counter()
            self._engine.predict(caches, ids, samplers, profile=profile)
            whole = time.perf_counter() - start
            ops = op_timings(profile.decode() if len(ids[0]) == 1 else profile.prefill())
            inside = sum(op.seconds for op in ops)
            passes.append((inside, whole - inside, ops))
            spent += whole
        self._rewind(caches, depth)
        inside, _, ops = sorted(passes, key=lambda one: one[0])[len(passes) // 2]
        outside = statistics.median(one[1] for one in passes)
        return Case(phase, len(caches), depth, sum(map(len, ids)), inside, outside, ops)

    def _filled(self, depth: int) -> _native.Cache:
        """A cache of `depth` tokens in memory of its own."""
        cache = self._engine.new_cache()
        if depth == 0:
            return cache
        n_blocks = -(-depth // 64)
        seed_blocks = self._seed_tokens // 64
        block = len(self._seed) // seed_blocks
        data = np.resize(self._seed, n_blocks * block)
        ids = np.resize(self._ids[: self._seed_tokens], depth)
        engine = self._engine
        return engine.keep(_native.Cache.restore(engine.model, engine.kv_dtype, engine.n_ctx, ids, data))

    def _rewind(self, caches: list[_native.Cache], depth: int) -> None:
        for cache in caches:
            cache.rewind(len(cache) - depth)

    def _skip(self, what: str) -> None:
        if what not in self.left_out:
            self.left_out.append(what)
