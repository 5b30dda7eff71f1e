"""nextoken run: an answer to a prompt, or a conversation, streamed as it comes."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from nextoken.cli.opening import (
    ContextOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    KvOption,
    ModelArgument,
    ThreadsOption,
    mib,
    open_model,
    peak_memory,
)
from nextoken.completion import Completion
from nextoken.errors import ContextLengthError
from nextoken.llm import LLM
from nextoken.stream import TokenStream

EXIT_WORDS = ("/exit", "/quit")


def run_command(
    model: ModelArgument,
    prompt: Annotated[
        str | None, typer.Argument(help="What to answer; a conversation starts if it is not given.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", "-n", help="At most so many tokens an answer.")
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int, typer.Option("--top-k", help="Keep the k likeliest; 0 keeps all.")] = 0,
    top_p: Annotated[float, typer.Option("--top-p", help="Keep the likeliest that sum to p.")] = 1.0,
    min_p: Annotated[
        float, typer.Option("--min-p", help="Keep those at least p times as likely as the best.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", help="Above 1 against repetition.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed draws the same answer.")] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="The system message of a conversation.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the prompt as plain text, without the chat template.")
    ] = False,
    threads: ThreadsOption = None,
    n_ctx: ContextOption = None,
    kv_dtype: KvOption = "f16",
    dtype: DtypeOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Leave out the line of timings.")] = False,
) -> None:
    """Answer a prompt, or hold a conversation; Ctrl-C stops the answer, and in a conversation not the program.

    Example: nextoken run smollm2-135m "Why is the sky blue?" --max-tokens 64
    """
    options: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
    }
    with open_model(model, threads, n_ctx, kv_dtype, dtype, device) as llm:
        plain = raw or llm.tokenizer.chat_template is None
        why = "--raw takes no chat template" if raw else "this model has no chat template"
        if plain and system is not None:
            raise typer.BadParameter(f"{why}, which would word it", param_hint="--system")
        messages = [] if system is None else [{"role": "system", "content": system}]
        if prompt is None:
            if plain:
                raise typer.BadParameter(f"{why}: give a prompt to continue", param_hint="PROMPT")
            if as_json:
                raise typer.BadParameter("a conversation is no JSON: give a prompt", param_hint="--json")
            _converse(llm, messages, options, quiet)
            return
        if plain:
            stream = llm.stream(prompt, **options)
        else:
            stream = llm.chat([*messages, {"role": "user", "content": prompt}], stream=True, **options)
        if as_json:
            for _ in stream:
                pass
            print(json.dumps(stream.completion.to_openai(), ensure_ascii=False))
            return
        stopped = not _print_tokens(stream)
        _print_end(stream.completion, max_tokens)
        if not quiet:
            _print_timings(stream.completion)
        if stopped:
            raise SystemExit(130)


def _print_tokens(stream: TokenStream) -> bool:
    """Print tokens as they come; False if Ctrl-C stopped them."""
    try:
        for token in stream:
            print(token, end="", flush=True)
        return True
    except KeyboardInterrupt:
        stream.close()
        return False
    finally:
        print(flush=True)


def _print_end(completion: Completion, max_tokens: int | None) -> None:
    """Say so where nothing that was asked for ended the answer."""
    n_written = completion.usage.completion_tokens
    if completion.finish_reason == "length" and n_written != max_tokens:
        n_ctx = completion.usage.total_tokens
        print(f"nextoken: the answer was cut: the context holds {n_ctx} tokens", file=sys.stderr)


def _print_timings(completion: Completion) -> None:
    t, usage = completion.timings, completion.usage
    line = (
        f"prompt {t.prefill_tokens} tokens, {t.prefill_tokens_per_s:.0f} tokens/s | "
        f"generated {usage.completion_tokens} tokens, {t.decode_tokens_per_s:.0f} tokens/s | "
        f"first token after {t.ttft_s * 1e3:.0f} ms | peak memory {mib(peak_memory())}"
    )
    Console(stderr=True).print(line, style="dim", highlight=False, soft_wrap=True)


class _CtrlC:
    """At the prompt Ctrl-C gives up the line, elsewhere it sets `stop`: at no moment is it unexpected."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._at_prompt = False

    def __enter__(self) -> _CtrlC:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, *_: object) -> None:
        self.stop.set()
        if self._at_prompt:
            self._at_prompt = False
            raise KeyboardInterrupt

    def input(self, prompt: str) -> str:
        """A line; empty after Ctrl-C. EOFError at the end."""
        self.stop.clear()
        try:
            try:
                self._at_prompt = True
                return input(prompt)
            finally:
                self._at_prompt = False
        except KeyboardInterrupt:  # in the inner `finally` too
            print()
            return ""


def _converse(llm: LLM, messages: list[dict[str, str]], options: dict[str, Any], quiet: bool) -> None:
    """Read a line, answer it, keep both; the session computes only what is new."""
    if sys.stdin.isatty():
        import readline  # noqa: F401  gives input() editing and history

        print(f"{llm.name}: {' or '.join(EXIT_WORDS)} or Ctrl-D ends, Ctrl-C stops an answer.")
    opening = len(messages)
    with llm.session() as session, _CtrlC() as ctrl_c:

        def answer() -> TokenStream:
            return llm.chat(messages, session=session, stream=True, cancel=ctrl_c.stop, **options)

        while True:
            try:
                line = ctrl_c.input("> " if sys.stdin.isatty() else "")
            except EOFError:
                return
            if line.strip() in EXIT_WORDS:
                return
            if not line.strip():
                continue
            messages.append({"role": "user", "content": line})
            stream = _fitting(answer, messages, opening)
            if stream is None:
                continue
            _print_tokens(stream)
            _print_end(stream.completion, options["max_tokens"])
            messages.append({"role": "assistant", "content": stream.completion.text})
            if not quiet:
                _print_timings(stream.completion)


def _fitting(
    answer: Callable[[], TokenStream], messages: list[dict[str, str]], opening: int
) -> TokenStream | None:
    """What answers the last message, without the turns before it if they leave no room; None if it fits not even so."""
    try:
        return answer()
    except ContextLengthError as error:
        alone = len(messages) == opening + 1
        print(f"nextoken: {error}{'' if alone else '; the conversation starts anew'}", file=sys.stderr)
    if alone:
        messages.pop()
        return None
    del messages[opening:-1]
    return _fitting(answer, messages, opening)
