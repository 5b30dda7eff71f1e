"""The sampler in plain NumPy: the definition, in float64 from the scaled logits on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.float32]


def log_softmax(x: Row) -> npt.NDArray[np.float64]:
    y = x.astype(np.float64) - float(x.max())
    return y - np.log(np.exp(y).sum())


def philox4x32(counter: list[int], key: list[int]) -> list[int]:
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def uniform(seed: int, sequence: int, position: int) -> float:
    """53 bits of Philox: the seed is the key, position and sequence the counter."""
    words = philox4x32([position % 2**32, position >> 32, sequence, 0], [seed % 2**32, seed >> 32])
    return (((words[0] << 32) | words[1]) >> 11) * 2.0**-53


def adjust(x: Row, prompt: list[int], answer: list[int], p: dict[str, Any]) -> Row:
    """Masks, bias and penalties; each stage rounds to float32."""
    x = x.copy()
    if p.get("allowed_token_ids") is not None:
        keep = np.zeros(len(x), bool)
        keep[list(p["allowed_token_ids"])] = True
        x[~keep] = -np.inf
    for i, bias in p.get("logit_bias", {}).items():
        x[i] = np.float32(float(x[i]) + float(np.float32(bias)))  # kept as float32
    r = p.get("repetition_penalty", 1.0)
    for i in set(prompt) | set(answer):
        v = float(x[i])
        x[i] = np.float32(v / r if v > 0 else v * r)
    for i in set(answer):
        once, each = p.get("presence_penalty", 0.0), p.get("frequency_penalty", 0.0)
        x[i] = np.float32(float(x[i]) - (once + each * answer.count(i)))
    return x


def kept(x: Row, p: dict[str, Any]) -> list[int]:
    """The ids that the filters leave, ascending; `x` after the penalties."""
    z32 = (x - x.max()) * np.float32(1.0 / p["temperature"])
    ids = [i for i in range(len(x)) if x[i] > -np.inf]
    ids.sort(key=lambda i: (-x[i], i))  # likeliest first
    z = z32.astype(np.float64)

    def probabilities(ids: list[int]) -> npt.NDArray[np.float64]:
        w = np.exp(z[ids])
        return w / w.sum()

    def reach(order: list[int], mass: npt.NDArray[np.float64], p: float) -> list[int]:
        return order[: int(np.searchsorted(np.cumsum(mass), p)) + 1]

    if p.get("top_k", 0) > 0:
        ids = ids[: p["top_k"]]
    if p.get("typical_p", 1.0) < 1:
        q = probabilities(ids)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_q = z[ids] - np.log(np.exp(z[ids]).sum())
            entropy = -np.where(q > 0, q * log_q, 0).sum()
        order = sorted(range(len(ids)), key=lambda j: (abs(entropy + log_q[j]), ids[j]))
        ids = sorted(reach([ids[j] for j in order], q[order], p["typical_p"]), key=lambda i: (-x[i], i))
    if p.get("top_p", 1.0) < 1:
        ids = reach(ids, probabilities(ids), p["top_p"])
    if p.get("min_p", 0.0) > 0:
        ids = [i for i in ids if z[i] - z[ids[0]] >= np.log(p["min_p"])]
    return sorted(ids)
