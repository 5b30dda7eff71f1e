"""Models to measure, made on the spot: random ones in the shape of known models, and a real one in other types.

    python -m bench.models all FOLDER --llama-quantize build/bin/llama-quantize    everything the benchmark runs
    python -m bench.models random llama-3.2-1b q4_k_m llama1b-q4_k_m.gguf
    python -m bench.models requantize smollm2.gguf q8_0 smollm2-q8_0.gguf --llama-quantize build/bin/llama-quantize

Random weights are valid blocks of random codes under scales that give a spread of 1/sqrt(K), so that activations and
logits stay finite; speed does not depend on their values. The tokenizer is a minimal one. A file is
written block by block: memory stays at some 100 MB whatever its size.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from nextoken.checkpoints import catalogue

Type = gguf.GGMLQuantizationType
Bytes = npt.NDArray[np.uint8]
CHUNK = 1 << 24  # bytes of weights made at once


@dataclass(frozen=True)
class Shape:
    """A llama-family decoder; a tied head has no tensor of its own."""

    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    n_ctx: int
    rope_theta: float
    tied: bool


SHAPES = {
    "llama-3.2-1b": Shape(2048, 8192, 16, 32, 8, 128256, 131072, 500000.0, tied=True),
    "mistral-7b": Shape(4096, 14336, 32, 32, 8, 32000, 32768, 10000.0, tied=False),
    "tiny": Shape(256, 512, 2, 4, 2, 512, 4096, 10000.0, tied=False),
}
REAL = {"smollm2": "smollm2-135m", "gemma3": "gemma-3-270m"}
MIXES = {
    "q4_k_m": gguf.LlamaFileType.MOSTLY_Q4_K_M,
    "q6_k": gguf.LlamaFileType.MOSTLY_Q6_K,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


def tensor_type(mix: str, name: str, shape: Shape) -> Type:
    """The type llama.cpp's quantiser gives a tensor in that mix."""
    if "norm" in name:
        return Type.F32
    head = name == ("token_embd.weight" if shape.tied else "output.weight")
    if mix == "q8_0":
        return Type.Q8_0
    if mix == "q6_k" or head:
        return Type.Q6_K
    if mix == "q4_0":
        return Type.Q4_0
    if "attn_v" in name or "ffn_down" in name:
        layer, n = int(name.split(".")[1]), shape.layers
        more = layer < n // 8 or layer >= 7 * n // 8 or (layer - n // 8) % 3 == 2
        return Type.Q6_K if more else Type.Q4_K
    return Type.Q4_K


def tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, rows x columns) in the order of the file."""
    kv = shape.hidden // shape.heads * shape.kv_heads
    yield "token_embd.weight", (shape.vocab, shape.hidden)
    yield "output_norm.weight", (shape.hidden,)
    if not shape.tied:
        yield "output.weight", (shape.vocab, shape.hidden)
    for i in range(shape.layers):
        yield f"blk.{i}.attn_norm.weight", (shape.hidden,)
        yield f"blk.{i}.attn_q.weight", (shape.hidden, shape.hidden)
        yield f"blk.{i}.attn_k.weight", (kv, shape.hidden)
        yield f"blk.{i}.attn_v.weight", (kv, shape.hidden)
        yield f"blk.{i}.attn_output.weight", (shape.hidden, shape.hidden)
        yield f"blk.{i}.ffn_norm.weight", (shape.hidden,)
        yield f"blk.{i}.ffn_gate.weight", (shape.ffn, shape.hidden)
        yield f"blk.{i}.ffn_up.weight", (shape.ffn, shape.hidden)
        yield f"blk.{i}.ffn_down.weight", (shape.hidden, shape.ffn)


def random_blocks(kind: Type, n_blocks: int, spread: float, rng: np.random.Generator) -> Bytes:
    """(n_blocks, bytes of a block): random codes, scales that give values of mean 0 and about that spread."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    words = rng.integers(0, 1 << 64, -(-n_blocks * size // 8), np.uint64)
    blocks = words.view(np.uint8)[: n_blocks * size].reshape(n_blocks, size)
    scale = rng.uniform(0.5, 1.5, n_blocks) * spread
    if kind == Type.Q4_0:  # d * (code - 8)
        d, at = scale / 4.6, 0
    elif kind == Type.Q8_0:  # d * code
        d, at = scale / 74, 0
    elif kind == Type.Q6_K:  # d * scale(int8) * (code - 32)
        d, at = scale / 1369, 208
    elif kind == Type.Q4_K:  # d * scale(6 bits) * code - dmin * min(6 bits): dmin centres it
        d, at = scale / 257, 0
        blocks[:, 2:4] = half(d * 7.5)
    else:
        raise ValueError(f"no random blocks of {kind.name}")
    blocks[:, at : at + 2] = half(d)
    return blocks


def half(values: npt.NDArray[np.float64]) -> Bytes:
    return values.astype("<f2")[:, None].view(np.uint8)


