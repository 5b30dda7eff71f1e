"""Families that came before: layer norms, feed-forwards without a gate."""

from __future__ import annotations

from tests.models.draw import GATES, N_CTX, Draw, Options, layer_normed, partial, rotating


def gpt(d: Draw, *, even: bool) -> Options:
    o = d.sizes(even=even, grouped=False)
    return {
        "vocab_size": o["vocab_size"],
        "n_embd": o["hidden_size"],
        "n_layer": o["num_hidden_layers"],
        "n_head": o["num_attention_heads"],
        "n_positions": N_CTX,
        "n_inner": d.one(None, o["intermediate_size"]),
        "activation_function": d.one(*GATES),
        "layer_norm_epsilon": d.one(1e-5, 1e-3),
        "tie_word_embeddings": o["tie_word_embeddings"],
    }


def gpt2(d: Draw) -> Options:
    return gpt(d, even=False) | d.some(
        {
            "scale_attn_weights": False,
            "scale_attn_by_inverse_layer_idx": True,
            "reorder_and_upcast_attn": True,
        }
    )


def gptj(d: Draw) -> Options:
    o = gpt(d, even=True)
    return o | {"rotary_dim": 2 * d.whole(1, o["n_embd"] // o["n_head"] // 2)}


def gpt_neox(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d, grouped=False)))
    return o | d.some({"use_parallel_residual": False, "attention_bias": False})


def phi(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d)))
    return o | d.some({"qk_layernorm": True})


def stablelm(d: Draw) -> Options:
    o = layer_normed(partial(d, rotating(d)))
    return o | d.some({"use_qkv_bias": True, "qk_layernorm": True, "use_parallel_residual": True})


def starcoder2(d: Draw) -> Options:
    o = layer_normed(rotating(d, free_head=True), "norm_epsilon")
    return o | d.some({"use_bias": False, "sliding_window": d.window()})


def falcon(d: Draw) -> Options:
    o = layer_normed(rotating(d, "default", "linear", "yarn", "dynamic"), "layer_norm_epsilon")
    n_kv = o.pop("num_key_value_heads")
    o |= {"ffn_hidden_size": d.one(None, o.pop("intermediate_size")), "activation": o.pop("hidden_act")}
    o |= d.some({"bias": True, "alibi": d.whole(0, 2) == 0})
    if d.flag():
        return o | d.some({"multi_query": False, "parallel_attn": False})
    return (
        o
        | {"new_decoder_architecture": True, "num_kv_heads": n_kv}
        | d.some({"num_ln_in_parallel_attn": d.whole(1, 2)})
    )


def bloom(d: Draw) -> Options:
    o = d.sizes(even=False)
    return {
        "vocab_size": o["vocab_size"],
        "hidden_size": o["hidden_size"],
        "n_layer": o["num_hidden_layers"],
        "n_head": o["num_attention_heads"],
        "tie_word_embeddings": o["tie_word_embeddings"],
    } | d.some({"apply_residual_connection_post_layernorm": True, "layer_norm_epsilon": 1e-3})


def mpt(d: Draw) -> Options:
    o = d.sizes(even=False)
    return {
        "vocab_size": o["vocab_size"],
        "d_model": o["hidden_size"],
        "n_layers": o["num_hidden_layers"],
        "n_heads": o["num_attention_heads"],
        "max_seq_len": N_CTX,
        "tie_word_embeddings": o["tie_word_embeddings"],
        # Not what transformers ignores and we do not: attn_config.alibi_bias_max and expansion_ratio.
        "attn_config": d.some({"clip_qkv": d.number(0.3, 2), "softmax_scale": d.number(0.05, 0.5)}),
    } | d.some({"layer_norm_epsilon": 1e-3})


def opt(d: Draw) -> Options:
    o = d.sizes(even=False, grouped=False)
    o |= {"ffn_dim": o.pop("intermediate_size"), "activation_function": d.one(*GATES)}
    o["word_embed_proj_dim"] = d.one(o["hidden_size"], o["hidden_size"], d.whole(3, 60))
    return o | d.some(
        {"do_layer_norm_before": False, "enable_bias": False, "layer_norm_elementwise_affine": d.flag()}
    )
