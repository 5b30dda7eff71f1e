"""How text is cut into words before byte pair encoding: the one place to add a pre-tokenizer.

A name of `tokenizer.ggml.pre` maps to the patterns that cut the text, each cutting further what the one before it
left. The syntax is the subset that `csrc/tokenizer/pattern.h` lists; categories are those of Unicode 15.1.
"""

from __future__ import annotations

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "gpt-2": (GPT2,),
    "smollm": (r"\p{N}", GPT2),  # every digit by itself
}
