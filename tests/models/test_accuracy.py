"""Not further from float32 than llama.cpp is, on the same 2,000 tokens of each model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nextoken import LLM
from tests.models import kl

pytestmark = pytest.mark.models

HERE = Path(__file__).parent


def all_logits(model: Path, reference: kl.Reference) -> np.ndarray:
    """(T, V): every text of the reference in a session of its own."""
    with LLM(model) as llm:
        parts = []
        for _, place in reference.texts():
            with llm.session() as session:
                parts.append(session.append(reference.ids[place], logits="all"))
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("smollm2-135m", "smollm2_path"),
        pytest.param("gemma-3-270m", "gemma3_path", marks=pytest.mark.slow),
    ],
)
def test_mean_kl_is_not_above_that_of_llama_cpp(name: str, path: str, request: pytest.FixtureRequest) -> None:
    reference = kl.load(HERE / f"{name}.npz")
    logits = all_logits(request.getfixturevalue(path), reference)

    ours = kl.compact_kl(reference.rows, logits)
    difference, error = kl.paired(ours, reference.peer_kl)
    agreement = (logits.argmax(axis=-1) == reference.rows.candidates[:, 0]).mean()
    for place in [slice(None), *(place for _, place in reference.texts())]:
        print(f"KL {ours[place].mean():.5f}, llama.cpp {reference.peer_kl[place].mean():.5f}")
    print(f"difference {difference:+.5f}, standard error {error:.5f}, top-1 agreement {agreement:.2%}")

    assert difference <= 2 * error
    # The KL of probabilities does not see logits that are all off by the same.
    shift = kl.log_sum_exp(logits) - reference.rows.log_sum_exp
    assert abs(np.median(shift)) < 0.1
