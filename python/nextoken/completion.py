"""What comes out of a model: tokens one by one, and completions whole."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Literal

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Candidate:
    """One option for the next token.

    `logprob` is the log-softmax of the model's own logits, before any penalty, bias or filter.
    """

    id: int
    text: str
    bytes: bytes
    logprob: float

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Token:
    """One token of an answer; `str(token)` is its text.

    The `bytes` of a stream, joined, are exactly the bytes of its answer. `text` holds whole characters only: the one
    that completes a character has it all, the ones before it have "". What a stop string cuts off is in neither.
    `logprob` and `top` (the likeliest candidates, best first) are None unless `logprobs` was asked for.
    `index` counts from 0 within the answer; `ms` is the time of the pass that predicted it, the prompt's included
    for the first.
    """

    id: int
    text: str
    bytes: bytes
    logprob: float | None = None
    top: tuple[Candidate, ...] | None = None
    index: int = 0
    ms: float = 0.0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Usage:
    """Tokens counted: of the prompt, of it found in the session's cache, and predicted (whatever became of them)."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def to_openai(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass(frozen=True)
class OpTiming:
    """What one kind of operation took in all passes together.

    `seconds` is time on the clock, `waiting_s` what of it a thread spent without work, on average over the threads.
    `bytes` counts the weights, or the keys and values, that had to be read, once a call. Multiply-adds of int8, of
    floats and of bf16 are counted apart, since machines have other limits for each. `name` is one of embed, norm (with
    the residual sum and quantising), qkv, rope (with writing the cache), attention, attn_out, gate_up, activation,
    down, head, sampling and rest.
    """

    name: str
    calls: int
    seconds: float
    waiting_s: float
    bytes: int
    int8_macs: int
    float_macs: int
    bf16_macs: int

    @property
    def macs(self) -> int:
        return self.int8_macs + self.float_macs + self.bf16_macs

    @property
    def bytes_per_s(self) -> float:
        return self.bytes / self.seconds if self.seconds else 0.0

    @property
    def macs_per_s(self) -> float:
        return self.macs / self.seconds if self.seconds else 0.0


def op_timings(totals: dict[str, Any]) -> tuple[OpTiming, ...]:
    """What a native Profile says of its prefill or its decode passes."""
    return tuple(OpTiming(*op) for op in totals["ops"])


@dataclass(frozen=True)
class Timings:
    """Where the time went, in seconds.

    `ttft_s` runs from the call to the first predicted token, `prefill_s` is the pass over the prompt alone and
    `decode_s` the passes after it. In a batch a pass is shared, and its whole time is counted in each completion.
    `passes` counts the forward passes: as many as tokens predicted, EOS included.
    With `profile=True`, `prefill_ops` and `decode_ops` tell what the native passes spent their time on: those of one
    token a sequence are decode, all others prefill, and in a batch they are the passes of all its sequences.
    """

    prefill_tokens: int = 0
    prefill_s: float = 0.0
    decode_tokens: int = 0
    decode_s: float = 0.0
    ttft_s: float = 0.0
    passes: int = 0
    prefill_ops: tuple[OpTiming, ...] = ()
    decode_ops: tuple[OpTiming, ...] = ()

    @property
    def prefill_tokens_per_s(self) -> float:
        """Prompt tokens read a second; 0 before any were."""
        return self.prefill_tokens / self.prefill_s if self.prefill_s else 0.0

    @property
    def decode_tokens_per_s(self) -> float:
        """Tokens written a second after the first; 0 before any were."""
        return self.decode_tokens / self.decode_s if self.decode_s else 0.0


@dataclass(frozen=True)
class Completion:
    """One answer; `str(completion)` is its text.

    `finish_reason` is "stop" (EOS, a stop id or a stop string: `stop_reason` is that id or string), "length"
    (max_tokens, or a full context) or "cancelled". `logprobs` are the answer's tokens with `logprob` and `top`,
    `prompt_logprobs` the same for the prompt (None for its first token, which nothing precedes); each is None
    unless asked for. `seed` is the one that was used, drawn if none was given. With `n` above 1, `choices` holds
    all the answers, and the other fields are those of the first.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    stop_reason: int | str | None
    usage: Usage
    timings: Timings
    logprobs: tuple[Token, ...] | None = None
    prompt_token_ids: tuple[int, ...] = field(default=(), repr=False)
    prompt_logprobs: tuple[Token | None, ...] | None = field(default=None, repr=False)
    seed: int | None = None
    model: str = ""
    kind: Literal["text", "chat"] = "text"
    others: tuple[Completion, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def choices(self) -> tuple[Completion, ...]:
        """All `n` answers, this one first."""
        return (self, *self.others)

    def to_openai(self) -> dict[str, Any]:
        """The answer as OpenAI's API words it: a `chat.completion` after `chat`, else a `text_completion`."""
        chat = self.kind == "chat"
        describe = _chat_choice if chat else _text_choice
        predicted = sum(choice.usage.completion_tokens for choice in self.choices)
        return {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{os.urandom(16).hex()}",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [describe(i, choice) for i, choice in enumerate(self.choices)],
            "usage": Usage(self.usage.prompt_tokens, predicted, self.usage.cached_tokens).to_openai(),
        }


def _text_choice(index: int, choice: Completion) -> dict[str, Any]:
    logprobs: dict[str, Any] | None = None
    if choice.logprobs is not None:
        offsets, length = [], 0
        for token in choice.logprobs:
            offsets.append(length)
            length += len(token.text)
        logprobs = {
            "tokens": [token.text for token in choice.logprobs],
            "token_logprobs": [token.logprob for token in choice.logprobs],
            "top_logprobs": [{c.text: c.logprob for c in token.top or ()} for token in choice.logprobs],
            "text_offset": offsets,
        }
    return {
        "index": index,
        "text": choice.text,
        "logprobs": logprobs,
        "finish_reason": choice.finish_reason,
    }


def _chat_choice(index: int, choice: Completion) -> dict[str, Any]:
    def one(token: Token | Candidate) -> dict[str, Any]:
        return {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}

    logprobs: dict[str, Any] | None = None
    if choice.logprobs is not None:
        content = [one(t) | {"top_logprobs": [one(c) for c in t.top or ()]} for t in choice.logprobs]
        logprobs = {"content": content, "refusal": None}
    return {
        "index": index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": logprobs,
        "finish_reason": choice.finish_reason,
    }
