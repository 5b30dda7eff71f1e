"""Configurations of every family as a stranger might write them: odd sizes, windows, positions, biases, experts."""

from __future__ import annotations

from collections.abc import Callable

from tests.models import random_gpts as gpts
from tests.models import random_llamas as llamas
from tests.models.draw import Draw, Options

FAMILIES: dict[str, Callable[[Draw], Options]] = {
    "Llama": llamas.llama,
    "Mistral": llamas.mistral,
    "Mixtral": llamas.mixtral,
    "Qwen2": llamas.qwen2,
    "Qwen3": llamas.qwen3,
    "Qwen2Moe": llamas.qwen2_moe,
    "Qwen3Moe": llamas.qwen3_moe,
    "Phi3": llamas.phi3,
    "SmolLM3": llamas.smollm3,
    "SeedOss": llamas.seed_oss,
    "Gemma": llamas.gemma,
    "Gemma2": llamas.gemma2,
    "Gemma3Text": llamas.gemma3,
    "Olmo2": llamas.olmo2,
    "Olmo3": llamas.olmo3,
    "Olmoe": llamas.olmoe,
    "Granite": llamas.granite,
    "GraniteMoe": llamas.granitemoe,
    "GraniteMoeShared": llamas.granitemoeshared,
    "GptOss": llamas.gpt_oss,
    "GPT2": gpts.gpt2,
    "GPTJ": gpts.gptj,
    "GPTNeoX": gpts.gpt_neox,
    "Phi": gpts.phi,
    "StableLm": gpts.stablelm,
    "Starcoder2": gpts.starcoder2,
    "Falcon": gpts.falcon,
    "Bloom": gpts.bloom,
    "Mpt": gpts.mpt,
    "OPT": gpts.opt,
    "Cohere": llamas.cohere,
    "Cohere2": llamas.cohere2,
    "Glm": llamas.glm,
    "Glm4": llamas.glm,
    "Exaone4": llamas.exaone4,
    "Nemotron": llamas.nemotron,
    "Ernie4_5": llamas.ernie4_5,
    "HunYuanDenseV1": llamas.hunyuan,
    "Arcee": llamas.arcee,
    "InternLM3": llamas.internlm3,
    "Llama4Text": llamas.llama4,
    "MiniCPM3": llamas.minicpm3,
    "Glm4Moe": llamas.glm4_moe,
    "DeepseekV2": llamas.deepseek_v2,
    "DeepseekV3": llamas.deepseek_v3,
}


def configuration(family: str, seed: int) -> Options:
    """The options of transformers' configuration class of a family that a seed stands for."""
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | FAMILIES[family](
        Draw(f"{family} {seed}")
    )
