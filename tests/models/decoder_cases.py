"""Cases of compare_transformers.py for the families whose configuration has names of its own."""

from __future__ import annotations

from typing import Any

SIZES = {
    "vocab_size": 331,
    "hidden_size": 96,
    "intermediate_size": 168,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
GPT = {"vocab_size": 331, "n_embd": 96, "n_layer": 3, "n_head": 6, "n_positions": 512}
FALCON = {name: value for name, value in SIZES.items() if name != "intermediate_size"}
BLOOM = {"vocab_size": 331, "hidden_size": 96, "n_layer": 3}
MPT = {"vocab_size": 331, "d_model": 96, "n_layers": 3, "max_seq_len": 512}
OPT = {name: value for name, value in SIZES.items() if name != "intermediate_size"}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "rope_theta": 10000.0,
}
ALPHA = {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0, "rope_theta": 10000.0}
GLM4_MOE = {
    "head_dim": 24,
    "n_routed_experts": 6,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 40,
    "n_shared_experts": 1,
    "routed_scaling_factor": 1.7,
}
LLAMA4 = {
    "num_hidden_layers": 5,
    "head_dim": 24,
    "intermediate_size_mlp": 104,
    "num_local_experts": 5,
    "num_experts_per_tok": 3,
    "interleave_moe_layer_step": 2,
    "attention_chunk_size": 50,
    "floor_scale": 30,
}
NEW_FALCON = {"new_decoder_architecture": True, "num_kv_heads": 2}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", GPT),
    "gpt2, wide, exact GELU, a head": (
        "GPT2",
        GPT | {"n_inner": 200, "tie_word_embeddings": False, "activation_function": "gelu"},
    ),
    "gptneox": ("GPTNeoX", SIZES),
    "gptneox, sequential": (
        "GPTNeoX",
        SIZES
        | {
            "use_parallel_residual": False,
            "rotary_pct": 0.5,
            "attention_bias": False,
            "tie_word_embeddings": True,
        },
    ),
    "phi": ("Phi", GROUPED),
    "stablelm": ("StableLm", GROUPED),
    "stablelm, parallel": (
        "StableLm",
        GROUPED | {"use_parallel_residual": True, "use_qkv_bias": True, "partial_rotary_factor": 0.5},
    ),
    "starcoder2": ("Starcoder2", GROUPED | {"sliding_window": 40}),
    "starcoder2, no biases": ("Starcoder2", GROUPED | {"use_bias": False, "tie_word_embeddings": False}),
    "falcon": ("Falcon", FALCON),
    "falcon, two norms": ("Falcon", FALCON | NEW_FALCON),
    "falcon, new with one norm": (
        "Falcon",
        FALCON | NEW_FALCON | {"num_ln_in_parallel_attn": 1, "ffn_hidden_size": 200},
    ),
    "falcon, sequential, biases": (
        "Falcon",
        FALCON | {"multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "falcon, distances": (
        "Falcon",
        FALCON | {"multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
    ),
    "falcon, distances, two norms, six heads": (
        "Falcon",
        FALCON | NEW_FALCON | {"num_attention_heads": 6, "hidden_size": 96, "alibi": True},
    ),
    "gptj": ("GPTJ", GPT | {"rotary_dim": 8}),
    "bloom": ("Bloom", BLOOM | {"n_head": 6}),
    "bloom, a power of two of heads": ("Bloom", BLOOM | {"n_head": 8}),
    "mpt": ("Mpt", MPT | {"n_heads": 6, "attn_config": {"clip_qkv": 1.0}}),
    "mpt, scaled": ("Mpt", MPT | {"n_heads": 4, "attn_config": {"softmax_scale": 0.3}}),
    "opt": ("OPT", OPT | {"ffn_dim": 168, "word_embed_proj_dim": 96}),
    "cohere": ("Cohere", GROUPED),
    "cohere, normed heads": ("Cohere", GROUPED | {"use_qk_norm": True, "logit_scale": 0.5}),
    "cohere2": ("Cohere2", GROUPED | {"num_hidden_layers": 5, "sliding_window": 40}),
    "glm": ("Glm", GROUPED | {"head_dim": 24}),
    "glm4": ("Glm4", GROUPED | {"head_dim": 24}),
    "glm4-moe": ("Glm4Moe", GROUPED | GLM4_MOE),
    "glm4-moe, groups, normed heads, no biases": (
        "Glm4Moe",
        GROUPED | GLM4_MOE | {"n_group": 3, "topk_group": 2, "use_qk_norm": True, "norm_topk_prob": False},
    ),
    "exaone4": ("Exaone4", GROUPED | {"sliding_window": None, "layer_types": ["full_attention"] * 3}),
    "exaone4, windows": ("Exaone4", GROUPED | {"num_hidden_layers": 5, "sliding_window": 40}),
    "nemotron": ("Nemotron", GROUPED),
    "nemotron, biases": (
        "Nemotron",
        GROUPED | {"attention_bias": True, "mlp_bias": True, "head_dim": 24},
    ),
    "ernie4.5": ("Ernie4_5", GROUPED | {"head_dim": 24}),
    "ernie4.5, biases": ("Ernie4_5", GROUPED | {"use_bias": True, "head_dim": 16}),
    "hunyuan": ("HunYuanDenseV1", GROUPED | {"head_dim": 16}),
    "hunyuan, stretched": ("HunYuanDenseV1", GROUPED | {"head_dim": 24, "rope_parameters": ALPHA}),
    "llama4": ("Llama4Text", GROUPED | LLAMA4),
    "llama4, every layer, one expert": (
        "Llama4Text",
        GROUPED
        | LLAMA4
        | {
            "interleave_moe_layer_step": 1,
            "num_experts_per_tok": 1,
            "use_qk_norm": False,
            "attention_bias": True,
        },
    ),
    "arcee": ("Arcee", GROUPED),
    "arcee, yarn, biases": (
        "Arcee",
        GROUPED | {"mlp_bias": True, "attention_bias": True, "rope_parameters": YARN},
    ),
}
CLASSES = {"GPT2": "GPT2LMHeadModel", "InternLM3": "LlamaForCausalLM"}
