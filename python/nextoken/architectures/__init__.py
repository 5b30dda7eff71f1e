"""Families of decoders: config in, spec and tensor roles out. Adding a model touches this folder alone."""

from nextoken.architectures import (
    gemma,
    gemma2,
    gemma3,
    granite,
    llama,
    olmo2,
    olmoe,
    phi3,
    qwen2,
    qwen2moe,
    qwen3,
    qwen3moe,
    smollm3,
)
from nextoken.architectures.registry import Plan, plan, supported

__all__ = [
    "Plan",
    "gemma",
    "gemma2",
    "gemma3",
    "granite",
    "llama",
    "olmo2",
    "olmoe",
    "phi3",
    "plan",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "smollm3",
    "supported",
]
