"""Families of decoders: config in, spec and tensor roles out. Adding a model touches this folder alone."""

from nextoken.architectures import (
    gemma,
    gemma2,
    gemma3,
    granite,
    llama,
    olmo2,
    phi3,
    qwen2,
    qwen3,
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
    "phi3",
    "plan",
    "qwen2",
    "qwen3",
    "smollm3",
    "supported",
]
