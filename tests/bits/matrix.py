"""The matrix of ways to compute the same logits, over anything that can append tokens to sequences.

`check_same_bits` runs every way and compares uint32 views with the plainest one. It knows nothing of models: the
tests also hand it toys that are wrong in one respect each, and it must notice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
JUNK = [7, 3, 11, 5, 2]


class Machine(Protocol):
    """What is tested: states of sequences, and one pass over several of them that returns all rows of logits."""

    def new(self) -> Any: ...
    def append(self, states: list[Any], ids: list[list[int]]) -> list[Logits]: ...
    def fork(self, state: Any) -> Any: ...
    def rewind(self, state: Any, n: int) -> None: ...


@dataclass(frozen=True)
class Way:
    """One way to compute: `chunk` tokens a pass (None: all), `cache=False` the whole prefix again for each token."""

    chunk: int | None = None
    cache: bool = True
    batched: bool = False  # all sequences in the same passes, ragged; else one after the other
    detour: str | None = None  # "fork" or "rewind": leave the path in the middle, and come back
    n_threads: int = 1
    isa: str = "scalar"


def all_ways(isas: Sequence[str], threads: Sequence[int] = (1, 2, 3)) -> list[Way]:
    """Chunks x batches x threads for the last of `isas`; for the others one number of threads each, by turns."""
    machines = [(n, isas[-1]) for n in threads]
    machines += [(threads[i % len(threads)], isa) for i, isa in enumerate(isas[:-1], 1)]
    ways = [
        Way(chunk=chunk, batched=batched, n_threads=n, isa=isa)
        for chunk, batched, (n, isa) in itertools.product((1, 7, 64, None), (False, True), machines)
    ]
    ways += [
        Way(cache=False, batched=batched, n_threads=2, isa=isa) for batched in (False, True) for isa in isas
    ]
    ways += [
        Way(chunk=7, batched=batched, detour=detour, n_threads=2, isa=isa)
        for detour in ("fork", "rewind")
        for batched in (False, True)
        for isa in isas
    ]
    return ways


def few_ways(isas: Sequence[str]) -> list[Way]:
    """Each value of each axis at least once, and the likely culprits together."""
    fast = isas[-1]
    ways = [Way(chunk=7, batched=True, n_threads=3, isa=isa) for isa in isas]
    ways += [Way(isa=isa) for isa in isas]
    ways += [Way(chunk=1, n_threads=2, isa=fast), Way(chunk=64, batched=True, n_threads=2, isa=fast)]
    ways += [Way(cache=False, n_threads=2, isa=fast)]
    ways += [
        Way(chunk=7, batched=True, detour=detour, n_threads=2, isa=fast) for detour in ("fork", "rewind")
    ]
    return ways


def logits_of(machine: Machine, sequences: list[list[int]], way: Way) -> list[Logits]:
    """Logits (T, V) of every sequence, computed that way."""
    if not way.batched:
        return [_run(machine, [ids], way)[0] for ids in sequences]
    return _run(machine, sequences, way)


def _run(machine: Machine, sequences: list[list[int]], way: Way) -> list[Logits]:
    rows: list[list[Logits]] = [[] for _ in sequences]
    longest = max(len(ids) for ids in sequences)
    if not way.cache:
        for t in range(longest):
            alive = [i for i, ids in enumerate(sequences) if t < len(ids)]
            fresh = [machine.new() for _ in alive]
            for i, logits in zip(
                alive, machine.append(fresh, [sequences[i][: t + 1] for i in alive]), strict=True
            ):
                rows[i].append(logits[-1:])
        return [np.concatenate(parts) for parts in rows]
    states = [machine.new() for _ in sequences]
    chunk = way.chunk or longest
    for n, start in enumerate(range(0, longest, chunk)):
        alive = [i for i, ids in enumerate(sequences) if start < len(ids)]
        pieces = [sequences[i][start : start + chunk] for i in alive]
        for i, logits in zip(alive, machine.append([states[i] for i in alive], pieces), strict=True):
            rows[i].append(logits)
        if way.detour == "rewind":
            machine.append(states, [JUNK] * len(states))
            for state in states:
                machine.rewind(state, len(JUNK))
        elif way.detour == "fork":
            forks = [machine.fork(state) for state in states]
            # Both write to what they share; by turns the original and the fork goes on.
            machine.append(states if n % 2 else forks, [JUNK] * len(states))
            states = forks if n % 2 else states
    return [np.concatenate(parts) for parts in rows]


def assert_same_bits(actual: Logits, expected: Logits, what: object = "") -> None:
    """Equal as uint32, or an error that names the first difference."""
    assert actual.shape == expected.shape, what
    a, b = actual.view(np.uint32), expected.view(np.uint32)
    differ = np.argwhere(a != b)
    if len(differ):
        at = tuple(int(i) for i in differ[0])
        raise AssertionError(
            f"{what}: {len(differ)} of {a.size} differ, first at {at}: {actual[at]!r} {expected[at]!r}"
        )


def check_same_bits(
    machine_for: Callable[[int, str], Machine], sequences: list[list[int]], ways: Iterable[Way]
) -> None:
    """Every way gives the bits of the plainest: one pass for each sequence alone, one thread, scalar code."""
    plain = Way()
    expected = logits_of(machine_for(plain.n_threads, plain.isa), sequences, plain)
    for way in ways:
        actual = logits_of(machine_for(way.n_threads, way.isa), sequences, way)
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            assert_same_bits(a, b, f"sequence {i}, {way}")
