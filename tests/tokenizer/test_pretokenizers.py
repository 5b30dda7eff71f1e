"""Where the pre-tokenizers cut: as the `tokenizers` library does by the pattern of the models' own tokenizer.json."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from nextoken import _native
from nextoken.pretokenizers import PRE_TOKENIZERS

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
# By the name in GGUF files: what tokenizer.json says.
ORIGINAL = {
    "llama-bpe": CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "seed-coder": CONTRACTIONS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
}
LETTERS = "aS't1 \n!"
# Bytes as byte-level vocabularies write them. Every two are a token, so that ids tell where a text was cut.
SPELT = [letter.replace(" ", "Ġ").replace("\n", "Ċ") for letter in LETTERS]
PAIRS = list(product(SPELT, repeat=2))
TOKENS = [*SPELT, *(a + b for a, b in PAIRS)]


@pytest.mark.parametrize("name", ORIGINAL)
@given(text=st.text(LETTERS, max_size=24))
def test_texts_are_cut_where_tokenizer_json_cuts_them(name: str, text: str) -> None:
    ours = _native.ByteLevelTokenizer(
        [token.encode() for token in TOKENS],
        np.ones(len(TOKENS), np.uint8),
        [],
        [f"{a} {b}".encode() for a, b in PAIRS],
        list(PRE_TOKENIZERS[name]),
    )
    theirs = Tokenizer(models.BPE({token: i for i, token in enumerate(TOKENS)}, PAIRS))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(ORIGINAL[name]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    assert ours.encode(text.encode(), False) == theirs.encode(text).ids
