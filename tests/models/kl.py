"""How far a model's logits are from a float32 reference, when the reference is small enough to be committed.

A reference row is the distribution p of float32 logits, cut to its K most probable tokens (the candidates) and one
bucket for all the rest. Any logits q over the full vocabulary are cut along the same lines, and then

    KL = sum over candidates of p_i (log p_i - log q_i)  +  p_rest (log p_rest - log q_rest)     in nats

with log q_i = logits_i - logsumexp(logits), log q_rest = logsumexp(the other logits) - logsumexp(logits). By the
log-sum inequality this is never above the KL over the full vocabulary, and it is 0 where p and q agree. All sums
are float64. Both sides of a comparison use this one definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]

ROWS = 32  # a block of rows at a time: 32 rows of 262,144 float64 are 64 MiB


@dataclass(frozen=True)
class Rows:
    """T distributions, each cut to K candidates and a rest."""

    candidates: Ints  # (T, K) token ids, most probable first
    logprobs: Floats  # (T, K) their log-probabilities
    log_rest: Floats  # (T,)   log of the probability of all other tokens
    log_sum_exp: Floats  # (T,)  of the logits themselves


def log_sum_exp(logits: Floats) -> Float64:
    """(..., V) -> (...,), in float64."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1, keepdims=True)
    return np.log(np.exp(wide - top).sum(axis=-1)) + top[..., 0]


def rest_log_sum_exp(logits: Floats, candidates: Ints) -> Float64:
    """(T, V) and (T, K) -> (T,): log-sum-exp over the tokens that are no candidates."""
    others = logits.astype(np.float64)
    np.put_along_axis(others, candidates, -np.inf, axis=-1)
    return log_sum_exp(others)


def cut(logits: Floats, k: int) -> Rows:
    """(T, V) logits to `k` candidates and a rest. Of equal logits the lower id comes first."""
    columns: list[list[npt.NDArray[np.generic]]] = [[], [], [], []]
    for row in logits:
        ids = np.argpartition(-row, k)[:k]
        ids = ids[np.lexsort((ids, -row[ids]))]
        total = log_sum_exp(row)
        rest = rest_log_sum_exp(row[None], ids[None])[0]
        for column, value in zip(columns, (ids, row[ids] - total, rest - total, total), strict=True):
            column.append(np.asarray(value))
    ids, logprobs, log_rest, totals = (np.stack(column) for column in columns)
    return Rows(
        ids.astype(np.int32),
        logprobs.astype(np.float32),
        log_rest.astype(np.float32),
        totals.astype(np.float32),
    )


def compact_kl(reference: Rows, logits: Floats) -> Float64:
    """(T,) KL from the reference rows to the (T, V) logits, as the head of this file defines it."""
    parts = []
    for block in _blocks(len(logits)):
        q, ids = logits[block], reference.candidates[block]
        total = log_sum_exp(q)
        log_q = np.take_along_axis(q, ids, axis=-1).astype(np.float64) - total[:, None]
        log_q_rest = rest_log_sum_exp(q, ids) - total
        log_p = reference.logprobs[block].astype(np.float64)
        log_p_rest = reference.log_rest[block].astype(np.float64)
        kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
        parts.append(kl + np.exp(log_p_rest) * (log_p_rest - log_q_rest))
    return np.concatenate(parts)


def full_kl(reference: Floats, logits: Floats) -> Float64:
    """(T,) KL from (T, V) reference logits to (T, V) logits, over the whole vocabulary."""
    parts = []
    for block in _blocks(len(logits)):
        log_p = reference[block].astype(np.float64) - log_sum_exp(reference[block])[:, None]
        log_q = logits[block].astype(np.float64) - log_sum_exp(logits[block])[:, None]
        parts.append((np.exp(log_p) * (log_p - log_q)).sum(axis=-1))
    return np.concatenate(parts)


def paired(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Mean of ours - theirs over the same positions, and the standard error of that mean."""
    difference = ours.astype(np.float64) - theirs.astype(np.float64)
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(difference.size))


@dataclass(frozen=True)
class Reference:
    """What `make_reference.py` wrote for one model: several texts, one after the other, and the peer's results."""

    sha256: str  # of the model file
    made_by: str  # versions and settings
    names: list[str]  # of the texts
    lengths: list[int]  # tokens of each
    ids: Ints  # (T,)
    rows: Rows  # float32 logits of all T positions
    next_logprob: Floats  # (T,) float32 log-probability of the token that follows; nan at the end of a text
    peer_kl: Floats  # (T,) llama.cpp's compact KL
    peer_full_kl: Floats  # (T,) llama.cpp's KL over the whole vocabulary
    peer_top: Ints  # (T,) llama.cpp's most probable token
    peer_next_logprob: Floats  # (T,)

    def texts(self) -> Iterator[tuple[str, slice]]:
        """Each text's name and its place in the T positions."""
        start = 0
        for name, length in zip(self.names, self.lengths, strict=True):
            yield name, slice(start, start + length)
            start += length


ROW_FIELDS = ("candidates", "logprobs", "log_rest", "log_sum_exp")


def save(path: Path, reference: Reference) -> None:
    """Write a reference as a compressed .npz; candidates as the smallest unsigned type that holds them."""
    fields = dict(vars(reference))
    rows: Rows = fields.pop("rows")
    small = np.uint16 if rows.candidates.max() < 1 << 16 else np.uint32
    fields |= vars(rows) | {"candidates": rows.candidates.astype(small)}
    np.savez_compressed(path, allow_pickle=False, **fields)


def load(path: Path) -> Reference:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        fields = {name: file[name] for name in file.files}
    rows = Rows(*(fields.pop(name) for name in ROW_FIELDS))
    rows = Rows(rows.candidates.astype(np.int64), rows.logprobs, rows.log_rest, rows.log_sum_exp)
    text = {name: str(fields.pop(name)) for name in ("sha256", "made_by")}
    lists = {name: fields.pop(name).tolist() for name in ("names", "lengths")}
    return Reference(rows=rows, **text, **lists, **fields)


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, rows, ROWS))
