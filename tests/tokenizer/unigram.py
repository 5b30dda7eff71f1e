"""Unigram models that sentencepiece trains in a second, as all the files that carry such, and texts to try them on."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from nextoken.checkpoints import hf_sentencepiece
from tests.gguf_pieces import ARRAY, F32, I32, U8, Typed

WORDS = (
    *(
        "the",
        "quick",
        "brown",
        "fox",
        "and",
        "her",
        "lazy",
        "dog",
        "over",
        "there",
        "others",
        "anthem",
        "inner",
        "winner",
    ),
    *(
        "über",
        "straße",
        "naïve",
        "café",
        "мир",
        "привет",
        "слово",
        "日本語",
        "中文",
        "模型",
        "言語",
        "한국어",
        "हिन्दी",
    ),
    *("नमस्ते", "ไทย", "עברית", "العربية", "🦊", "👩‍👩‍👧", "e\u0301a", "ﬁne", "½", "①", "Ａｂｃ", "１２３"),
    *("...", "---", "====", "!?", "'s", "don't", "http://x.y"),
)
BITS = (
    *("the", "quick", "fox", "ing", "a", "b", "aa", "aaa", "-", "---", "====", " ", "  ", "   ", "▁", "▁▁"),
    *("\n", "\t", "\r\n", "\u3000", "\xa0", "\u200d", "\u200b", "\ufeff", "\x00", "\x01", "\x7f", "\x85"),
    *(
        "é",
        "e\u0301",
        "e\u0301\u0302",
        "\u0301",
        "\xa8",
        "\u0344",
        "ﬁ",
        "ﬀ\u0301",
        "½",
        "①",
        "Ａ",
        "㍿",
        "™",
        "ℹ\ufe0f",
    ),
    *("中", "日本", "한", "\u1112\u1161\u11ab", "हि", "न्", "ก็ำ", "ﷺ", "\u0600a", "ﾊﾟ", "ﾞ", "Ω", "Å"),
    *("🦊", "👩‍👩‍👧", "👨\u200d", "\ud7ff", "\U0010ffff", "<foo>", "xyz"),
)
TOKENS = ("<foo>", "xyz")


def texts(n: int, seed: int = 1) -> list[str]:
    """Bits side by side, words, any characters, and runs of one."""
    rng = random.Random(seed)
    made = ["", " ", "▁", "a▁", " ▁ ", "\n"]
    blocks = ((0x20, 0x300), (0x300, 0x370), (0x370, 0xD800), (0xE000, 0x11000), (0x1F000, 0x1FB00))
    for i in range(n):
        length = range(rng.randrange(1, 13))
        if i % 10 < 6:
            made.append("".join(rng.choice(BITS) for _ in length))
        elif i % 10 < 8:
            made.append(" ".join(rng.choice([*WORDS, *BITS]) for _ in length))
        elif i % 10 == 8:
            made.append("".join(chr(rng.randrange(*rng.choice(blocks))) for _ in length))
        else:
            made.append(rng.choice("ab-=▁ a") * rng.randrange(1, 80) + rng.choice(BITS))
    return made


@lru_cache
def trained(kind: str = "unigram", **options: Any) -> bytes:
    """A tokenizer.model of some hundred tokens."""
    rng, model = random.Random(0), io.BytesIO()
    lines = [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 15))) for _ in range(2000)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type=kind,
        vocab_size=600 if options.get("byte_fallback") else 330,
        hard_vocab_limit=False,
        character_coverage=0.98,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return model.getvalue()


def processor(model: bytes) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def rows_of(model: bytes) -> tuple[list[tuple[str, float, int]], bytes]:
    """(text, score, kind) of the tokens, and the map of characters."""
    rows, charsmap = [], b""
    for number, value in hf_sentencepiece._fields(model, "model"):
        fields = dict(hf_sentencepiece._fields(value, "model")) if isinstance(value, bytes) else {}
        if number == 1:
            score = np.frombuffer(fields.get(2) or bytes(4), "<f4")[0]
            rows.append((fields[1].decode(), float(score), fields.get(3, 1)))
        elif number == 3:
            charsmap = fields.get(2, b"")
    return rows, charsmap


def gguf_of(model: bytes) -> dict[str, Any]:
    """What convert_hf_to_gguf.py writes of such a model."""
    rows, charsmap = rows_of(model)
    return {
        "tokenizer.ggml.model": "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [text for text, _, _ in rows],
        "tokenizer.ggml.scores": Typed(ARRAY, [score for _, score, _ in rows], element=F32),
        "tokenizer.ggml.token_type": Typed(ARRAY, [kind for _, _, kind in rows], element=I32),
        "tokenizer.ggml.add_space_prefix": True,
        "tokenizer.ggml.remove_extra_whitespaces": True,
        "tokenizer.ggml.precompiled_charsmap": Typed(ARRAY, list(charsmap), element=U8),
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }


def _prefix(scheme: str, split: bool = False) -> Any:
    return pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)


# What tokenizer.json files do before they spell, by who has it so: normalizers of a map of characters, pre-tokenizer.
LAYOUTS: dict[str, Any] = {
    "T5 and XLM-R": lambda charsmap: (
        [normalizers.Precompiled(charsmap)],
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), _prefix("always", True)]),
    ),
    "converted by transformers 4": lambda charsmap: (
        [
            normalizers.Precompiled(charsmap),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ],
        _prefix("always", True),
    ),
    "converted by transformers 5": lambda charsmap: (
        [
            normalizers.Precompiled(charsmap),
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Replace(" ", "▁"),
            normalizers.Replace(Regex(r"\A▁"), "▁▁"),
        ],
        _prefix("always"),
    ),
    "a space before the first text": lambda charsmap: ([normalizers.Precompiled(charsmap)], _prefix("first")),
    "NFKC and no space before": lambda _: ([normalizers.NFKC()], _prefix("never", True)),
    "nothing before": lambda _: ([], _prefix("first")),
    "Llama": lambda _: ([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")], None),
}


def json_of(model: bytes, layout: str, added: Sequence[AddedToken | str], path: Path) -> tokenizers.Tokenizer:
    """Writes tokenizer.json of the model; the library's tokenizer of it."""
    rows, charsmap = rows_of(model)
    byte_fallback = any(kind == 6 for _, _, kind in rows)
    unigram = models.Unigram(
        [(text, score) for text, score, _ in rows], unk_id=0, byte_fallback=byte_fallback
    )
    tokenizer = tokenizers.Tokenizer(unigram)
    steps, pre_tokenizer = LAYOUTS[layout](charsmap)
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    if byte_fallback:
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens(list(added))
    tokenizer.save(str(path))
    return tokenizer
