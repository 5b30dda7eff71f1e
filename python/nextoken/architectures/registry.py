"""From a checkpoint to what the native loader needs: a spec, and which tensor plays which role."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextoken._native import Spec
from nextoken.architectures.config import KEYS, Config
from nextoken.checkpoints.gguf import shortened
from nextoken.checkpoints.tensors import split_heads
from nextoken.errors import ModelFormatError, UnsupportedModelError
from nextoken.log import log

if TYPE_CHECKING:
    from nextoken.checkpoints.gguf import GGUFCheckpoint, TensorInfo

SpecBuilder = Callable[[Config], Spec]


@dataclass(frozen=True)
class Family:
    """How one architecture is read.

    `models` and `own` are for people: which models have it, and what sets it apart (`docs/models.md` is made of them).
    `roles` maps a role of the native loader to the tensor's name in a GGUF file, `{i}` standing for the layer;
    `optional` are the roles a file may lack; `harmless` are hyper-parameters that do not change the arithmetic.
    """

    spec: SpecBuilder
    roles: Mapping[str, str]
    optional: frozenset[str]
    harmless: frozenset[str]
    models: str
    own: str


@dataclass(frozen=True)
class Plan:
    """What `_native.Model.load` takes: the spec, and the tensor of the file that plays each role."""

    spec: Spec
    tensors: dict[str, TensorInfo]


# Matrices that some converters write as one, side by side.
FUSED = {
    "qkv": ("blk.{i}.attn_qkv.weight", ("q", "k", "v")),
    "qkv_bias": ("blk.{i}.attn_qkv.bias", ("q_bias", "k_bias", "v_bias")),
}

# A layer has either one feed-forward or a mixture of experts.
ONE = frozenset(("gate", "up", "down", "gate_up", "gate_bias", "up_bias", "down_bias"))
MIXTURE = frozenset(("router", "expert_gate", "expert_up", "expert_down"))
SHARED = frozenset(("choice_bias", "shared_weight", "shared_gate", "shared_up", "shared_down"))

# Where experts are tensors of their own, in folders and old files.
PARTS_OF_EXPERTS = {
    "expert_gate": "blk.{i}.ffn_gate.{e}.weight",
    "expert_up": "blk.{i}.ffn_up.{e}.weight",
    "expert_down": "blk.{i}.ffn_down.{e}.weight",
}

# Where norms of heads are, in folders.
PARTS_OF_HEADS = {
    "q_norm": "blk.{i}.attn_q_norm.{e}.weight",
    "k_norm": "blk.{i}.attn_k_norm.{e}.weight",
}

_families: dict[str, Family] = {}


def register(
    architecture: str,
    *,
    models: str,
    own: str,
    roles: Mapping[str, str],
    optional: frozenset[str] = frozenset(),
    harmless: frozenset[str] = frozenset(),
) -> Callable[[SpecBuilder], SpecBuilder]:
    """Declare the function that builds the spec of files whose `general.architecture` is `architecture`."""

    def add(spec: SpecBuilder) -> SpecBuilder:
        _families[architecture] = Family(spec, roles, optional, harmless, models, own)
        return spec

    return add


def supported() -> list[str]:
    """Names of the architectures this version runs."""
    return sorted(_families)


def family_of(architecture: str) -> Family:
    """What is known of a supported architecture."""
    return _families[architecture]


def plan(checkpoint: GGUFCheckpoint, n_ctx: int | None = None, *, allow_unused: bool = False) -> Plan:
    """Choose the family of a checkpoint, build its spec, and give every tensor its role.

    `n_ctx` is the context asked for, None for the trained one: a few models read longer contexts in another way.
    Raises UnsupportedModelError for an unknown architecture, and for a hyper-parameter or tensor that is not applied
    and may change the arithmetic (with `allow_unused`: is known to); ModelFormatError, naming the field, for values and
    tensors that do not fit.
    """
    name = checkpoint.architecture
    if name not in _families:
        raise _unknown(checkpoint)
    family = _families[name]
    config = Config(checkpoint, n_ctx)
    spec = family.spec(config)
    checkpoint.finish(spec, config.n_ctx(spec.n_ctx))
    config.validate(spec)
    tokens = "tokenizer.ggml.tokens"
    if tokens in checkpoint.metadata and checkpoint.metadata.length(tokens) > spec.vocab_size:
        raise checkpoint.error(
            tokens,
            f"has {checkpoint.metadata.length(tokens)} elements, the embedding {spec.vocab_size} rows",
        )
    unused: list[str] = []
    for key in config.unread():
        if key in family.harmless:
            continue
        what = f"hyper-parameter '{name}.{key}' is not applied by this version"
        if not allow_unused or key in KEYS.values():
            raise _unused_error(checkpoint, what, certain=key in KEYS.values())
        unused.append(what)

    roles = _roles(family, spec, checkpoint.tensors) | config.roles
    checkpoint.require_tensors(roles.values())
    used = {*roles.values(), *config.spare}
    for tensor in checkpoint.tensors:
        if tensor in used:
            continue
        what = f"tensor {tensor!r} is no part of architecture {name!r} as it is known here"
        if not allow_unused or tensor.endswith(".bias"):
            raise _unused_error(checkpoint, what, certain=tensor.endswith(".bias"))
        unused.append(what)
    if unused:
        more = f"; and {len(unused) - 10} more" if len(unused) > 10 else ""
        log.warning("%s: left out: %s%s", checkpoint.path, "; ".join(unused[:10]), more)
    found = {role: checkpoint.tensors[tensor] for role, tensor in roles.items()}
    for role in [role for role in found if role.endswith(".kv_b")]:
        found |= _split(found.pop(role), role.removesuffix("kv_b"), spec, checkpoint.path)
    return Plan(spec, found)


def _split(whole: TensorInfo, prefix: str, spec: Spec, path: str) -> dict[str, TensorInfo]:
    """Of latents: what makes keys and values, in one tensor in folders and older files."""
    latent, n = spec.latent, spec.n_heads
    expected = (latent.rank, n * (latent.nope_dim + latent.value_dim))
    if whole.shape != expected:
        raise ModelFormatError(
            f"{path}: tensor {shortened(whole.name)} is {whole.shape}, the hyper-parameters ask for {expected}",
            path=path,
            field=whole.name,
        )
    keys, values = split_heads(whole, n, latent.nope_dim, latent.value_dim)
    return {prefix + "k_b": keys, prefix + "v_b": values}


def _unused_error(checkpoint: GGUFCheckpoint, what: str, *, certain: bool) -> UnsupportedModelError:
    """`certain`: it does change the answers, so that no option loads the file."""
    effect = (
        "changes the answers"
        if certain
        else "may change the answers (allow_unused=True does it all the same)"
    )
    return UnsupportedModelError(f"{checkpoint.path}: {what}, and leaving it out {effect}")


def _roles(family: Family, spec: Spec, tensors: Mapping[str, object]) -> dict[str, str]:
    """Role to tensor name: what the family asks for, as far as it is not optional and missing."""
    roles, n_layers = {}, spec.n_layers
    dense = set(spec.experts.dense_layers if spec.experts.n_experts else range(n_layers))
    for role, template in family.roles.items():
        if "{i}" not in template:
            roles[role] = template
            continue
        for i in range(n_layers):
            if role not in (MIXTURE | SHARED if i in dense else ONE):
                roles[f"layers.{i}.{role}"] = template.format(i=i)
    for role, (template, parts) in FUSED.items():
        if role in family.roles or parts[0] not in family.roles:
            continue
        for i in range(n_layers):
            if template.format(i=i) in tensors:
                roles[f"layers.{i}.{role}"] = template.format(i=i)
                for part in parts:
                    del roles[f"layers.{i}.{part}"]
    counts = dict.fromkeys(PARTS_OF_EXPERTS, spec.experts.n_experts)
    counts |= {"q_norm": spec.n_heads, "k_norm": spec.n_kv_heads}
    for role, part in (PARTS_OF_EXPERTS | PARTS_OF_HEADS).items():
        for i in range(n_layers):
            first = part.format(i=i, e=0)
            if (
                f"layers.{i}.{role}" in roles
                and first in tensors
                and roles[f"layers.{i}.{role}"] not in tensors
            ):
                del roles[f"layers.{i}.{role}"]
                for e in range(counts[role]):
                    roles[f"layers.{i}.{role}.{e}"] = part.format(i=i, e=e)
    optional = {role: role.rpartition(".")[2] in family.optional for role in roles}
    return {role: name for role, name in roles.items() if name in tensors or not optional[role]}


def _unknown(checkpoint: GGUFCheckpoint) -> UnsupportedModelError:
    """Says what is known, and which known family the tensors look like."""
    kinds = {re.sub(r"^blk\.\d+\.", "blk.{i}.", name) for name in checkpoint.tensors}
    alike = [
        name
        for name, family in sorted(_families.items())
        if kinds <= set(family.roles.values())
        and all(
            tensor in kinds
            for role, tensor in family.roles.items()
            if role not in family.optional | (ONE if family.roles.get("router") in kinds else MIXTURE)
        )
    ]
    hint = f". Its tensors are named like those of {', '.join(alike)}" if alike else ""
    return UnsupportedModelError(
        f"{checkpoint.path}: architecture {shortened(checkpoint.architecture)} is not supported; "
        f"these are: {', '.join(supported())}{hint}"
    )
