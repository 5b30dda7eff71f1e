"""Families with mixtures of experts by their parts: see decoders.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.families.decoders import FFN, HEADS, Asked, D
from tests.families.family import N_LAYERS, VOCAB
from tests.families.parts import PLAIN, Decoder, Layer, Mixture, Part

EXPERT_FFN = 64


def llama4(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    kv_heads, d, n_experts = hf["num_key_value_heads"], hf["head_dim"], hf["num_local_experts"]
    rotates = hf.get("no_rope_layers", [1, 1, 1, 0])
    types = hf.get("layer_types", ["chunked_attention" if turns else "full_attention" for turns in rotates])
    sparse = hf.get(
        "moe_layers", [i for i in range(N_LAYERS) if (i + 1) % hf["interleave_moe_layer_step"] == 0]
    )

    def mixture(p: str) -> Mixture:
        both = w(p + "experts.gate_up_proj", n_experts, D, 2 * EXPERT_FFN).swapaxes(1, 2)
        gate, up = np.split(both, 2, axis=1)
        down = w(p + "experts.down_proj", n_experts, EXPERT_FFN, D).swapaxes(1, 2)
        router = w.matrix(p + "router", n_experts, D, bias=False)
        return Mixture(router, gate, up, down, hf["num_experts_per_tok"], weighs_input=True)

    def feed_forward(p: str, i: int) -> dict[str, Part]:
        return w.gated(p + "shared_expert.", EXPERT_FFN) if i in sparse else w.gated(p, FFN)

    def layer(p: str, i: int) -> Layer:
        result = Layer(
            **w.q_k_v(p + "self_attn", kv_heads, bias=False, head_dim=d),
            o=w.matrix(p + "self_attn.o_proj", D, HEADS * d, bias=False),
            **w.gated(
                p + "feed_forward." + ("shared_expert." if i in sparse else ""),
                EXPERT_FFN if i in sparse else FFN,
            ),
            attn_norm=w.norm(p + "input_layernorm", bias=False),
            ffn_norm=w.norm(p + "post_attention_layernorm", bias=False),
            rotates=bool(rotates[i]),
            chunk=hf["attention_chunk_size"] if types[i] == "chunked_attention" else None,
        )
        if i in sparse:
            result.mixture = mixture(p + "feed_forward.")
        if rotates[i] and hf.get("use_qk_norm", True):
            result.q_norm = result.k_norm = PLAIN
        if not rotates[i] and hf.get("attn_temperature_tuning", True):
            result.temperature = (hf["floor_scale"], hf["attn_scale"])
        return result

    embedding, final = w("model.embed_tokens.weight", VOCAB, D), w.norm("model.norm", bias=False)
    layers = [layer(f"model.layers.{i}.", i) for i in range(N_LAYERS)]
    head = w.matrix("lm_head", VOCAB, D, bias=False)
    m = Decoder(HEADS, kv_heads, d, embedding, final, layers, head)
    m.layer_norm, m.eps, m.adjacent, m.norm_rotated = False, hf["rms_norm_eps"], True, True
    return m


def glm4_moe(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    kv_heads, d, n_experts = hf["num_key_value_heads"], hf["head_dim"], hf["n_routed_experts"]

    def mixture(p: str) -> Mixture:
        gate, up = np.split(w(p + "experts.gate_up_proj", n_experts, 2 * EXPERT_FFN, D), 2, axis=1)
        return Mixture(
            w.matrix(p + "gate", n_experts, D, bias=False),
            gate,
            up,
            w(p + "experts.down_proj", n_experts, D, EXPERT_FFN),
            hf["num_experts_per_tok"],
            choice_bias=w(p + "gate.e_score_correction_bias", n_experts),
            normalized=hf.get("norm_topk_prob", True),
            scale=hf["routed_scaling_factor"],
        )

    def layer(p: str, i: int) -> Layer:
        sparse = i >= hf["first_k_dense_replace"]
        shared = EXPERT_FFN * hf["n_shared_experts"]
        return Layer(
            **w.q_k_v(p + "self_attn", kv_heads, bias=hf["attention_bias"], head_dim=d),
            o=w.matrix(p + "self_attn.o_proj", D, HEADS * d, bias=False),
            **(w.gated(p + "mlp.shared_experts.", shared) if sparse else w.gated(p + "mlp.")),
            attn_norm=w.norm(p + "input_layernorm", bias=False),
            ffn_norm=w.norm(p + "post_attention_layernorm", bias=False),
            **{
                f"{x}_norm": w.norm(f"{p}self_attn.{x}_norm", d, bias=False)
                for x in "qk"
                if hf["use_qk_norm"]
            },
            mixture=mixture(p + "mlp.") if sparse else None,
        )

    embedding, final = w("model.embed_tokens.weight", VOCAB, D), w.norm("model.norm", bias=False)
    layers = [layer(f"model.layers.{i}.", i) for i in range(N_LAYERS)]
    head = w.matrix("lm_head", VOCAB, D, bias=False)
    m = Decoder(HEADS, kv_heads, d, embedding, final, layers, head)
    m.layer_norm, m.eps, m.n_rot = False, hf["rms_norm_eps"], d // 2
    return m
