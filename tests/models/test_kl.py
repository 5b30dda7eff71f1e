"""The measure itself: compact KL against its definition written out, and the committed references' own sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nextoken.checkpoints import catalogue
from tests.models import kl

HERE = Path(__file__).parent
NAMES = ["smollm2-135m", "gemma-3-270m"]


def rows(seed: int, shape: tuple[int, int] = (40, 300)) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 4).astype(np.float32)


def test_compact_kl_is_the_sum_over_candidates_and_one_bucket() -> None:
    p_logits, q_logits = rows(0), rows(1)
    reference = kl.cut(p_logits, 8)
    expected = []
    for x, y in zip(p_logits.astype(np.float64), q_logits.astype(np.float64), strict=True):
        p, q = np.exp(x) / np.exp(x).sum(), np.exp(y) / np.exp(y).sum()
        top = np.argsort(-p)[:8]
        p_cut, q_cut = np.append(p[top], 1 - p[top].sum()), np.append(q[top], 1 - q[top].sum())
        expected.append((p_cut * np.log(p_cut / q_cut)).sum())
    # log p is stored as float32: |log p| < 32, so an error below 2^-20 each, and the p add up to 1.
    np.testing.assert_allclose(kl.compact_kl(reference, q_logits), expected, rtol=0, atol=2e-6)


def test_compact_kl_is_between_zero_and_the_full_kl() -> None:
    p_logits, q_logits = rows(2), rows(3)
    compact = kl.compact_kl(kl.cut(p_logits, 8), q_logits)
    assert (compact > 0).all()
    assert (compact <= kl.full_kl(p_logits, q_logits) + 2e-6).all()


def test_kl_of_logits_with_themselves_is_zero_even_when_shifted() -> None:
    logits = rows(4)
    reference = kl.cut(logits, 8)
    np.testing.assert_allclose(kl.compact_kl(reference, logits + np.float32(64)), 0, atol=1e-5)
    np.testing.assert_allclose(kl.full_kl(logits, logits), 0, atol=1e-12)


def test_paired_error_is_that_of_the_mean_difference() -> None:
    mean, error = kl.paired(np.array([1.0, 3.0, 5.0, 7.0]), np.array([0.0, 2.0, 3.0, 5.0]))
    assert mean == 1.5
    assert error == pytest.approx(np.sqrt(1 / 3) / 2)


@pytest.mark.parametrize("name", NAMES)
def test_committed_reference_is_of_the_catalogues_file_and_consistent(name: str) -> None:
    reference = kl.load(HERE / f"{name}.npz")
    assert reference.sha256 == catalogue.CATALOGUE[name].sha256
    assert len(reference.ids) == sum(reference.lengths) == 2000
    total = np.exp(reference.rows.logprobs.astype(np.float64)).sum(axis=1) + np.exp(reference.rows.log_rest)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert (np.diff(reference.rows.logprobs, axis=1) <= 0).all()
    assert (reference.peer_kl <= reference.peer_full_kl + 1e-5).all()


def test_committed_references_take_at_most_two_megabytes() -> None:
    assert sum((HERE / f"{name}.npz").stat().st_size for name in NAMES) <= 2_000_000
