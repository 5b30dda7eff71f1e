"""A Hugging Face folder as a checkpoint: config.json and safetensors, in the words of GGUF that architectures read.

No code of a folder is ever run, and no pickle opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextoken import _native
from nextoken.checkpoints.gguf import GGUFCheckpoint, Metadata, shortened
from nextoken.checkpoints.hf_parts import Part, numbered
from nextoken.checkpoints.hf_scales import FP8, Weight, scaled, weights
from nextoken.checkpoints.hf_shards import open_shards, read_tensors
from nextoken.checkpoints.hf_translation import Translation, translate
from nextoken.checkpoints.json_file import read_json
from nextoken.checkpoints.tensors import F64, FLOATS, TensorInfo
from nextoken.errors import ModelFormatError, UnsupportedModelError
from nextoken.log import log

if TYPE_CHECKING:
    from nextoken.tokenizer import Tokenizer

TYPES = {"F32": FLOATS["f32"], "F16": FLOATS["f16"], "BF16": FLOATS["bf16"], "F64": F64}
MOST_CONFIG_BYTES = 16 << 20


class FolderCheckpoint(GGUFCheckpoint):
    """An open folder. Hyper-parameters and tensors have GGUF's names, errors say config.json's and the folder's."""

    def __init__(self, folder: str, *, allow_unused: bool) -> None:
        self.path = os.path.join(folder, "config.json")
        self.version = None
        values = read_json(self.path, MOST_CONFIG_BYTES)
        self.translation: Translation = translate(values, self.path, allow_unused=allow_unused)
        self.paths, self.files = open_shards(folder)
        self.headers = self.files
        try:
            self.metadata = TranslatedMetadata(self.translation)
            self.size = sum(file.size for file in self.files)
            self.tensors = self._tensors(folder, allow_unused)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for file in self.files:
            file.close()

    def finish(self, spec: _native.Spec, n_ctx: int) -> None:
        self.translation.finish(spec, n_ctx)

    def tokenizer_builder(self) -> Callable[[], Tokenizer]:
        folder, vocab_size = os.path.dirname(self.path), self.translation.hparams["vocab_size"]

        def build() -> Tokenizer:
            from nextoken.checkpoints.hf_tokenizer import tokenizer_from_folder

            return tokenizer_from_folder(folder, vocab_size)

        return build

    def error(self, key: str, message: str) -> ModelFormatError:
        name = self.translation.origins.get(key.removeprefix(self.hparam_key("")), key)
        return ModelFormatError(f"{self.path}: {name} {message}", path=self.path, field=name)

    def _tensors(self, folder: str, allow_unused: bool) -> dict[str, TensorInfo]:
        t = self.translation
        found: dict[str, TensorInfo] = {}
        stored = read_tensors(folder, self.paths, self.files)
        for weight in weights(stored, t.unused, t.quantization, self.paths):
            name, index = weight.name, weight.file
            if parts := parts_of(name, t):
                whole = self._whole(weight)
                found |= {part.name: part.of_tensor(whole, self.paths[index]) for part in parts}
                continue
            gguf_name = translated_name(name, t)
            if gguf_name is None:
                what = f"{self.paths[index]}: {shortened(name)} is no known part of architecture {t.architecture!r}"
                if not allow_unused or name.endswith(".bias"):
                    raise UnsupportedModelError(f"{what}, and leaving it out may change the answers")
                log.warning("%s and left out", what)
                continue
            if gguf_name in found:
                raise ModelFormatError(
                    f"{self.paths[index]}: {shortened(found[gguf_name].name)} and {shortened(name)} are one tensor",
                    path=self.paths[index],
                    field=name,
                )
            found[gguf_name] = _translated(self._whole(weight), gguf_name, t)
        for i in range(t.hparams["block_count"] if t.required else 0):
            for template in t.required:
                if template.format(i=i) not in found:
                    raise self.error("config.json", f"asks for {template.format(i=i)}, and it is missing")
        if t.tied:
            found.pop("output.weight", None)
        elif "output.weight" not in found:
            raise self.error("tie_word_embeddings", "is false, and there is no tensor lm_head.weight")
        if t.rope_divisors:
            n = len(t.rope_divisors)
            found["rope_freqs.weight"] = TensorInfo(
                "rope_freqs", (n,), 0, "F32", 0, 0, values=t.rope_divisors
            )
        for template in t.plain_norms:
            n = t.hparams["embedding_length"]
            ones = TensorInfo("ones", (n,), 0, "F32", 0, 0, values=(1.0,) * n)
            found |= {template.format(i=i): ones for i in range(t.hparams["block_count"])}
        rows = found["token_embd.weight"].shape[-1] if "token_embd.weight" in found else None
        if rows not in (None, t.hparams["vocab_size"]):
            raise self.error(
                self.hparam_key("vocab_size"), f"is {t.hparams['vocab_size']}, the embedding has {rows} rows"
            )
        return found

    def _whole(self, weight: Weight) -> TensorInfo:
        """A tensor as its file has it."""
        stored, path = weight.stored, self.paths[weight.file]
        if weight.scales is not None:
            return scaled(weight, self.translation.quantization, path)
        if stored.dtype not in TYPES:
            hint = ", and F8_E4M3 or F8_E5M2 as quantization_config says" if stored.dtype in FP8 else ""
            raise UnsupportedModelError(
                f"{path}: tensor {shortened(weight.name)} is {stored.dtype}; BF16, F16, F32 and F64 are read{hint}"
            )
        return TensorInfo(
            weight.name, stored.shape[::-1], TYPES[stored.dtype], stored.dtype, stored.offset, stored.nbytes,
            file=weight.file,
        )  # fmt: skip


