"""nextoken explain: the loop's first passes, laid open."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from nextoken.cli.opening import JsonOption, ModelArgument, ThreadsOption, open_model


def explain_command(
    model: ModelArgument,
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", help="How many forward passes to show.")
    ] = 3,
    top: Annotated[int, typer.Option("--top", help="How many candidates to show.")] = 10,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int, typer.Option("--top-k", help="Keep the k likeliest; 0 keeps all.")] = 0,
    top_p: Annotated[float, typer.Option("--top-p", help="Keep the likeliest that sum to p.")] = 1.0,
    min_p: Annotated[
        float, typer.Option("--min-p", help="Keep those at least p times as likely as the best.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed draws the same tokens.")] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each forward pass: tokens in, shapes, candidates out, what each sampler stage removed, the token appended.

    Example: nextoken explain smollm2-135m "2 + 2 =" --max-tokens 2 --temperature 0.8 --top-k 5
    """
    with open_model(model, threads) as llm:
        explanation = llm.explain(
            prompt,
            top=top,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            seed=seed,
        )
    if as_json:
        print(json.dumps(explanation.to_dict(), ensure_ascii=False))
    else:
        Console().print(explanation)
