"""nextoken inspect: what a file holds and what it needs, from its header alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from nextoken import device as devices
from nextoken.architectures import plan
from nextoken.checkpoints import catalogue
from nextoken.checkpoints.opening import open_checkpoint
from nextoken.checkpoints.summary import summary
from nextoken.checkpoints.tensors import check_dtype, with_dtype
from nextoken.cli.opening import DeviceOption, DtypeOption, JsonOption, KvOption, mib
from nextoken.errors import UnsupportedModelError
from nextoken.loading import check_n_ctx


def inspect_command(
    model: Annotated[
        str,
        typer.Argument(
            help="A GGUF file, a Hugging Face folder, or a name from `nextoken models`.", metavar="MODEL"
        ),
    ],
    n_ctx: Annotated[
        int | None,
        typer.Option("--n-ctx", help="Context to reckon the cache for; the trained one if not given."),
    ] = None,
    kv_dtype: KvOption = "f16",
    dtype: DtypeOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Show architecture, hyper-parameters, tensors by type, and the memory that a context takes. Reads no weights.

    `--device cuda` says whether that fits the card, and how long a context would.

    Example: nextoken inspect model.gguf --n-ctx 4096
    """
    n_ctx = check_n_ctx(n_ctx)
    devices.check_name(device)
    path = model
    if catalogue.is_name(model):
        local = catalogue.local_path(model)
        if local is None:
            raise FileNotFoundError(2, f"not downloaded yet; nextoken run {model} fetches it", model)
        path = str(local)
    with open_checkpoint(path) as checkpoint:
        about = summary(checkpoint)
        result: dict[str, Any] = asdict(about)
        try:
            layout = plan(checkpoint)
            spec = layout.spec
            if dtype is not None:
                check_dtype(dtype)
            tensors = layout.tensors if dtype is None else with_dtype(layout.tensors, dtype)
            weights = sum(tensor.memory_nbytes for tensor in tensors.values())
            context = spec.n_ctx if n_ctx is None else n_ctx
            cache = spec.kv_bytes(kv_dtype, context)
            result["memory"] = {
                "n_ctx": context,
                "kv_dtype": kv_dtype,
                "kv_bytes": cache,
                "kv_bytes_per_token": spec.kv_bytes(kv_dtype, 4096) // 4096,
                "weight_bytes": weights,
                "total_bytes": weights + cache,
            }
            if device != "cpu":
                result["memory"]["card"] = devices.fit(weights, cache, spec.kv_bytes(kv_dtype, 4096) // 4096)
            result["supported"] = True
        except UnsupportedModelError as error:
            result |= {"memory": None, "supported": False, "why": str(error)}
    if as_json:
        print(json.dumps(result, default=str, ensure_ascii=False))
        return
    _print(result)


def _print(about: dict[str, Any]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    kind = "a Hugging Face folder" if about["version"] is None else f"GGUF version {about['version']}"
    console.print(
        f"{about['name'] or about['path']}: {about['architecture']}, {about['n_parameters'] / 1e6:.1f} M parameters"
    )
    console.print(f"{about['path']}: {kind}, {about['size']} bytes, {about['vocab_size']} tokens\n")
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for key, value in about["hparams"].items():
        facts.add_row(key, str(value))
    console.print(facts)
    console.print()
    types = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("type", "tensors", "elements", "bytes"):
        types.add_column(column, justify="left" if column == "type" else "right")
    for entry in about["types"]:
        types.add_row(
            entry["type_name"], str(entry["n_tensors"]), str(entry["n_elements"]), str(entry["nbytes"])
        )
    console.print(types)
    memory = about["memory"]
    if memory is None:
        console.print(f"\nnot supported: {about['why']}")
        return
    console.print(
        f"\nmemory: weights {mib(memory['weight_bytes'])} + cache of {memory['n_ctx']} tokens in {memory['kv_dtype']} "
        f"{mib(memory['kv_bytes'])} ({memory['kv_bytes_per_token']} bytes a token) = {mib(memory['total_bytes'])}"
    )
    card = memory.get("card")
    if card is None:
        return
    if card["why"] is not None:
        console.print(f"card: none. {card['why']}")
        return
    console.print(
        f"card: {card['name']}, {card['free_bytes']} of {card['total_bytes']} bytes free: "
        f"{memory['total_bytes']} {'fit' if card['fits'] else 'do not fit'}, "
        f"at most {card['most_tokens']} tokens beside the weights"
    )
