"""From a checkpoint to what the native loader needs: a spec, and which tensor plays which role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextoken._native import Spec
from nextoken.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from nextoken._native import Tensor
    from nextoken.checkpoints.gguf import GGUFCheckpoint

SpecBuilder = Callable[["GGUFCheckpoint"], Spec]


@dataclass(frozen=True)
class Family:
    """How one architecture is read.

    `roles` maps a role of the native loader to the tensor's name in a GGUF file, `{i}` standing for the layer;
    `optional` are the roles a file may lack; `harmless` are hyper-parameters that do not change the arithmetic.
    """

    spec: SpecBuilder
    roles: Mapping[str, str]
    optional: frozenset[str]
    harmless: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """What `_native.Model.load` takes: the spec, and the tensor of the file that plays each role."""

    spec: Spec
    tensors: dict[str, Tensor]


_families: dict[str, Family] = {}


def register(
    architecture: str,
    *,
    roles: Mapping[str, str],
    optional: frozenset[str] = frozenset(),
    harmless: frozenset[str] = frozenset(),
) -> Callable[[SpecBuilder], SpecBuilder]:
    """Declare the function that builds the spec of files whose `general.architecture` is `architecture`."""

    def add(spec: SpecBuilder) -> SpecBuilder:
        _families[architecture] = Family(spec, roles, optional, harmless)
        return spec

    return add


def supported() -> list[str]:
    """Names of the architectures this version runs."""
    return sorted(_families)


def plan(checkpoint: GGUFCheckpoint) -> Plan:
    """Choose the family of a checkpoint, build its spec, and give every tensor its role.

    Raises UnsupportedModelError for an unknown architecture, and for a hyper-parameter or tensor that may change the
    arithmetic and is not applied; ModelFormatError, naming the field, for values and tensors that do not fit.
    """
    name = checkpoint.architecture
    family = _families.get(name)
    if family is None:
        raise UnsupportedModelError(
            f"{checkpoint.path}: architecture {name[:64]!r} is not supported; supported are {', '.join(supported())}"
        )
    spec = family.spec(checkpoint)
    spec.validate()
    _refuse_unread_hyper_parameters(checkpoint, family)

    tensors: dict[str, Tensor] = {}
    missing: list[str] = []
    for role, template in family.roles.items():
        layered = "{i}" in template
        for i in range(spec.n_layers if layered else 1):
            tensor_name = template.format(i=i)
            tensor = checkpoint.tensors.get(tensor_name)
            if tensor is not None:
                tensors[f"layers.{i}.{role}" if layered else role] = tensor
            elif role not in family.optional:
                missing.append(tensor_name)
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise ModelFormatError(
            f"{checkpoint.path}: tensors are missing: {', '.join(missing[:10])}{more}",
            path=checkpoint.path,
            field=missing[0],
        )
    used = {tensor.name for tensor in tensors.values()}
    unused = [tensor_name for tensor_name in checkpoint.tensors if tensor_name not in used]
    if unused:
        raise UnsupportedModelError(
            f"{checkpoint.path}: tensor {unused[0]!r} is no part of architecture {name!r} as it is known here, and "
            "leaving it out may change the answers"
        )
    return Plan(spec, tensors)


def _refuse_unread_hyper_parameters(checkpoint: GGUFCheckpoint, family: Family) -> None:
    for key in checkpoint.unread_hparams():
        if key not in family.harmless:
            raise UnsupportedModelError(
                f"{checkpoint.path}: hyper-parameter '{checkpoint.architecture}.{key}' is not applied by this version, and "
                "leaving it out may change the answers"
            )
