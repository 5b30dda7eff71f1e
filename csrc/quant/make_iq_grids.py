"""Writes iq_grids.cpp, the codebooks of the IQ types, from those of the `gguf` package (gguf/quants.py):

    python csrc/quant/make_iq_grids.py

They are part of the definition of the types: lattice points chosen by the types' author, which no rule gives.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import quants

GRIDS = {
    "IQ1": quants.IQ1_S,
    "IQ2_XXS": quants.IQ2_XXS,
    "IQ2_XS": quants.IQ2_XS,
    "IQ2_S": quants.IQ2_S,
    "IQ3_XXS": quants.IQ3_XXS,
    "IQ3_S": quants.IQ3_S,
}
HEAD = """\
// Written by make_iq_grids.py. clang-format off
#include "quant/iq_grids.h"

namespace nextoken::quant {
"""


def main() -> None:
    text = HEAD
    for name, kind in GRIDS.items():
        kind.init_grid()
        grid = kind.grid.reshape(kind.grid_shape)
        digits = np.searchsorted(np.array(kind.grid_map, np.float32), grid).astype(np.uint32)
        bits = 2 if grid.shape[1] == 8 else 3
        entries = (digits << (bits * np.arange(grid.shape[1], dtype=np.uint32))).sum(axis=1)
        text += f"\nconst uint16_t GRID_{name}[{len(entries)}] = {{\n"
        for row in entries.reshape(-1, 16):
            text += "    " + ", ".join(str(int(n)) for n in row) + ",\n"
        text += "};\n"
    (Path(__file__).parent / "iq_grids.cpp").write_text(text + "\n} // namespace nextoken::quant\n")


if __name__ == "__main__":
    main()
