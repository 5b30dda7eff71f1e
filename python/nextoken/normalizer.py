"""What is done to text before it is spelt: steps that a tokenizer's file names, as data.

("form", "NFKC")            a Unicode normal form
("charsmap", blob, how)     SentencePiece's map of characters, by the "longest" match or by "clusters"
("spaces",)                 SentencePiece's remove_extra_whitespaces
("replace", old, new)       wherever it stands
("regex", pattern, new)     of REGEXES
("strip", where)            white space at the "left", the "right" or "both"
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from nextoken import _native

Step = tuple[str | bytes, ...]

SPACE = "▁"
# What Rust calls white space: str.strip() takes more.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# Those that converters write, and what they are here.
REGEXES = {" {2,}": " {2,}", r"\A +| +\z": r"\A +| +\Z", r"\A▁": r"\A▁"}


class Normalizer:
    """The steps as one function. Raises TokenizerError, when it is made, for a map of characters that is broken."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._functions = [_function(*step) for step in steps]

    def __call__(self, text: str) -> str:
        for function in self._functions:
            text = function(text)
        return text


def _function(name: str | bytes, *arguments: str | bytes) -> Callable[[str], str]:
    return _MAKERS[str(name)](*arguments)


def _charsmap(blob: bytes, how: str) -> Callable[[str], str]:
    chars_map, clusters = _native.CharsMap(blob), how == "clusters"
    return lambda text: chars_map.apply(text.encode(), clusters).decode()


def _regex(pattern: str, new: str) -> Callable[[str], str]:
    compiled = re.compile(REGEXES[pattern])
    return lambda text: compiled.sub(new, text)


def _strip(where: str) -> Callable[[str], str]:
    strip = {"left": str.lstrip, "right": str.rstrip, "both": str.strip}[where]
    return lambda text: strip(text, WHITE_SPACE)


def _spaces(text: str) -> str:
    return re.sub(" {2,}", " ", text).lstrip(" ").rstrip(" " + SPACE)


_MAKERS: dict[str, Callable[..., Callable[[str], str]]] = {
    "form": lambda form: lambda text: unicodedata.normalize(form, text),
    "charsmap": _charsmap,
    "spaces": lambda: _spaces,
    "replace": lambda old, new: lambda text: text.replace(old, new),
    "regex": _regex,
    "strip": _strip,
}
