"""Writes unicode_ranges.inc, the general category of every code point, or letter_ranges.inc, the kinds of letters.

The version is fixed on purpose: a tokenizer's ids must not move when somebody's Unicode data does, and 15.1 is what
the vocabularies at hand were split with.

    pip install unicodedata2==15.1.0 && python make_unicode_ranges.py > unicode_ranges.inc
    python make_unicode_ranges.py letters > letter_ranges.inc
"""

import sys

import unicodedata2

assert unicodedata2.unidata_version == "15.1.0"
LETTERS = "LNZMPSC"  # the order of enum class Category; unassigned comes last
KINDS = ["Lu", "Ll", "Lt", "Lm", "Lo"]  # the order of enum class Letter; no letter comes last


def category(code_point: int) -> int:
    name = unicodedata2.category(chr(code_point))
    return len(LETTERS) if name == "Cn" else LETTERS.index(name[0])


def letter(code_point: int) -> int:
    name = unicodedata2.category(chr(code_point))
    return KINDS.index(name) if name in KINDS else len(KINDS)


kind_of, what, enum = (
    (letter, "kinds of letters", "Letter")
    if sys.argv[1:] == ["letters"]
    else (category, "general categories", "Category")
)
starts = [(0, kind_of(0))]
for c in range(1, 0x110000):
    if kind_of(c) != starts[-1][1]:
        starts.append((c, kind_of(c)))

print(f"// Unicode 15.1 {what}: first code point of a range << 3 | {enum}. By make_unicode_ranges.py.")
print("// clang-format off")
row = ""
for c, k in starts:
    item = f"0x{c << 3 | k:X},"
    if len(row) + len(item) > 119:
        print(row)
        row = ""
    row += item
print(row)
print("// clang-format on")