def _translated(info: TensorInfo, gguf_name: str, t: Translation) -> TensorInfo:
    """What becomes of a tensor."""
    stem, _, kind = gguf_name.rpartition(".")
    last = stem.rpartition(".")[2]
    matrix = len(info.shape) > 1
    transposed = matrix and last in t.transposed
    info = replace(
        info,
        shape=info.shape[::-1] if transposed else info.shape,
        halved_heads=t.halved_heads.get(last, 0),
        qkv_groups=t.qkv_groups if last == "attn_qkv" else 0,
        head_dim=t.hparams["attention.key_length"] if last == "attn_qkv" and t.qkv_groups else 0,
        transposed=transposed,
        plus=t.norm_plus if last.endswith("norm") and kind == "weight" else 0.0,
    )
    skipped = t.skipped_rows.get(gguf_name, 0)
    if not skipped or not matrix or info.shape[-1] <= skipped:
        return info
    if info.scales is not None:
        raise UnsupportedModelError(
            f"tensor {shortened(info.name)} is {info.type_name}, of which no rows are skipped"
        )
    rows, skipped_bytes = info.shape[-1], skipped * (info.nbytes // info.shape[-1])
    return replace(
        info,
        shape=(*info.shape[:-1], rows - skipped),
        offset=info.offset + skipped_bytes,
        nbytes=info.nbytes - skipped_bytes,
    )


class TranslatedMetadata(Metadata):
    """What config.json says, under GGUF's keys."""

    def __init__(self, translation: Translation) -> None:
        prefix = translation.architecture + "."
        self._values = {prefix + name: value for name, value in translation.hparams.items()}
        self._values["general.architecture"] = translation.architecture

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def kind(self, key: str) -> str:
        return {bool: "bool", int: "i64", float: "f64", str: "str"}[type(self._values[key])]


def translated_name(name: str, t: Translation) -> str | None:
    """GGUF's name of a tensor, None for an unknown one."""
    template, numbers = numbered(name)
    known = next((c for c in _candidates(template, t) if c in t.tensors), None)
    return None if known is None else t.tensors[known].format(**numbers)


def parts_of(name: str, t: Translation) -> list[Part]:
    """What a tensor consists of, with the names filled in; nothing if it is one."""
    template, numbers = numbered(name)
    known = next((c for c in _candidates(template, t) if c in t.parts), None)
    parts = () if known is None else t.parts[known]
    return [replace(part, name=part.name.format(**numbers)) for part in parts]


def _candidates(template: str, t: Translation) -> Iterator[str]:
    """What a tensor may be called without the prefixes that its folder has."""
    for prefix in t.prefixes:
        if template.startswith(prefix):
            yield template[len(prefix) :]
            if prefix:
                yield "model." + template[len(prefix) :]


def open_folder(folder: str, *, allow_unused: bool = False) -> FolderCheckpoint:
    """Read and check config.json and the headers of a Hugging Face folder; the weights stay where they are.

    Raises ModelFormatError or ModelTruncatedError (`.path .offset .field`) for what is damaged, UnsupportedModelError
    for a family, a key or a tensor that this version does not apply, OSError.
    """
    return FolderCheckpoint(folder, allow_unused=allow_unused)
