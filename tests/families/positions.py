"""Scalings of rotary positions as transformers' configurations have them, and what a GGUF file says of them."""

from __future__ import annotations

import numpy as np

DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}
YARN_KEYS = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 128,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LONG = [1.0, 1.1, 1.3, 1.7, 2.0, 3.0]  # of 12 rotating elements
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "long_factor": LONG,
    "short_factor": [1.0] * 5 + [1.25],
    "partial_rotary_factor": 0.75,
}


def llama3_factors() -> list[float]:
    """What a converter puts into rope_freqs.weight for LLAMA3."""
    r, d = LLAMA3, 16
    wavelengths = 2 * np.pi * r["rope_theta"] ** (2 * np.arange(d // 2) / d)
    n = r["original_max_position_embeddings"]
    smooth = (n / wavelengths - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
    smooth = np.clip(smooth, 0, 1)
    return list(1 / ((1 - smooth) / r["factor"] + smooth))
