"""Where a model runs: the CPU, or an NVIDIA card if this build has its kernels and the machine has one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nextoken.errors import DeviceUnavailableError, UnsupportedModelError
from nextoken.log import log

DEVICES = ("cpu", "cuda", "auto")
INDEX = 0  # of the card; CUDA_VISIBLE_DEVICES chooses another
T = TypeVar("T")


@dataclass(frozen=True)
class CardInfo:
    """A card, and its memory in bytes."""

    name: str
    compute_capability: tuple[int, int]
    total_bytes: int
    free_bytes: int


def extension() -> Any:
    """The module with the kernels for cards. Raises DeviceUnavailableError if this build has none."""
    try:
        return importlib.import_module("nextoken._cuda")
    except ModuleNotFoundError:
        raise DeviceUnavailableError(
            "this build of nextoken has no CUDA kernels. To get them, with nvcc 12.8 or newer: "
            "pip install . --config-settings=cmake.define.NEXTOKEN_CUDA=ON in nextoken's source"
        ) from None
    except ImportError as error:
        raise DeviceUnavailableError(f"the CUDA kernels of this build do not load: {error}") from error


def card_info() -> CardInfo:
    """The card that device="cuda" uses. Raises DeviceUnavailableError if there is none."""
    module = extension()
    try:
        n = module.count()
    except RuntimeError as error:
        raise DeviceUnavailableError(
            f"no NVIDIA driver that works here: {error}. Install or update the driver; `nvidia-smi` lists cards then"
        ) from error
    if n == 0:
        raise DeviceUnavailableError(
            "the NVIDIA driver sees no card: `nvidia-smi` lists what it sees, and CUDA_VISIBLE_DEVICES may hide it"
        )
    try:
        info: dict[str, Any] = module.info(INDEX)
    except RuntimeError as error:
        raise DeviceUnavailableError(f"card {INDEX} can not be used: {error}") from error
    return CardInfo(info["name"], info["compute_capability"], info["total_bytes"], info["free_bytes"])


def open_card() -> Any:
    """The card as Model.load takes it. Raises DeviceUnavailableError if there is none."""
    card_info()
    module = extension()
    card = module.open(INDEX)
    module.listen(card, log.warning)
    return card


def copy_bandwidth(n_bytes: int = 1 << 30, times: int = 10) -> float:
    """Bytes a second that the card reads and writes while it copies within its memory."""
    handle, module = open_card(), extension()
    module.copy_seconds(handle, n_bytes, 2)
    return float(2 * n_bytes * times / module.copy_seconds(handle, n_bytes, times))


def most_macs() -> tuple[float, float, float]:
    """Multiply-adds a second of the card: of int8 on tensor cores, of float32, of bf16 on tensor cores."""
    int8, floats, bf16 = extension().most_macs(open_card())
    return int8, floats, bf16


def fit(weight_bytes: int, kv_bytes: int, kv_bytes_per_token: int) -> dict[str, Any]:
    """Whether weights and a cache fit the card beside what it holds now, and for how many tokens there is room.

    `why` says why there is no card, and the rest is None then. Activations take some tens of megabytes more.
    """
    try:
        card = card_info()
    except DeviceUnavailableError as error:
        nothing = dict.fromkeys(("name", "total_bytes", "free_bytes", "fits", "most_tokens"))
        return {**nothing, "why": str(error)}
    return {
        "name": card.name,
        "total_bytes": card.total_bytes,
        "free_bytes": card.free_bytes,
        "fits": weight_bytes + kv_bytes <= card.free_bytes,
        "most_tokens": max(0, card.free_bytes - weight_bytes) // kv_bytes_per_token,
        "why": None,
    }


def check_name(device: Any) -> None:
    """Raises TypeError or ValueError unless it is one of DEVICES."""
    if not isinstance(device, str):
        raise TypeError(f"device must be a str, got {type(device).__name__}")
    if device not in DEVICES:
        raise ValueError(f"device={device!r} is not available, choose from {', '.join(map(repr, DEVICES))}")


def why_not() -> str | None:
    """Why device="cuda" would not work here, or None if it would."""
    try:
        card_info()
    except DeviceUnavailableError as error:
        return str(error)
    return None


def load_on(device: str, load: Callable[[Any], T]) -> T:
    """`load(card)`, or `load(None)` on the CPU: also for "auto" where no card runs this model, and the log says why."""
    if device == "cpu":
        return load(None)
    try:
        return load(open_card())
    except (DeviceUnavailableError, UnsupportedModelError, MemoryError) as error:
        if device == "cuda":
            raise
        log.info("the CPU runs this model: %s", error)
    return load(None)
