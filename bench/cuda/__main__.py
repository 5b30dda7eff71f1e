"""python -m bench.cuda check       the card's logits against the CPU's, bit for bit: every weight type, and mixtures.
                                 BF16 has bits of the card's own: the same in chunks, and near the CPU's
python -m bench.cuda measure     decode, prefill and 64 sessions on random weights, of a dense model and of a mixture of
                                 experts, beside the card's copy bandwidth

Needs NumPy, and no network. `measure` prints a line of JSON for each figure; none of them is anything but measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.cuda.models import SHAPES, Shape, share_of_a_step, write
from nextoken import LLM, device
from tests.gguf_pieces import TYPES

PROMPT, DECODED, SESSIONS = 512, 64, 64
OWN_BITS, NEAR = ("BF16",), 2.0**-6  # of a row of logits, the length of its difference from the CPU's


def check(kinds: list[str], shape: Shape, n_tokens: int) -> int:
    """Prints a line a type; the number of runs whose bits differ."""
    ids = [int(i) for i in np.random.default_rng(1).integers(0, shape.vocab, n_tokens)]
    wrong = 0
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder) / "m.gguf", shape, kind)
            with LLM(path) as cpu, LLM(path, device="cuda") as cuda:
                logits = cpu.session().append(ids, logits="all")
                if kind in OWN_BITS:
                    own = cuda.session().append(ids, logits="all")
                    # The median: in a mixture a row may take another expert.
                    away = np.median(np.linalg.norm(own - logits, axis=1) / np.linalg.norm(logits, axis=1))
                    print(f"{kind}: {away:.1e} away from the CPU", flush=True)
                    wrong += not away < NEAR
                    logits = own
                expected = logits.view(np.uint32)
                for chunks in ([n_tokens], [n_tokens - 10, 1, 7, 2]):
                    session, begin = cuda.session(), 0
                    for n in chunks:
                        found = session.append(ids[begin : begin + n], logits="all").view(np.uint32)
                        differ = int((found != expected[begin : begin + n]).sum())
                        begin += n
                        wrong += differ > 0
                        if differ:
                            print(
                                f"{kind}: {differ} of {found.size} logits differ, chunks {chunks}", flush=True
                            )
        print(f"{kind}: checked", flush=True)
    return wrong


def seconds_of(run: Any, times: int) -> float:
    """The median of several runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def measure(path: Path, kind: str, shape: Shape, bandwidth: float) -> list[dict[str, Any]]:
    """Figures of one model: decode of one session and of many, and prefill."""
    ids = [int(i) for i in np.random.default_rng(1).integers(0, shape.vocab, PROMPT)]
    another = itertools.cycle(ids)  # a token that is always the same would always take the same experts
    start = time.perf_counter()
    with LLM(path, device="cuda", n_ctx=min(shape.n_ctx, PROMPT + DECODED)) as llm:
        load = time.perf_counter() - start
        session = llm.session()
        session.append(ids[:32], logits="none")
        session.append(ids[:1])
        step = seconds_of(lambda: session.append([next(another)]), DECODED)
        read = llm.nbytes * share_of_a_step(shape, kind)
        prefill = seconds_of(lambda: llm.session().append(ids), 3)
        many = [llm.session() for _ in range(SESSIONS)]
        llm.append(many, [ids[i : i + 16] for i in range(SESSIONS)])
        together = seconds_of(lambda: llm.append(many, [[next(another)] for _ in many]), 8)
    return [
        {"what": "load", "type": kind, "seconds": load},
        {
            "what": "decode",
            "type": kind,
            "tokens_per_second": 1 / step,
            "share_of_copy_bandwidth": read / step / bandwidth,
        },
        {"what": f"prefill of {PROMPT}", "type": kind, "tokens_per_second": PROMPT / prefill},
        {
            "what": f"{SESSIONS} sessions, decode",
            "type": kind,
            "tokens_per_second": SESSIONS / together,
            "times_one": SESSIONS * step / together,
        },
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("check", "measure"))
    parser.add_argument("--types", nargs="+", help="weight types; check: all, measure: Q4_K Q8_0 BF16")
    parser.add_argument("--shape", choices=SHAPES, help="check: tiny, measure: 7b/4 and 30b-a3b/12")
    parser.add_argument("--tokens", type=int, default=300, help="of check")
    args = parser.parse_args()
    if args.command == "check":
        # A mixture of experts too, of a type in blocks of 32, in blocks of 256, and of floats.
        if args.types or args.shape:
            return check(list(args.types or TYPES), SHAPES[args.shape or "tiny"], args.tokens)
        mixtures = check(["Q8_0", "Q4_K", "BF16"], SHAPES["mixture"], args.tokens)
        return mixtures + check(list(TYPES), SHAPES["tiny"], args.tokens)
    names = [args.shape] if args.shape else ["7b/4", "30b-a3b/12"]
    card = device.card_info()
    bandwidth = device.copy_bandwidth()
    print(
        json.dumps(
            {
                "card": card.name,
                "copy_bytes_per_second": bandwidth,
                "shapes": {name: vars(SHAPES[name]) for name in names},
            }
        ),
        flush=True,
    )
    for name, kind in itertools.product(names, args.types or ("Q4_K", "Q8_0", "BF16")):
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder) / "m.gguf", SHAPES[name], kind)
            for figure in measure(path, kind, SHAPES[name], bandwidth):
                print(json.dumps({"shape": name} | figure), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
