"""The loop laid open shows what the loop does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nextoken import LLM
from tests.gguf_files import tiny_llama
from tests.gguf_tokenizers import llama_tokenizer

OPTIONS = {"max_tokens": 4, "temperature": 1.0, "top_k": 5, "seed": 3, "ignore_eos": True}


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    path: Path = tiny_llama(tmp_path_factory.mktemp("models") / "tiny.gguf", "Q8_0", seed=11)
    with LLM(path, n_threads=1) as model:
        yield model


def test_the_tokens_are_those_of_generate(llm: LLM) -> None:
    explanation = llm.explain("hello", top=6, **OPTIONS)
    completion = llm.generate("hello", **OPTIONS)
    assert tuple(step.chosen.id for step in explanation.steps) == completion.token_ids
    assert explanation.text == llm.tokenizer.decode(completion.token_ids)
    assert explanation.finish_reason == completion.finish_reason == "length"


def test_the_context_ends_it_where_it_ends_generate(llm: LLM) -> None:
    ids = [5] * (llm.n_ctx - 2)
    explanation = llm.explain(ids, max_tokens=9, ignore_eos=True)
    completion = llm.generate(ids, max_tokens=9, ignore_eos=True)
    assert tuple(step.chosen.id for step in explanation.steps) == completion.token_ids
    assert len(explanation.steps) == 2


def test_any_number_of_candidates_may_be_asked_for(llm: LLM) -> None:
    for top in (np.int64(3), llm.vocab_size + 1, 10**30):
        (step,) = llm.explain("hello", top=top).steps
        assert len(step.candidates) == min(top, llm.vocab_size)
    for top in (True, 1.0, "3"):
        with pytest.raises(TypeError, match="top must be an int"):
            llm.explain("hello", top=top)  # type: ignore[arg-type]


def test_ids_without_text_are_shown_without(tmp_path: Path) -> None:
    """Rows that pad the vocabulary, and models that have no tokenizer at all."""
    names = ("model", "tokens", "token_type", "merges", "pre", "scores", "bos_token_id", "eos_token_id")
    bare = tiny_llama(tmp_path / "bare.gguf", metadata={f"tokenizer.ggml.{name}": None for name in names})
    with LLM(bare) as llm:
        explanation = llm.explain([1, 2], max_tokens=2)
        assert [step.chosen.id for step in explanation.steps] == list(
            llm.generate([1, 2], max_tokens=2).token_ids
        )
        assert explanation.prompt == explanation.text == ""
    tokenizer = llama_tokenizer()
    n = len(tokenizer["tokenizer.ggml.tokens"])
    rows = np.random.default_rng(0).normal(0, 1, (n + 10, 64)).astype(np.float32)
    embedding = (rows.tobytes(), "F32", (64, n + 10))
    padded = tiny_llama(tmp_path / "padded.gguf", tensors={"token_embd.weight": embedding})
    with LLM(padded) as llm:
        assert llm.vocab_size == n + 10
        explanation = llm.explain([1, n + 3], max_tokens=2, top=n + 10, ignore_eos=True)
        assert [len(step.candidates) for step in explanation.steps] == [n, n]
        assert explanation.steps[0].inputs[1].text == ""
        assert str(explanation)


def test_a_narrow_terminal_keeps_the_numbers(llm: LLM) -> None:
    from rich.console import Console

    step = (explanation := llm.explain("hello", top=3)).steps[0]
    console = Console(width=36, color_system=None)
    with console.capture() as capture:
        console.print(explanation)
    shown = capture.get()
    for candidate in step.candidates:
        assert f"{candidate.probability:.4f}" in shown
        assert str(candidate.id) in shown


def test_each_pass_shows_its_inputs_shapes_and_candidates(llm: LLM) -> None:
    ids = llm.tokenizer.encode("hello")
    explanation = llm.explain("hello", top=6, **OPTIONS)
    first, second = explanation.steps[:2]
    assert [token.id for token in first.inputs] == ids
    assert first.ids_shape == (1, len(ids))
    assert first.logits_shape == (1, len(ids), llm.vocab_size)
    assert second.ids_shape == (1, 1)
    assert second.cached == len(ids)
    assert [token.id for token in second.inputs] == [first.chosen.id]
    logits = llm([ids])[0][-1].astype(np.float64)
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert [c.id for c in first.candidates] == list(np.argsort(-logits, kind="stable")[:6])
    for candidate in first.candidates:
        assert candidate.probability == pytest.approx(probabilities[candidate.id], rel=1e-5)
        assert candidate.logit == pytest.approx(logits[candidate.id])


def test_stages_tell_what_they_removed(llm: LLM) -> None:
    (step,) = llm.explain("hello", **(OPTIONS | {"max_tokens": 1})).steps
    stages = {stage.name: stage for stage in step.stages}
    assert stages["top_k"].remaining == 5
    assert stages["top_k"].removed == stages["logits"].remaining - 5
    assert stages["draw"].remaining == 1


def test_it_ends_at_a_stop_token(llm: LLM) -> None:
    first = llm.explain("hello").steps[0].chosen.id
    explanation = llm.explain("hello", max_tokens=5, stop_token_ids=[first])
    assert explanation.finish_reason == "stop"
    assert explanation.steps[0].ends
    assert len(explanation.steps) == 1
    assert explanation.text == ""


def test_it_prints_as_a_table_and_as_html_and_as_json(llm: LLM) -> None:
    explanation = llm.explain("<b>", **OPTIONS)
    text, page = str(explanation), explanation._repr_html_()
    for step in explanation.steps:
        assert str(step.chosen.id) in text
        assert f"<td>{step.chosen.id}</td>" in page
    assert "<b>" not in page
    assert json.loads(json.dumps(explanation.to_dict()))["steps"][1]["cached"] == explanation.steps[1].cached


@pytest.mark.parametrize(
    "options",
    [
        {"logits_processor": lambda ids, x: x},
        {"use_cache": False},
        {"stop": "x"},
        {"include_stop": True},
        {"logprobs": 0},
        {"prompt_logprobs": 2},
        {"profile": True},
        {"n": 2},
        {"top": 0},
    ],
)
def test_what_it_can_not_show_is_refused(llm: LLM, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"explain|top|n=2"):
        llm.explain("hello", **options)
