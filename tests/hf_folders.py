"""Tiny models as Hugging Face folders, laid out as transformers saves them, with the weights of a GGUF file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.gguf_files import read_weights, tiny_gemma3, tiny_llama
from tests.gguf_tokenizers import gemma_tokenizer, llama_tokenizer

SPACE_MARK = "▁"
LLAMA_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GEMMA3_NAMES = LLAMA_NAMES | {
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
STORED = {
    "float32": "F32",
    "float16": "F16",
    "uint16": "BF16",
    "float64": "F64",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
}


class Typed(np.ndarray):
    """Bytes that a file says are of `stored`, a type that NumPy lacks."""

    stored: str

    @classmethod
    def of(cls, values: np.ndarray, stored: str) -> Typed:
        result = np.ascontiguousarray(values, np.uint8).view(cls)
        result.stored = stored
        return result


def bf16(values: np.ndarray) -> np.ndarray:
    """As uint16, rounded to nearest even."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def as_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    return bf16(values) if dtype == "BF16" else values.astype({"F32": "<f4", "F16": "<f2"}[dtype])


def safetensors_bytes(tensors: Mapping[str, np.ndarray], header: Mapping[str, Any] | None = None) -> bytes:
    """A safetensors file; entries of `header` replace what would be written, None drops one."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, values in tensors.items():
        data = np.ascontiguousarray(values).tobytes()
        entries[name] = {
            "dtype": values.stored if isinstance(values, Typed) else STORED[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    entries = {k: v for k, v in {**entries, **(header or {})}.items() if v is not None}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def write_weights(folder: Path, tensors: Mapping[str, np.ndarray], shards: int = 1) -> None:
    """model.safetensors, or that many shards with an index."""
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
        return
    names, weight_map = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = names[i::shards]
        (folder / file).write_bytes(safetensors_bytes({name: tensors[name] for name in part}))
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def halved(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of q or k as transformers has them, from pairs (2i, 2i + 1) as GGUF's llama has them."""
    return rows.reshape(n_heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def llama_folder(
    folder: Path, dtype: str = "F32", *, shards: int = 1, config: Mapping[str, Any] = {}, **model: Any
) -> Path:
    """`folder`/hf and `folder`/model.gguf with the same weights: matrices in `dtype`, norms F32. Returns the first."""
    gguf = tiny_llama(folder / "model.gguf", dtype, **model)
    weights, n_heads, n_kv_heads = read_weights(gguf), model.get("n_heads", 4), model.get("n_kv_heads", 2)
    tensors = {}
    for name, values in weights.items():
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            values = halved(values, n_heads if "attn_q" in name else n_kv_heads)
        tensors[_hf_name(name, LLAMA_NAMES)] = as_dtype(values, dtype) if values.ndim == 2 else values
    vocab, hidden = weights["token_embd.weight"].shape
    written = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": len(weights["blk.0.ffn_up.weight"]),
        "num_hidden_layers": model.get("n_layers", 2),
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "max_position_embeddings": 256,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "attention_bias": False,
        "tie_word_embeddings": model.get("tied", True),
        "torch_dtype": "float32",
        "use_cache": True,
        "eos_token_id": 2,
    }
    return _write(folder / "hf", written | dict(config), tensors, llama_tokenizer_json(), shards)


def gemma3_folder(
    folder: Path, dtype: str = "F32", *, config: Mapping[str, Any] = {}, prefix: str = "", **model: Any
) -> Path:
    """The same for Gemma 3, whose norms are stored less one in the folder."""
    first = tiny_gemma3(folder / "model.gguf", dtype, **model)
    weights = read_weights(first)
    # One is added in float32 when the folder is read: the file gets just that sum.
    stored = {name: values - np.float32(1) for name, values in weights.items() if values.ndim == 1}
    sums = {name: (values + np.float32(1), "F32", values.shape) for name, values in stored.items()}
    tiny_gemma3(first, dtype, tensors=sums, **model)
    tensors = {}
    for name, values in weights.items():
        tensors[prefix + _hf_name(name, GEMMA3_NAMES)] = (
            stored[name] if values.ndim == 1 else as_dtype(values, dtype)
        )
    vocab, hidden = weights["token_embd.weight"].shape
    head_dim = len(weights["blk.0.attn_q_norm.weight"])
    text = {
        "model_type": "gemma3_text",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": len(weights["blk.0.ffn_up.weight"]),
        "num_hidden_layers": model.get("n_layers", 7),
        "num_attention_heads": model.get("n_heads", 4),
        "num_key_value_heads": model.get("n_kv_heads", 1),
        "head_dim": head_dim,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "query_pre_attn_scalar": head_dim,
        "sliding_window": model.get("sliding_window", 16),
        "sliding_window_pattern": 6,
        "hidden_activation": "gelu_pytorch_tanh",
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
    } | dict(config)
    written = {"model_type": "gemma3", "text_config": text, "vision_config": {"x": 1}} if prefix else text
    if prefix:
        tensors["vision_tower.patch.weight"] = np.ones((4, 4), np.float32)
    return _write(folder / "hf", written, tensors, gemma_tokenizer_json(), 1)


def _write(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], tokenizer: Any, shards: int
) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer[0]))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer[1]))
    write_weights(folder, tensors, shards)
    return folder


def _hf_name(name: str, names: Mapping[str, str]) -> str:
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{names[parts[2]]}.weight"
    return f"{names[parts[0]]}.weight"


def llama_tokenizer_json() -> tuple[dict[str, Any], dict[str, Any]]:
    """tokenizer.json and tokenizer_config.json of the tiny llama: byte-level BPE, digits by themselves."""
    keys = llama_tokenizer()
    tokens = keys["tokenizer.ggml.tokens"]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(i, tokens[i]) for i in range(3)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: i for i, text in enumerate(tokens)},
            "merges": list(keys["tokenizer.ggml.merges"]),
        },
    }
    settings = {
        "bos_token": "<|im_start|>",
        "eos_token": {"content": "<|im_end|>", "special": True},
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
        "add_prefix_space": False,
        "chat_template": keys["tokenizer.chat_template"],
        "tokenizer_class": "GPT2Tokenizer",
    }
    return tokenizer, settings


def gemma_tokenizer_json() -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of the tiny gemma: SentencePiece BPE with byte fallback, merges by score as converters do."""
    keys = gemma_tokenizer()
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"].value
    scores = dict(zip(tokens, keys["tokenizer.ggml.scores"].value, strict=True))
    vocab = {text: i for i, text in enumerate(tokens)}
    merges = []
    for text, kind in zip(tokens, kinds, strict=True):
        if kind == 1:
            splits = [(text[:i], text[i:]) for i in range(1, len(text))]
            merges += [(-scores[text], a, b) for a, b in splits if a in vocab and b in vocab]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(i, tokens[i], special=kinds[i] == 3) for i in range(len(tokens)) if kinds[i] in (3, 4)
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<bos>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [[a, b] for _, a, b in sorted(merges, key=lambda m: (m[0], vocab[m[1]], vocab[m[2]]))],
        },
    }
    settings = {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "add_bos_token": True,
        "add_eos_token": False,
        "chat_template": keys["tokenizer.chat_template"],
    }
    return tokenizer, settings


def _added(token_id: int, content: str, special: bool = True) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, "special": special, **flags}
