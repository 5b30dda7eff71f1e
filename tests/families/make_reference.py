"""Writes transformers.npz, what transformers makes of the tiny models of tiny.py in float32:

    PYTHONPATH=. python -m tests.families.make_reference [NAME...]

where torch and transformers are installed. Every thirteenth row of the logits of `ids()` is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.families.experts import IN_FOLDERS
from tests.families.family import Family, ids, weights
from tests.families.tiny import FAMILIES

REFERENCE = Path(__file__).with_name("transformers.npz")
STEP = 13
ALL = FAMILIES | IN_FOLDERS


def float32_logits(family: Family) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**family.hf)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    ours = {name: torch.from_numpy(value) for name, value in weights(family).items()}
    theirs = set(model.state_dict()) - ({"lm_head.weight"} if family.hf["tie_word_embeddings"] else set())
    assert set(ours) == theirs, set(ours) ^ theirs
    model.load_state_dict(ours, strict=False)
    model.tie_weights()
    with torch.no_grad():
        return model(torch.tensor([ids()]), use_cache=False).logits[0].numpy()


if __name__ == "__main__":
    names = sys.argv[1:] or ALL  # those named, or all
    rows = dict(np.load(REFERENCE)) if REFERENCE.exists() else {}
    rows |= {name: float32_logits(ALL[name])[::STEP] for name in names}
    np.savez_compressed(REFERENCE, **rows)
