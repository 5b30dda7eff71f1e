"""Writes unicode_ranges.inc: the general category of every code point, as ranges.

The version is fixed on purpose: a tokenizer's ids must not move when somebody's Unicode data does, and 15.1 is what
the vocabularies at hand were split with.

    pip install unicodedata2==15.1.0 && python make_unicode_ranges.py > unicode_ranges.inc
"""

import unicodedata2

assert unicodedata2.unidata_version == "15.1.0"
LETTERS = "LNZMPSC"  # the order of enum class Category; unassigned comes last


def category(code_point: int) -> int:
    name = unicodedata2.category(chr(code_point))
    return len(LETTERS) if name == "Cn" else LETTERS.index(name[0])


starts = [(0, category(0))]
for c in range(1, 0x110000):
    if category(c) != starts[-1][1]:
        starts.append((c, category(c)))

print(
    "// Unicode 15.1 general categories: first code point of a range << 3 | Category. By make_unicode_ranges.py."
)
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
