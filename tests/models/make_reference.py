"""Make the accuracy references: float32 logits of the dequantised weights, and how far llama.cpp is from them.

    pip install torch==2.13.0 transformers==5.24.0 gguf accelerate llama-cpp-python==0.3.36
    python -m tests.models.make_reference smollm2-135m MODEL.gguf
    python -m tests.models.make_reference gemma-3-270m MODEL.gguf

Needs Python 3.11 (that torch is a small CPU build) and 8 GB of memory; takes a minute or two a model. Writes
`tests/models/NAME.npz`, which `test_accuracy.py` reads without any of these packages.

The token ids are llama.cpp's (control tokens in the text stay text). transformers loads the GGUF file itself and
runs in float32 with plain attention. llama.cpp runs with its own defaults: f16 cache, batches of 512. Its gap is
computed over the whole vocabulary and on the compact rows, so that both can be compared with ours.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import platform
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt
import torch
import transformers

from tests.models import kl

HERE = Path(__file__).parent
CANDIDATES = 64
THREADS = 2
PLAUSIBLE = 0.02  # mean KL; measured 0.003 to 0.005. A model loaded wrongly is above 0.1

Logits = npt.NDArray[np.float32]


@llama_cpp.llama_log_callback
def _say_nothing(_level: int, _text: bytes, _data: object) -> None:
    """llama.cpp reports every step of loading otherwise."""


class Peer:
    """llama.cpp over one file: ids of a text, logits of all positions."""

    def __init__(self, path: Path) -> None:
        llama_cpp.llama_log_set(_say_nothing, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp can not load it")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)

    def encode(self, text: str) -> list[int]:
        """Ids, with the model's own begin-of-text and no control token read from the text."""
        raw = text.encode()
        ids = (ctypes.c_int32 * (len(raw) + 8))()
        n = llama_cpp.llama_tokenize(self.vocab, raw, len(raw), ids, len(ids), True, False)
        return list(ids[:n])

    def logits(self, ids: list[int]) -> Logits:
        """(T, V)"""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = 2048, 2048, 512
        params.n_outputs_max = params.n_outputs_max_per_seq = 0  # a row for every token
        params.n_threads = params.n_threads_batch = THREADS
        context = llama_cpp.llama_init_from_model(self.model, params)
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token_id in enumerate(ids):
            batch.token[i], batch.pos[i], batch.logits[i] = token_id, i, 1
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        if llama_cpp.llama_decode(context, batch):
            raise SystemExit("llama.cpp can not decode")
        vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocab)
        rows = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), (len(ids), vocab_size)).copy()
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(context)
        return rows


def load_float32(path: Path) -> torch.nn.Module:
    """The model of a GGUF file in transformers, its weights dequantised to float32."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def float32_logits(model: torch.nn.Module, ids: list[int]) -> Logits:
    """(T, V)"""
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def logprob_of_next(logits: Logits, ids: list[int]) -> npt.NDArray[np.float64]:
    """(T,) log-probability of ids[t + 1] at position t; nan at the last."""
    logprob = np.full(len(ids), np.nan)
    for t, following in enumerate(ids[1:]):
        logprob[t] = logits[t, following] - kl.log_sum_exp(logits[t])
    return logprob


def make(path: Path) -> kl.Reference:
    peer, model = Peer(path), load_float32(path)
    texts = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    all_ids, rows, columns = [], [], []
    for text in texts:
        ids = peer.encode(text["text"])[: text["n_tokens"]]
        if len(ids) < text["n_tokens"]:
            raise SystemExit(f"text {text['name']} has {len(ids)} tokens, {text['n_tokens']} are wanted")
        ours, theirs = float32_logits(model, ids), peer.logits(ids)
        rows.append(kl.cut(ours, CANDIDATES))
        all_ids.append(ids)
        columns.append(
            {
                "next_logprob": logprob_of_next(ours, ids),
                "peer_kl": kl.compact_kl(rows[-1], theirs),
                "peer_full_kl": kl.full_kl(ours, theirs),
                "peer_top": theirs.argmax(axis=-1).astype(np.int32),
                "peer_next_logprob": logprob_of_next(theirs, ids),
            }
        )
        print(
            f"{text['name']:>12}: {len(ids)} tokens, llama.cpp's KL {columns[-1]['peer_full_kl'].mean():.5f}"
        )
    joined = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    return kl.Reference(
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        made_by=f"transformers {transformers.__version__}, torch {torch.__version__}; "
        f"llama-cpp-python {llama_cpp.__version__}, {THREADS} threads, {platform.machine()}; "
        + llama_cpp.llama_print_system_info().decode(),
        names=[text["name"] for text in texts],
        lengths=[len(ids) for ids in all_ids],
        ids=np.concatenate(all_ids).astype(np.int32),
        rows=kl.Rows(*(np.concatenate([getattr(part, name) for part in rows]) for name in kl.ROW_FIELDS)),
        **{name: c if c.dtype == np.int32 else c.astype(np.float32) for name, c in joined.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="the file is written as tests/models/NAME.npz")
    parser.add_argument("model", type=Path, help="a GGUF file")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)

    reference = make(arguments.model)
    mean, compact = reference.peer_full_kl.mean(), reference.peer_kl.mean()
    if mean > PLAUSIBLE:
        raise SystemExit(
            f"llama.cpp's mean KL is {mean:.4f}: one of the two runs another model. Nothing written."
        )
    agree = (reference.peer_top == reference.rows.candidates[:, 0]).mean()
    perplexity = [np.exp(-np.nanmean(x)) for x in (reference.next_logprob, reference.peer_next_logprob)]
    print(f"llama.cpp: mean KL {mean:.5f} (compact {compact:.5f}), top-1 agreement {agree:.2%}")
    print(f"perplexity: float32 {perplexity[0]:.3f}, llama.cpp {perplexity[1]:.3f}")
    path = HERE / f"{arguments.name}.npz"
    kl.save(path, reference)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
