"""Random configurations of every family, saved by transformers, and its float32 logits beside ours:

    PYTHONPATH=python:. python -m tests.models.compare_random [FAMILIES...] [--seeds FIRST LAST] [--no-bits]

Each is within 1e-4 of the largest logit, on 300 tokens and `kv_dtype="f32"`, with the same bits a token at a time, in
chunks, beside other sequences, on other numbers of threads and instruction sets; or it is refused, and the message is
shown. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers

from nextoken import LLM, ModelFormatError, UnsupportedModelError
from tests.bits.matrix import few_ways
from tests.bits.test_same_bits import check_model, isas_here
from tests.models.compare_transformers import make
from tests.models.draw import Options
from tests.models.random_configs import FAMILIES, configuration

N_IDS, LIMIT = 300, 1e-4


def compare(family: str, options: Options, bits: bool) -> str:
    """What to print of one model; AssertionError if it does not hold."""
    model = make(family, options, gain=1.0)
    ids = np.random.default_rng(0).integers(0, options["vocab_size"], N_IDS).tolist()
    with torch.no_grad():
        expected = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
    largest = np.abs(expected).max()
    assert np.isfinite(expected).all(), "transformers' logits are not finite"
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        try:
            with LLM(folder, kv_dtype="f32", n_ctx=N_IDS) as llm:
                found = np.asarray(llm([ids])[0])
        except (UnsupportedModelError, ModelFormatError) as error:
            return f"refused: {str(error).removeprefix(folder)}"
        difference = float(np.abs(found - expected).max() / largest)
        assert difference <= LIMIT, f"{difference:.1e} of the largest logit, {largest:.3g}"
        if bits:
            check_model(Path(folder), few_ways(isas_here()), (29, 1, 12), "f32")
    return f"{difference:.1e}"


def over_seeds(
    parser: argparse.ArgumentParser, compare: Callable[[str, Options, argparse.Namespace], str]
) -> None:
    """Print what `compare` says of each family and seed that the command line asks for; failures end it at last."""
    parser.add_argument("families", nargs="*", help="names of transformers' classes, or how they begin")
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 9), metavar=("FIRST", "LAST"))
    asked = parser.parse_args()
    logging.getLogger("nextoken").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    failed = 0
    for family in FAMILIES:
        if asked.families and not family.startswith(tuple(asked.families)):
            continue
        for seed in range(asked.seeds[0], asked.seeds[1] + 1):
            options = configuration(family, seed)
            try:
                print(f"{family} {seed}: {compare(family, options, asked)}", flush=True)
            except Exception as error:  # all of them are shown, with what they are about
                failed += 1
                print(f"{family} {seed}: FAILED: {error!r} {json.dumps(options)}", flush=True)
    if failed:
        raise SystemExit(f"{failed} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description="Random configurations beside transformers.")
    parser.add_argument("--no-bits", action="store_true", help="compare with transformers alone")
    over_seeds(parser, lambda family, options, asked: compare(family, options, not asked.no_bits))


if __name__ == "__main__":
    main()
