"""How text is cut into words before byte pair encoding: the one place to add a pre-tokenizer.

A name of `tokenizer.ggml.pre` maps to the patterns that cut the text, each cutting further what the one before it
left. The syntax is the subset that `csrc/tokenizer/pattern.h` lists; categories are those of Unicode 15.1. Names and
patterns follow llama.cpp's llama-vocab.cpp, so that a file's ids are those it was published with.
"""

from __future__ import annotations

import re

CONTRACTIONS = ("'[sS]", "'[tT]", "'[rR][eE]", "'[vV][eE]", "'[mM]", "'[lL][lL]", "'[dD]")
BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SINGLE_DIGITS = (r"\p{N}", GPT2)


def _cl100k(
    numbers: str, letters: str = r"\p{L}", others: str = r"[^\s\p{L}\p{N}]", behind: str = r"[\r\n]*"
) -> str:
    """OpenAI's pattern of GPT-4 with another idea of numbers; Llama 3 and Qwen have it too."""
    words = rf"[^\r\n\p{{L}}\p{{N}}]?{letters}+|{numbers}| ?{others}+{behind}"
    return "|".join((*CONTRACTIONS, words, BLANKS))


def _cased(numbers: str, endings: tuple[str, ...]) -> str:
    """Words end where a capital follows a small letter, as in GPT-4o and Mistral's Tekken."""
    capitals, small = r"[\p{L}--[a-z]]", r"[\p{L}--[A-Z]]"
    words = (rf"[^\r\n\p{{L}}\p{{N}}]?{capitals}*{small}+", rf"[^\r\n\p{{L}}\p{{N}}]?{capitals}+{small}*")
    return "|".join(
        (
            *(word + ending for word in words for ending in (*endings, "")),
            numbers,
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            BLANKS,
        )
    )


LLAMA3 = (_cl100k(r"\p{N}{1,3}"),)
QWEN2 = (_cl100k(r"\p{N}"),)
BLOOM = r" ?[^\(\s|\.,!\?…。，、।۔،\)]+"
# The letters of scripts with capitals, and signs, as DeepSeek's first models have them.
DEEPSEEK_LETTERS = (
    "[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώ"
    "ᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏"
    "𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]"
)
# From U+3001 on: to llama.cpp U+3000 is white space before it is a sign.
DEEPSEEK_SIGNS = "[!-/:-~！-／：-～‘-‟\u3001-。]"
DEEPSEEK3 = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"""[!"#\$%&'\(\)\*\+,\-\./:;<=>\?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + BLANKS,
)

PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion"), (GPT2,)),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), SINGLE_DIGITS
    ),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2"), QWEN2),
    "seed-coder": (_cl100k(r"\p{N}", behind=""),),
    "qwen35": (_cl100k(r"\p{N}", r"[\p{L}\p{M}]", r"[^\s\p{L}\p{M}\p{N}]"),),
    **dict.fromkeys(("gpt-4o", "llama4", "minimax-m2"), (_cased(r"\p{N}{1,3}", CONTRACTIONS),)),
    "tekken": (_cased(r"\p{N}", ()),),
    "falcon": (r"[\p{P}\$\+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), DEEPSEEK3),
    "deepseek-llm": (
        r"[\r\n]",
        rf"\s?{DEEPSEEK_LETTERS}+",
        rf"\s?{DEEPSEEK_SIGNS}+",
        r"\s+$",
        "[一-龥ࠀ-一가-퟿]+",
        r"\p{N}+",
    ),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), (BLOOM,)),
    "viking": (BLOOM, r"\p{N}"),
}

# A word that is a token is that token, whatever the merges make of it.
WHOLE_WORDS = frozenset(
    ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "glm4", "tekken"),
)
# Texts begin with the BOS token where the file does not say.
ADD_BOS = frozenset(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "tekken"))

GROUP = re.compile(r"\(\?(i?):((?:[^()\[\]\\]|\\.|\[[^\]]*\])*)\)(\??)")


def without_groups(regex: str) -> str:
    """`(?i:'s|'t)` and `(?:a|b)?` spelt out, as patterns have no groups: an alternative for each of theirs.

    Of an optional group the alternative without it comes last, as a greedy match has it.
    """
    found = []
    for alternative in _alternatives(regex):
        group = GROUP.search(alternative)
        if group is None:
            found.append(alternative)
            continue
        before, behind = alternative[: group.start()], alternative[group.end() :]
        choices = [_both_cases(c) if group[1] else c for c in _alternatives(group[2])]
        found += [without_groups(before + c + behind) for c in (*choices, *([""] if group[3] else []))]
    return "|".join(found)


def _alternatives(regex: str) -> list[str]:
    """What stands between the | that are in no set and no group."""
    parts, depth, i, from_ = [], 0, 0, 0
    while i < len(regex):
        c = regex[i]
        if c == "\\":
            i += 1
        elif c == "[":
            i = _end_of_set(regex, i)
        elif c in "()":
            depth += 1 if c == "(" else -1
        elif c == "|" and depth == 0:
            parts.append(regex[from_:i])
            from_ = i + 1
        i += 1
    return [*parts, regex[from_:]]


def _end_of_set(regex: str, begin: int) -> int:
    i = begin + 1
    while i < len(regex) and regex[i] != "]":
        i += 2 if regex[i] == "\\" else 1
    return i


def _both_cases(regex: str) -> str:
    """Every letter in both cases: s as [sSſ], the long s being one too, and [sd] as [sSſdD]."""
    spelt, in_set = "", False
    for c in regex:
        in_set = (in_set or c == "[") and c != "]"
        if c.isascii() and c.isalpha():
            both = f"{c.lower()}{c.upper()}{'ſ' if c in 'sS' else ''}"
            spelt += both if in_set else f"[{both}]"
        else:
            spelt += c
    return spelt
