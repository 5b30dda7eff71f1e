"""Families of decoders: config in, spec and tensor roles out. Adding a model touches this folder alone."""

from nextoken.architectures import gemma3, llama
from nextoken.architectures.registry import Plan, plan, supported

__all__ = ["Plan", "gemma3", "llama", "plan", "supported"]