def write_random(path: Path, shape: Shape, mix: str, seed: int = 0, *, sparse: bool = False) -> None:
    """A GGUF file of random weights; with `sparse` of holes instead, which take no disk and read as zeros."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(MIXES[mix])
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.hidden // shape.heads)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(1e-5)
    add_tokenizer(writer, shape.vocab)

    plan = [(name, dims, tensor_type(mix, name, shape)) for name, dims in tensors(shape)]
    for name, dims, kind in plan:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        n_bytes = int(np.prod(dims)) // block * size
        writer.add_tensor_info(name, dims, np.dtype(np.float32), n_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout
    file = writer.fout[0]  # the writer takes whole tensors only
    for _, dims, kind in plan:
        writer.write_padding(file, file.tell())
        if sparse and kind != Type.F32:
            block, size = gguf.GGML_QUANT_SIZES[kind]
            file.truncate(file.seek(int(np.prod(dims)) // block * size, 1))
        else:
            for part in tensor_bytes(dims, kind, rng):
                file.write(part.data)
        writer.write_padding(file, file.tell())
    writer.close()


def tensor_bytes(dims: tuple[int, ...], kind: Type, rng: np.random.Generator) -> Iterator[Bytes]:
    if kind == Type.F32:  # norms
        yield np.ones(dims, np.float32).view(np.uint8)
        return
    block, size = gguf.GGML_QUANT_SIZES[kind]
    left = int(np.prod(dims)) // block
    while left:
        n = min(left, CHUNK // size)
        yield random_blocks(kind, n, dims[-1] ** -0.5, rng)
        left -= n


def add_tokenizer(writer: gguf.GGUFWriter, vocab: int) -> None:
    """Byte-level BPE of three special tokens, the 256 bytes, one merge, and words that nothing merges to."""
    known = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
    tokens = ["<unk>", "<s>", "</s>", *known, *(chr(256 + i) for i in range(256 - len(known))), "ab"]
    tokens += [f"word{i}" for i in range(vocab - len(tokens))]
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([*([control] * 3), *([normal] * (vocab - 3))])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def requantize(source: Path, kind: str, path: Path, llama_quantize: Path) -> None:
    """`source` in another type, by llama.cpp's quantiser from the dequantised weights."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        floats = Path(folder) / "f32.gguf"
        for words in (
            ["--allow-requantize", source, floats, "F32"],
            [floats, path, kind.upper()],
        ):
            subprocess.run([str(word) for word in (llama_quantize, *words)], check=True, capture_output=True)


def all_models(folder: Path, llama_quantize: Path, prefixes: tuple[str, ...]) -> None:
    """The catalogue's models, one of them in other types, and random ones of 1 and 7 billion weights: 27 GB."""
    plan: list[tuple[str, Callable[[Path], object]]] = []
    for short, name in REAL.items():
        plan.append((short, partial(link, name)))
    for kind in ("q4_0", "q8_0", "f16", "bf16"):
        source = folder / "smollm2.gguf"
        plan.append((f"smollm2-{kind}", partial(requantize, source, kind, llama_quantize=llama_quantize)))
    for short, shape in (("llama1b", "llama-3.2-1b"), ("llama7b", "mistral-7b")):
        plan += [(f"{short}-{mix}", partial(write_random, shape=SHAPES[shape], mix=mix)) for mix in MIXES]
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in plan:
        path = folder / f"{name}.gguf"
        if not path.exists() and path.name.startswith(prefixes):
            print(path, flush=True)
            make_whole(path, make)


def link(name: str, path: Path) -> None:
    """A model of the catalogue, downloaded if need be."""
    path.symlink_to(catalogue.fetch(name))


def make_whole(path: Path, make: Callable[[Path], object]) -> None:
    """A file that is there is complete: it is made under another name."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    make(part)
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("all", help="what is missing of everything the benchmark runs")
    whole.add_argument("folder", type=Path)
    whole.add_argument("--only", nargs="*", default=[""], metavar="PREFIX", help="smollm2 llama1b ...")
    random = commands.add_parser("random", help="random weights in a known shape")
    random.add_argument("shape", choices=SHAPES)
    random.add_argument("type", choices=MIXES)
    random.add_argument("path", type=Path)
    other = commands.add_parser("requantize", help="a real model in another type")
    other.add_argument("source", type=Path)
    other.add_argument("type", help="q4_0, q8_0, f16, bf16, ...")
    other.add_argument("path", type=Path)
    for command in (whole, other):
        command.add_argument("--llama-quantize", type=Path, default=Path("llama-quantize"), metavar="PROGRAM")
    arguments = parser.parse_args()
    if arguments.command == "all":
        all_models(arguments.folder, arguments.llama_quantize, tuple(arguments.only))
    elif arguments.command == "random":
        make_whole(arguments.path, partial(write_random, shape=SHAPES[arguments.shape], mix=arguments.type))
    else:
        make = partial(requantize, arguments.source, arguments.type, llama_quantize=arguments.llama_quantize)
        make_whole(arguments.path, make)


if __name__ == "__main__":
    main()
