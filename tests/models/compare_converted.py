"""Random configurations as llama.cpp's converter writes them, beside transformers' float32 logits:

    PYTHONPATH=python:.:$LLAMA_CPP:$LLAMA_CPP/gguf-py python -m tests.models.compare_converted [FAMILIES...]

LLAMA_CPP is a checkout, whose convert_hf_to_gguf.py is called without a tokenizer. What a GGUF file has no words for is
left at what the family's released models have. Needs torch, transformers and gguf.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from nextoken import LLM, ModelFormatError, UnsupportedModelError
from tests.models.compare_random import LIMIT, N_IDS, over_seeds
from tests.models.compare_transformers import make
from tests.models.draw import FULL, N_CTX, SLIDING, Options, width_of

# Keys that files have no words for...
UNSAID = {
    "hidden_act", "hidden_activation", "activation", "activation_function", "layer_types", "max_window_layers",
    "use_sliding_window", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "mlp_only_layers",
    "decoder_sparse_step", "no_rope_layers", "no_rope_layer_interval", "apply_residual_connection_post_layernorm",
    "norm_topk_prob", "clip_qkv", "attn_config", "rope_interleave", "qk_layernorm", "alibi",
}  # fmt: skip
WITHOUT_WINDOW = ("Mistral", "Mixtral", "Qwen", "SmolLM3", "Starcoder2")
# ...and what the converter takes for granted.
TIED = {"tie_word_embeddings": True}
GRANTED: dict[str, Options] = {
    "Qwen3Moe": {"norm_topk_prob": True},
    "Olmoe": {"rms_norm_eps": 1e-5},
    "Falcon": {"bias": False, "parallel_attn": True},
    "Gemma": TIED,
    "Gemma2": TIED | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "Gemma3Text": TIED,
    "Cohere": TIED,
    "Cohere2": TIED,
    "GPT2": {"n_ctx": N_CTX},
}
UNSCALED = (
    "StableLm",
    "Cohere",
    "Cohere2",
    "GPTNeoX",
    "Falcon",
    "Nemotron",
    "Glm",
    "Glm4",
    "Phi",
    "Gemma",
    "Gemma2",
)
WITHOUT_BASE = ("Gemma", "Gemma2", "StableLm")
LISTS = {"Llama": "llama3", "Mistral": "llama3", "Phi3": "longrope", "MiniCPM3": "longrope"}
KEPT = {
    "default": (),
    "linear": ("factor",),
    "yarn": ("factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
    "longrope": ("long_factor", "short_factor", "original_max_position_embeddings"),
}


def rope(family: str, told: Options) -> Options:
    """Scalings that a file of this family can have."""
    if "rope_type" not in told:
        near = {"rope_type": "default", "rope_theta": told[SLIDING]["rope_theta"]}
        return {FULL: rope(family, told[FULL]), SLIDING: near}
    kind = told["rope_type"]
    if family in UNSCALED or kind not in ("linear", "yarn", LISTS.get(family)):
        kind = "default"
    kept = ("rope_theta", "partial_rotary_factor", *KEPT[kind])
    result = {"rope_type": kind} | {key: value for key, value in told.items() if key in kept}
    return result | ({"rope_theta": 10000.0} if family in WITHOUT_BASE else {})


def said(family: str, options: Options) -> Options:
    """The configuration as far as a file can tell it."""
    o = {key: value for key, value in options.items() if key not in UNSAID} | GRANTED.get(family, {})
    if family.startswith(WITHOUT_WINDOW):
        o["sliding_window"] = None
    if "query_pre_attn_scalar" in o:
        o["query_pre_attn_scalar"] = width_of(o)
    if "rope_parameters" in o:
        o["rope_parameters"] = rope(family, o["rope_parameters"])
    return o


def convert(folder: Path, file: Path) -> None:
    """The model of a folder as a file of float32."""
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    hparams = ModelBase.load_hparams(folder, False)
    if "partial_rotary_factor" in hparams.get("rope_parameters", {}):
        hparams["rotary_pct"] = hparams["rope_parameters"]["partial_rotary_factor"]
    words = {"model": {"vocab": [""] * hparams["vocab_size"]}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(words))  # is counted, for Gemma 3
    model = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    model.set_vocab = lambda self: None
    model(folder, gguf.LlamaFileType.ALL_F32, file, hparams=hparams).write()


def compare(family: str, options: Options) -> str:
    model = make(family, options, gain=1.0)
    ids = np.random.default_rng(0).integers(0, options["vocab_size"], N_IDS).tolist()
    with torch.no_grad():
        expected = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        file = Path(folder) / "model.gguf"
        try:
            convert(Path(folder), file)
        except Exception as error:
            return f"not converted: {error!r}"
        try:
            with LLM(file, kv_dtype="f32", n_ctx=N_IDS) as llm:
                found = np.asarray(llm([ids])[0])
        except (UnsupportedModelError, ModelFormatError) as error:
            return f"refused: {str(error).removeprefix(folder)}"
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    assert difference <= LIMIT, f"{difference:.1e} of the largest logit"
    return f"{difference:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Random configurations as GGUF files beside transformers.")
    over_seeds(parser, lambda family, options, _: compare(family, said(family, options)))


if __name__ == "__main__":
    main()
