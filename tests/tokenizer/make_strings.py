"""Ten thousand strings that tokenizers disagree about, the same on every machine and Python version.

`strings()` makes them; `python make_strings.py` prints them as JSON, one a line, for another program to tokenize
(see make_reference.py). Only Random.random() is used: it alone is promised never to change.
"""

# ruff: noqa: E501, SIM905  long lists of short strings read best as one
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random

SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <repo_name> <reponame> <file_sep> <filename> <gh_stars> <issue_start> "
    "<issue_comment> <jupyter_code> <empty_output> <pad> <eos> <bos> <unk> <mask> [multimodal] <unused0> <unused42> "
    "<unused6141> <start_of_turn> <end_of_turn> <start_of_image> <end_of_image> <s> </s> <b> </b> <table> </td> <h1> "
    "<0x00> <0x0A> <0x41> <0xFF> <|eot_id|> <|begin_of_text|> [INST] [/INST] <<SYS>> <think> ▁ ▁▁ ▁the Ġ Ċ Ġthe"
).split(" ")
WORDS = (
    "the of and to in a is that for it was on are as with his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more two time like no just over know water than little very after word called first may "
    "Hello World Transformer attention Python naïve café Straße Zürich Ærøskøbing français español ação Привет мир как "
    "дела Ελληνικά ψυχή שלום مرحبا नमस्ते สวัสดี こんにちは 世界 안녕하세요 Việt antidisestablishmentarianism I'm don't we'll "
    "they've she'd it's you're O'Neill rock'n'roll 'S 'T 'LL ’s l'été McDonald iPhone XML2JSON camelCase snake_case"
).split(" ")
CODE = (
    "def f(x): return|    if x == 0:\n|\t\tprint('hi')\n|for (int i = 0; i < n; ++i) {\n|}\n|#include <vector>\n|// TODO: x\n|"
    'std::map<int, std::string> m;|<div class="a">|</div>|<p>&nbsp;</p>|{"a": [1, 2.5, null]}|SELECT * FROM t WHERE a >= 1;|'
    "a->b|x **= 2|!=|===|=>|<-|<!--|-->|/* */|\\n\\t\\\\|$HOME/.config|git commit -m 'x'|lambda x: x|@dataclass|f\"{a!r:>10}\"|"
    "0xDEADBEEF|1e-10|#!/bin/sh\n|http://example.com/?q=a%20b&c=1#d|user@example.org|C:\\Users\\x|fn main() -> Result<(), E> {"
).split("|")
SPACES = (
    " |  |   |\t|\t\t|\n|\n\n|\r\n|\r|\u00a0|\u2003|\u3000|\u200b|\u2028|\x0b|\x0c|\x85|\u1680|\ufeff".split(
        "|"
    )
)
EMOJI = "😀 👍 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 🇫🇷🇯🇵 1️⃣ #️⃣ ❤️ ❤ ☃ ♟️ 🧑🏿‍🚀 🤷🏼‍♀️ 🫠 🪿 🐦‍🔥 ‍ ️ 🏻".split(" ")
BLOCKS = (
    (0x20, 0x7F), (0x80, 0x250), (0x250, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xA00), (0xE00, 0xF00),
    (0x1100, 0x1200), (0x1E00, 0x2100), (0x2100, 0x2C00), (0x3000, 0x3200), (0x4E00, 0x5200), (0xA000, 0xB000),
    (0xAC00, 0xB000), (0xE000, 0xE100), (0xF900, 0x10000), (0x10000, 0x10500), (0x12000, 0x12400), (0x1D400, 0x1D800),
    (0x1F000, 0x1FB00), (0x20000, 0x20400), (0x2EBF0, 0x2EE60), (0xE0000, 0xE0200), (0x10FF00, 0x110000),
)  # fmt: skip
DIGITS = "0123456789٠١٢٣٤٥٦٧٨٩०१२३四五½²³₁ⅣⅫ①⑳𝟘𝟙"


class Maker:
    """One stream of random choices."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def below(self, n: int) -> int:
        return int(self._random.random() * n)

    def pick(self, items: Sequence[str]) -> str:
        return items[self.below(len(items))]

    def join(self, n: int, make: Callable[[], str], separator: str = "") -> str:
        return separator.join(make() for _ in range(1 + self.below(n)))

    def any_character(self) -> str:
        code = self.below(0x110000)
        return chr(code if not 0xD800 <= code < 0xE000 else 0xFFFD)

    def of_block(self, block: tuple[int, int]) -> str:
        return chr(block[0] + self.below(block[1] - block[0]))

    def planes(self) -> str:
        return self.join(12, self.any_character)

    def scripts(self) -> str:
        block, other = BLOCKS[self.below(len(BLOCKS))], BLOCKS[self.below(len(BLOCKS))]
        return self.join(16, lambda: self.of_block(other if self.below(5) == 0 else block))

    def digits(self) -> str:
        return self.join(
            8,
            lambda: self.join(7, lambda: self.pick(DIGITS[: 10 if self.below(4) else 99])),
            self.pick(" .,-:/"),
        )

    def words(self) -> str:
        return self.join(
            14, lambda: self.pick(WORDS), " " if self.below(4) else self.pick(SPACES)
        ) + self.pick(".!?,;:…'\"-")

    def whitespace(self) -> str:
        return self.join(
            10, lambda: self.pick(SPACES) * (1 + self.below(5)) + self.pick(("", "", "a", ".", "7", "é"))
        )

    def code(self) -> str:
        return self.join(6, lambda: self.pick(CODE) + self.pick(("", " ", "\n")))

    def emoji(self) -> str:
        return self.join(8, lambda: self.pick(EMOJI) + self.pick(("", "", " ", "a")))

    def controls(self) -> str:
        return self.join(
            10,
            lambda: (
                chr(self.below(32) if self.below(3) else 0x7F + self.below(33)) + self.pick(("", "x", " "))
            ),
        )

    def special(self) -> str:
        def one() -> str:
            text = self.pick(SPECIAL)
            cut = self.below(len(text) + 1)
            return (text, text, text[:cut], text[cut:], text.upper(), text[:cut] + " " + text[cut:])[
                self.below(6)
            ]

        return self.join(6, lambda: one() + self.pick(("", "", " ", "\n", "user", "  ")))

    def runs(self) -> str:
        return self.join(
            3,
            lambda: self.pick((*"a^ \n\t_=-.<!0é中▁", "ab", "\r\n", "😀", "e\u0301")) * (1 + self.below(120)),
        )

    def mixed(self) -> str:
        kinds = (
            self.planes,
            self.scripts,
            self.digits,
            self.words,
            self.whitespace,
            self.code,
            self.emoji,
            self.controls,
            self.special,
        )
        return self.join(5, lambda: kinds[self.below(len(kinds))]())


KINDS = (
    "planes",
    "scripts",
    "digits",
    "words",
    "whitespace",
    "code",
    "emoji",
    "controls",
    "special",
    "runs",
    "mixed",
)


def strings(per_kind: int = 950) -> list[str]:
    """`per_kind` strings of each of the eleven kinds, kinds taking turns: any prefix is a fair sample."""
    makers = [(kind, Maker(20240601 + i)) for i, kind in enumerate(KINDS)]
    return [getattr(maker, kind)() for _ in range(per_kind) for kind, maker in makers]


if __name__ == "__main__":
    for text in strings():
        print(json.dumps(text))
