"""Families by their parts: which tensors transformers has under which names, and what each of them is.

A case asks for its tensors by name and shape, and what it has asked for is the model.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.families.family import N_CTX, N_LAYERS, VOCAB, Weights
from tests.families.parts import Array, Decoder, Layer, Part
from tests.families.reference import frequencies

D, HEADS, HEAD_DIM, FFN = 96, 6, 16, 160


class Asked:
    """Random weights, remembered by name. Those of norms are about `one`."""

    def __init__(self, one: float = 1.0) -> None:
        self.weights: Weights = {}
        self._one = one

    def __call__(self, name: str, *shape: int) -> Array:
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.endswith("bias"):
            values *= 0.3
        elif len(shape) == 1 or "norm" in name:
            values = values * 0.2 + self._one
        elif any(part in name for part in ("embed", "wte", "wpe")):
            values *= 0.7
        else:
            values *= 1.5 * D**-0.5
        self.weights[name] = values.astype(np.float32)
        return self.weights[name]

    def norm(self, name: str, n: int = D, *, bias: bool = True) -> Part:
        weight = self(name + ".weight", n)
        if self._one == 0.0:
            weight = weight + np.float32(1)
        return Part(weight, self(name + ".bias", n) if bias else None)

    def matrix(self, name: str, n: int, k: int, *, bias: bool = True) -> Part:
        return Part(self(name + ".weight", n, k), self(name + ".bias", n) if bias else None)

    def column_by_column(self, name: str, n: int, k: int) -> Part:
        return Part(np.ascontiguousarray(self(name + ".weight", k, n).T), self(name + ".bias", n))

    def grouped(self, name: str, heads: int, kv_heads: int, *, bias: bool) -> dict[str, Part]:
        """Fused rows, so many groups of queries, a key and a value."""
        part = self.matrix(name, (heads + 2 * kv_heads) * HEAD_DIM, D, bias=bias)

        def cut(x: Array | None, which: slice) -> Array | None:
            if x is None:
                return None
            groups = x.reshape(kv_heads, heads // kv_heads + 2, HEAD_DIM, *x.shape[1:])
            return groups[:, which].reshape(-1, *x.shape[1:])

        cuts = {"q": slice(0, -2), "k": slice(-2, -1), "v": slice(-1, None)}
        result = {}
        for role, which in cuts.items():
            weight = cut(part.weight, which)
            assert weight is not None
            result[role] = Part(weight, cut(part.bias, which))
        return result

    def q_k_v(self, prefix: str, kv_heads: int, *, bias: bool, head_dim: int = HEAD_DIM) -> dict[str, Part]:
        sizes = {"q": HEADS, "k": kv_heads, "v": kv_heads}
        return {
            role: self.matrix(f"{prefix}.{role}_proj", n * head_dim, D, bias=bias)
            for role, n in sizes.items()
        }

    def gated(self, prefix: str, ffn: int = FFN) -> dict[str, Part]:
        return {
            "gate": self.matrix(prefix + "gate_proj", ffn, D, bias=False),
            "up": self.matrix(prefix + "up_proj", ffn, D, bias=False),
            "down": self.matrix(prefix + "down_proj", D, ffn, bias=False),
        }


def gpt2(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    def layer(p: str) -> Layer:
        qkv = w.column_by_column(p + "attn.c_attn", 3 * D, D)
        q, k, v = (
            Part(a, b)
            for a, b in zip(np.split(qkv.weight, 3), np.split(qkv.bias, 3), strict=True)  # type: ignore[arg-type]
        )
        return Layer(
            q,
            k,
            v,
            w.column_by_column(p + "attn.c_proj", D, D),
            w.column_by_column(p + "mlp.c_fc", 4 * D, D),
            w.column_by_column(p + "mlp.c_proj", D, 4 * D),
            attn_norm=w.norm(p + "ln_1"),
            ffn_norm=w.norm(p + "ln_2"),
            rotates=False,
        )

    t = "transformer."
    embedding, positions = w(t + "wte.weight", VOCAB, D), w(t + "wpe.weight", N_CTX, D)
    layers = [layer(f"{t}h.{i}.") for i in range(N_LAYERS)]
    for i, each in enumerate(layers if hf.get("scale_attn_by_inverse_layer_idx") else []):
        each.attention_factor = 1.0 / (i + 1)
    final = w.norm(t + "ln_f")
    return Decoder(
        HEADS, HEADS, HEAD_DIM, embedding, final, layers, positions=positions, activation="gelu_new"
    )


def gptneox(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    def layer(p: str) -> Layer:
        return Layer(
            **w.grouped(p + "attention.query_key_value", HEADS, HEADS, bias=True),
            o=w.matrix(p + "attention.dense", D, D),
            up=w.matrix(p + "mlp.dense_h_to_4h", FFN, D),
            down=w.matrix(p + "mlp.dense_4h_to_h", D, FFN),
            attn_norm=w.norm(p + "input_layernorm"),
            ffn_norm=w.norm(p + "post_attention_layernorm"),
        )

    t = "gpt_neox."
    embedding, final = w(t + "embed_in.weight", VOCAB, D), w.norm(t + "final_layer_norm")
    head = w.matrix("embed_out" if hf.get("old_head") else "lm_head", VOCAB, D, bias=False)
    layers = [layer(f"{t}layers.{i}.") for i in range(N_LAYERS)]
    parallel = hf.get("use_parallel_residual", True)
    return Decoder(
        HEADS, HEADS, HEAD_DIM, embedding, final, layers, head, activation="gelu", parallel=parallel, n_rot=4
    )


def phi(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    def layer(p: str) -> Layer:
        return Layer(
            **w.q_k_v(p + "self_attn", 2, bias=True),
            o=w.matrix(p + "self_attn.dense", D, D),
            up=w.matrix(p + "mlp.fc1", FFN, D),
            down=w.matrix(p + "mlp.fc2", D, FFN),
            attn_norm=w.norm(p + "input_layernorm"),
            **normed(p + "self_attn."),
        )

    def normed(p: str) -> dict[str, Part]:
        if not hf.get("qk_layernorm"):
            return {}
        return {f"{x}_norm": w.norm(f"{p}{x}_layernorm", HEAD_DIM) for x in "qk"}

    embedding, final = w("model.embed_tokens.weight", VOCAB, D), w.norm("model.final_layernorm")
    layers = [layer(f"model.layers.{i}.") for i in range(N_LAYERS)]
    head = w.matrix("lm_head", VOCAB, D)
    return Decoder(
        HEADS, 2, HEAD_DIM, embedding, final, layers, head, activation="gelu_new", parallel=True, n_rot=8
    )


def gptj(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    def layer(p: str) -> Layer:
        return Layer(
            **w.q_k_v(p + "attn", HEADS, bias=False),
            o=w.matrix(p + "attn.out_proj", D, D, bias=False),
            up=w.matrix(p + "mlp.fc_in", 4 * D, D),
            down=w.matrix(p + "mlp.fc_out", D, 4 * D),
            attn_norm=w.norm(p + "ln_1"),
        )

    t = "transformer."
    embedding, final = w(t + "wte.weight", VOCAB, D), w.norm(t + "ln_f")
    layers = [layer(f"{t}h.{i}.") for i in range(N_LAYERS)]
    m = Decoder(HEADS, HEADS, HEAD_DIM, embedding, final, layers, w.matrix("lm_head", VOCAB, D))
    m.activation, m.parallel, m.n_rot, m.adjacent = "gelu_new", True, 8, True
    return m


def falcon(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    new, bias = hf.get("new_decoder_architecture", False), hf.get("bias", False)
    kv_heads, parallel = hf["num_kv_heads"] if new else 1, hf.get("parallel_attn", True)
    if not hf.get("multi_query", True):
        kv_heads = HEADS
    second = "ln_mlp" if new else None if parallel else "post_attention_layernorm"

    def layer(p: str) -> Layer:
        return Layer(
            **w.grouped(p + "self_attention.query_key_value", HEADS, kv_heads, bias=bias),
            o=w.matrix(p + "self_attention.dense", D, D, bias=bias),
            up=w.matrix(p + "mlp.dense_h_to_4h", 4 * D, D, bias=bias),
            down=w.matrix(p + "mlp.dense_4h_to_h", D, 4 * D, bias=bias),
            attn_norm=w.norm(p + ("ln_attn" if new else "input_layernorm")),
            ffn_norm=w.norm(p + second) if second else None,
            rotates=not hf.get("alibi", False),
        )

    t = "transformer."
    embedding, final = w(t + "word_embeddings.weight", VOCAB, D), w.norm(t + "ln_f")
    layers = [layer(f"{t}h.{i}.") for i in range(N_LAYERS)]
    m = Decoder(HEADS, kv_heads, HEAD_DIM, embedding, final, layers, activation="gelu", parallel=parallel)
    m.alibi, m.alibi_bf16 = (8.0, True) if hf.get("alibi") else (0.0, False)
    return m


def bloom(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    def layer(p: str) -> Layer:
        return Layer(
            **w.grouped(p + "self_attention.query_key_value", HEADS, HEADS, bias=True),
            o=w.matrix(p + "self_attention.dense", D, D),
            up=w.matrix(p + "mlp.dense_h_to_4h", 4 * D, D),
            down=w.matrix(p + "mlp.dense_4h_to_h", D, 4 * D),
            attn_norm=w.norm(p + "input_layernorm"),
            ffn_norm=w.norm(p + "post_attention_layernorm"),
            rotates=False,
        )

    t = "transformer."
    m = Decoder(HEADS, HEADS, HEAD_DIM, w(t + "word_embeddings.weight", VOCAB, D), w.norm(t + "ln_f"), [])
    m.embedding_norm = w.norm(t + "word_embeddings_layernorm")
    m.layers = [layer(f"{t}h.{i}.") for i in range(N_LAYERS)]
    m.activation, m.alibi = "gelu_new", 8.0
    m.stream_norms = "before" if hf.get("apply_residual_connection_post_layernorm") else ""
    return m


def mpt(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    def layer(p: str) -> Layer:
        q, k, v = np.split(w(p + "attn.Wqkv.weight", 3 * D, D), 3)
        return Layer(
            Part(q),
            Part(k),
            Part(v),
            w.matrix(p + "attn.out_proj", D, D, bias=False),
            w.matrix(p + "ffn.up_proj", 4 * D, D, bias=False),
            w.matrix(p + "ffn.down_proj", D, 4 * D, bias=False),
            attn_norm=w.norm(p + "norm_1", bias=False),
            ffn_norm=w.norm(p + "norm_2", bias=False),
            rotates=False,
        )

    t = "transformer."
    m = Decoder(HEADS, HEADS, HEAD_DIM, w(t + "wte.weight", VOCAB, D), w.norm(t + "norm_f", bias=False), [])
    m.layers = [layer(f"{t}blocks.{i}.") for i in range(N_LAYERS)]
    m.activation, m.alibi, m.clip = "gelu", 8.0, 1.0
    return m


def opt(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    """Of 350M norms stand behind and embeddings are narrow, Galactica has no biases and norms without weights."""
    bias, narrow = hf.get("enable_bias", True), hf["word_embed_proj_dim"]
    behind = not hf.get("do_layer_norm_before", True)

    def norm(name: str) -> Part:
        return w.norm(name) if hf.get("layer_norm_elementwise_affine", True) else Part(np.ones(D))

    def layer(p: str) -> Layer:
        return Layer(
            **w.q_k_v(p + "self_attn", HEADS, bias=bias),
            o=w.matrix(p + "self_attn.out_proj", D, D, bias=bias),
            up=w.matrix(p + "fc1", FFN, D, bias=bias),
            down=w.matrix(p + "fc2", D, FFN, bias=bias),
            attn_norm=norm(p + "self_attn_layer_norm"),
            ffn_norm=norm(p + "final_layer_norm"),
            rotates=False,
        )

    t = "model.decoder."
    positions = w(t + "embed_positions.weight", N_CTX + 2, D)[2:]
    embedding = w(t + "embed_tokens.weight", VOCAB, narrow)
    m = Decoder(HEADS, HEADS, HEAD_DIM, embedding, None if behind else norm(t + "final_layer_norm"), [])
    m.stream_norms = "behind" if behind else ""
    if narrow != D:
        m.widen = w.matrix(t + "project_in", D, narrow, bias=False)
        m.narrow = w.matrix(t + "project_out", narrow, D, bias=False)
    m.layers = [layer(f"{t}layers.{i}.") for i in range(N_LAYERS)]
    m.positions, m.activation = positions, "relu"
    return m


def modern(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    """The later ones, whose tensors are named as llama's; what differs is told by config.json."""
    kind = hf["model_type"]
    layer_norm = kind in ("stablelm", "starcoder2", "cohere", "cohere2", "nemotron")
    biased = kind in ("stablelm", "starcoder2", "nemotron")
    kv_heads, d = hf["num_key_value_heads"], hf.get("head_dim") or D // HEADS
    one_norm = kind in ("cohere", "cohere2") or hf.get("use_parallel_residual", False)
    post = {"glm4": ("post_self_attn_layernorm", "post_mlp_layernorm")}.get(kind)
    if kind == "exaone4":
        post = ("post_attention_layernorm", "post_feedforward_layernorm")
    types = hf.get("layer_types", ["full_attention"] * N_LAYERS)
    hybrid = "sliding_attention" in types

    def feed_forward(p: str) -> dict[str, Part]:
        if kind == "starcoder2":
            return {"up": w.matrix(p + "c_fc", FFN, D), "down": w.matrix(p + "c_proj", D, FFN)}
        if kind in ("glm", "glm4"):
            gate, up = np.split(w(p + "gate_up_proj.weight", 2 * FFN, D), 2)
            return {
                "gate": Part(gate),
                "up": Part(up),
                "down": w.matrix(p + "down_proj", D, FFN, bias=False),
            }
        parts = w.gated(p) if kind not in ("nemotron", "arcee") else {}
        if not parts:
            bias = hf.get("mlp_bias", False)
            parts = {
                "up": w.matrix(p + "up_proj", FFN, D, bias=bias),
                "down": w.matrix(p + "down_proj", D, FFN, bias=bias),
            }
        return parts

    def layer(p: str, kind_of_layer: str) -> Layer:
        slid = kind_of_layer == "sliding_attention"
        some = kind in ("glm", "glm4", "starcoder2") or hf.get(
            "attention_bias", hf.get("use_qkv_bias", False)
        )
        result = Layer(
            **w.q_k_v(p + "self_attn", kv_heads, bias=some, head_dim=d),
            o=w.matrix(
                p + "self_attn.o_proj",
                D,
                HEADS * d,
                bias=kind == "starcoder2" or hf.get("attention_bias", False),
            ),
            **feed_forward(p + "mlp."),
            rotates=slid or not hybrid,
            window=hf["sliding_window"] if slid or kind == "starcoder2" else None,
        )
        if kind != "exaone4":
            result.attn_norm = w.norm(p + "input_layernorm", bias=biased)
            if not one_norm:
                result.ffn_norm = w.norm(p + "post_attention_layernorm", bias=biased)
        if post:
            result.attn_post_norm, result.ffn_post_norm = (w.norm(p + name, bias=False) for name in post)
        if hf.get("qk_layernorm"):
            result.q_norm, result.k_norm = (
                Part(np.stack([w(f"{p}self_attn.{x}_layernorm.norms.{h}.weight", d) for h in range(n)]))
                for x, n in (("q", HEADS), ("k", kv_heads))
            )
        if kind == "exaone4" or hf.get("use_qk_norm"):
            shapes = [(d,), (d,)] if kind == "exaone4" else [(HEADS, d), (kv_heads, d)]
            result.q_norm, result.k_norm = (
                Part(w(f"{p}self_attn.{name}_norm.weight", *shape))
                for name, shape in zip("qk", shapes, strict=True)
            )
        if kind == "hunyuan_v1_dense":
            result.q_norm = w.norm(p + "self_attn.query_layernorm", d, bias=False)
            result.k_norm = w.norm(p + "self_attn.key_layernorm", d, bias=False)
        return result

    m = Decoder(
        HEADS, kv_heads, d, w("model.embed_tokens.weight", VOCAB, D), w.norm("model.norm", bias=biased), []
    )
    m.layers = [layer(f"model.layers.{i}.", types[i]) for i in range(N_LAYERS)]
    tied = hf.get("tie_word_embeddings", kind in ("starcoder2", "cohere", "cohere2", "ernie4_5"))
    m.head = None if tied else w.matrix("lm_head", VOCAB, D, bias=False)
    m.layer_norm, m.parallel = layer_norm, one_norm
    m.eps = hf.get("rms_norm_eps", 1e-5)
    m.adjacent = kind in ("cohere", "cohere2", "glm", "glm4", "ernie4_5")
    m.norm_rotated = kind == "hunyuan_v1_dense"
    m.logit_scale = hf.get("logit_scale", 1.0)
    m.n_rot = {"stablelm": d // 4, "glm": d // 2, "glm4": d // 2, "nemotron": d // 2}.get(kind)
    default = {"starcoder2": "gelu_new", "nemotron": "relu2", "arcee": "relu2"}.get(kind, "silu")
    m.activation = hf.get("hidden_act", default)
    if "dim_model_base" in hf:
        m.embedding_scale, m.logit_scale = hf["scale_emb"], hf["dim_model_base"] / D
        m.residual_scale = hf["scale_depth"] / N_LAYERS**0.5
    if hf["rope_parameters"]["rope_type"] == "llama3":
        m.speeds = frequencies(hf["rope_parameters"], d, N_CTX)[0]
    return m


def internlm2(w: Asked, hf: Mapping[str, Any]) -> Decoder:
    """As its folders have it: other names, and queries, keys and values fused by groups."""

    def layer(p: str) -> Layer:
        return Layer(
            **w.grouped(p + "attention.wqkv", HEADS, 2, bias=hf["bias"]),
            o=w.matrix(p + "attention.wo", D, D, bias=hf["bias"]),
            gate=w.matrix(p + "feed_forward.w1", FFN, D, bias=False),
            up=w.matrix(p + "feed_forward.w3", FFN, D, bias=False),
            down=w.matrix(p + "feed_forward.w2", D, FFN, bias=False),
            attn_norm=w.norm(p + "attention_norm", bias=False),
            ffn_norm=w.norm(p + "ffn_norm", bias=False),
        )

    embedding, final = w("model.tok_embeddings.weight", VOCAB, D), w.norm("model.norm", bias=False)
    layers = [layer(f"model.layers.{i}.") for i in range(N_LAYERS)]
    m = Decoder(HEADS, 2, HEAD_DIM, embedding, final, layers, w.matrix("output", VOCAB, D, bias=False))
    m.layer_norm = False
    return m
