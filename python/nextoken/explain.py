"""The loop laid open: for each pass the tokens in, the candidates out, what each stage removed, and the choice."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextoken import _native
from nextoken.answer import Vocabulary
from nextoken.inputs import shown
from nextoken.request import n_decodable
from nextoken.sampling import SamplingParams

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from nextoken.llm import LLM

SHOWN_INPUTS = 12  # tokens of a long prompt that a table shows
NARROW = 60  # columns of a terminal that has no room for bars


@dataclass(frozen=True)
class Shown:
    """A token as it is shown: its text is lossy where the bytes are no whole characters."""

    id: int
    text: str
    probability: float | None = None
    logit: float | None = None


@dataclass(frozen=True)
class Stage:
    """What one stage of the sampler left, and the likeliest of what it removed."""

    name: str
    remaining: int
    removed: int
    dropped: tuple[Shown, ...]


@dataclass(frozen=True)
class Step:
    """One forward pass: ids [B, T] to logits [B, T, V], of which the last row alone is computed and chosen from.

    `cached` tokens before these were in the cache already. Probabilities are those of the model, of `stages` those that
    a stage left; `chosen.probability` is None. `ends` tells that the chosen token ends the answer, `ms` is the pass.
    """

    position: int
    inputs: tuple[Shown, ...]
    ids_shape: tuple[int, int]
    logits_shape: tuple[int, int, int]
    cached: int
    candidates: tuple[Shown, ...]
    stages: tuple[Stage, ...]
    chosen: Shown
    ends: bool
    ms: float


@dataclass(frozen=True)
class Explanation:
    """The first passes of an answer. A table in a terminal, HTML in a notebook, `.to_dict()` for programs."""

    prompt: str
    text: str
    steps: tuple[Step, ...]
    finish_reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, numbers and strings, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.table import Table
        from rich.text import Text

        narrow = options.max_width < NARROW
        for number, step in enumerate(self.steps, 1):
            yield Text(f"pass {number}", style="bold") + Text(f"   {_shapes(step)}   {step.ms:.1f} ms")
            yield Text("  in   " + _inputs(step))
            table = Table(box=None, padding=(0, 1) if narrow else (0, 2), show_edge=False)
            for name, justify in (
                ("out", "left"),
                ("id", "right"),
                ("logit", "right"),
                ("p", "right"),
                ("", "left"),
            ):
                table.add_column(name, justify=justify)  # type: ignore[arg-type]
            for candidate in step.candidates:
                mark = "<- chosen" if candidate.id == step.chosen.id else ""
                bar = "" if narrow else "#" * round(20 * (candidate.probability or 0.0))
                table.add_row(
                    Text(repr(candidate.text)),
                    str(candidate.id),
                    f"{candidate.logit:.3f}",
                    f"{candidate.probability:.4f}",
                    f"{bar} {mark}".strip(),
                )
            yield table
            for stage in step.stages:
                yield Text("  " + _stage_line(stage))
            yield Text(
                f"  append {step.chosen.text!r} ({step.chosen.id})" + (": the end" if step.ends else "")
            ) + Text("\n")
        yield Text(f"text: {self.text!r}   finish_reason: {self.finish_reason}")

    def _repr_html_(self) -> str:
        passes = "".join(_html_of_step(number, step) for number, step in enumerate(self.steps, 1))
        return f"{passes}<p>text: {_code(repr(self.text))}, {_escape(self.finish_reason)}</p>"


def check_options(params: SamplingParams, top: int) -> int:
    """`top` as an int. Raises TypeError or ValueError for what can not be shown."""
    if isinstance(top, bool) or not hasattr(top, "__index__"):
        raise TypeError(f"top must be an int, got {type(top).__name__}")
    top = top.__index__()
    if top < 1:
        raise ValueError(f"top must be at least 1, got {shown(top)}")
    for name in ("logits_processor", "stop", "include_stop", "logprobs", "prompt_logprobs", "profile"):
        value = getattr(params, name)
        if value is not None and value is not False and value != ():
            raise ValueError(f"explain shows the plain loop, which has no {name}")
    if not params.use_cache:
        raise ValueError("explain shows the plain loop, which has use_cache=True")
    return top


def explain(
    llm: LLM, ids: Sequence[int], prompt: str | None, params: SamplingParams, *, top: int
) -> Explanation:
    """Run the loop by hand and keep what it saw. Same tokens as `generate` with the same parameters."""
    tokenizer = llm._tokenizer.get_or_none()
    sampler = llm._intake.sampler(params)
    sampler.observe_prompt(list(ids))
    steps: list[Step] = []
    answer: list[int] = []
    most = 1 if params.max_tokens is None else params.max_tokens
    ending = frozenset(params.stop_token_ids or ())
    if tokenizer is not None and not params.ignore_eos:
        ending |= tokenizer.eos_ids
    look = _Look(llm, top)
    finish_reason = "length"
    with llm.session() as session:
        pending = list(ids)
        for _ in range(min(most, llm.n_ctx - len(ids))):
            cached = len(session)
            start = time.perf_counter()
            logits = session.append(pending, logits="last")
            ms = (time.perf_counter() - start) * 1e3
            assert logits is not None
            pick, stages = sampler.explain(logits, len(session), shown=look.n_shown)
            ends = pick.id in ending
            steps.append(look.step(pending, cached, logits, pick, stages, ends, ms))
            if ends:
                finish_reason = "stop"
                break
            answer.append(pick.id)
            sampler.observe([pick.id])
            pending = [pick.id]
    return Explanation(
        look.text(ids) if prompt is None else prompt, look.text(answer), tuple(steps), finish_reason
    )


class _Look:
    """Turns what a pass saw into a Step."""

    def __init__(self, llm: LLM, top: int) -> None:
        tokenizer = llm._tokenizer.get_or_none()
        self._vocabulary = Vocabulary(tokenizer)
        self._vocab_size = llm.vocab_size
        self._n_decodable = n_decodable(llm._engine, tokenizer)
        self.n_shown = min(top, llm.vocab_size)

    def text(self, ids: Sequence[int]) -> str:
        return b"".join(map(self._vocabulary.bytes_of, ids)).decode("utf-8", "replace")

    def step(
        self,
        pending: Sequence[int],
        cached: int,
        logits: np.ndarray[Any, np.dtype[np.float32]],
        pick: _native.Pick,
        stages: Sequence[_native.Stage],
        ends: bool,
        ms: float,
    ) -> Step:
        _, best, logprobs = _native.log_softmax_top(
            logits[None, :], n=self.n_shown, n_decodable=self._n_decodable
        )
        return Step(
            position=cached + len(pending),
            inputs=tuple(self._shown(i) for i in pending),
            ids_shape=(1, len(pending)),
            logits_shape=(1, len(pending), self._vocab_size),
            cached=cached,
            candidates=tuple(
                self._shown(i, float(np.exp(logprob)), float(logits[i]))
                for i, logprob in zip(best[0].tolist(), logprobs[0].tolist(), strict=True)
                if i >= 0
            ),
            stages=tuple(
                Stage(s.name, s.remaining, s.removed, tuple(self._shown(i, p) for i, p in s.dropped))
                for s in stages
            ),
            chosen=self._shown(pick.id),
            ends=ends,
            ms=ms,
        )

    def _shown(self, token_id: int, probability: float | None = None, logit: float | None = None) -> Shown:
        return Shown(token_id, self.text([token_id]), probability, logit)


def _shapes(step: Step) -> str:
    b, t, v = step.logits_shape
    cached = f" + {step.cached} cached" if step.cached else ""
    return f"ids [{b}, {t}]{cached} -> logits [{b}, {t}, {v}] -> last row"


def _inputs(step: Step) -> str:
    shown = step.inputs[-SHOWN_INPUTS:]
    before = f"... {len(step.inputs) - len(shown)} more ... " if len(shown) < len(step.inputs) else ""
    return before + " ".join(f"{token.text!r}({token.id})" for token in shown)


def _stage_line(stage: Stage) -> str:
    line = f"{stage.name}: {stage.remaining} left"
    if stage.removed:
        names = ", ".join(f"{token.text!r} {token.probability:.4f}" for token in stage.dropped[:4])
        line += f", {stage.removed} removed" + (
            f" ({names}{', ...' if stage.removed > 4 else ''})" if names else ""
        )
    return line


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _code(text: str) -> str:
    return f"<code>{_escape(text)}</code>"


def _html_of_candidate(candidate: Shown, chosen: bool) -> str:
    probability = candidate.probability or 0.0
    bar = f'<div style="background:#59f;height:0.7em;width:{round(120 * probability)}px"></div>'
    cells = (_code(repr(candidate.text)), candidate.id, f"{candidate.logit:.3f}", f"{probability:.4f}", bar)
    style = ' style="font-weight:bold"' if chosen else ""
    return f"<tr{style}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _html_of_step(number: int, step: Step) -> str:
    rows = "".join(_html_of_candidate(c, c.id == step.chosen.id) for c in step.candidates)
    stages = "".join(f"<li>{_escape(_stage_line(stage))}</li>" for stage in step.stages)
    end = ": the end" if step.ends else ""
    return (
        f"<h4>pass {number}: {_escape(_shapes(step))}, {step.ms:.1f} ms</h4><p>in {_code(_inputs(step))}</p>"
        f"<table><tr><th>out</th><th>id</th><th>logit</th><th>p</th><th></th></tr>{rows}</table>"
        f"<ul>{stages}</ul><p>append {_code(repr(step.chosen.text))}{end}</p>"
    )
