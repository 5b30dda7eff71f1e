"""Writes decoders.npz, what transformers makes of the models of cases.py and latent.py in float32:

    PYTHONPATH=. python -m tests.families.make_decoders [NAME...]

where torch and transformers are installed. Every thirteenth row of the logits of `ids()` is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.families import latent
from tests.families.cases import CASES, IN_FOLDERS, Case
from tests.families.family import ids

REFERENCE = Path(__file__).with_name("decoders.npz")
STEP = 13


ALL = {**CASES, **IN_FOLDERS, **latent.CASES}


def float32_logits(case: Case | latent.Case) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**case.config())
    # Its eager attention adds Falcon's distances twice.
    attention = "sdpa" if config.model_type == "falcon" else "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval()
    ours = {name: torch.from_numpy(value) for name, value in case.decoder()[1].items()}
    theirs = set(model.state_dict()) - ({"lm_head.weight"} - set(ours))
    assert set(ours) == theirs, set(ours) ^ theirs
    model.load_state_dict(ours, strict=False)
    model.tie_weights()
    with torch.no_grad():
        return model(torch.tensor([ids()]), use_cache=False).logits[0].numpy()


if __name__ == "__main__":
    names = sys.argv[1:] or [name for name, case in ALL.items() if case.in_transformers]
    rows = dict(np.load(REFERENCE)) if REFERENCE.exists() else {}
    rows |= {name: float32_logits(ALL[name])[::STEP] for name in names}
    np.savez_compressed(REFERENCE, **rows)
