"""OPT: GPT-2 with ReLU. arXiv:2205.01068. Its positions begin at the third row of their table.

Of 350M norms stand behind, on the stream itself, and embeddings are narrower than it.
"""

from __future__ import annotations

from nextoken._native import Gate, Spec, StreamNorms
from nextoken.architectures import gpt2, llama
from nextoken.architectures.config import Config
from nextoken.architectures.registry import register
from nextoken.checkpoints.hf_config import ConfigJson
from nextoken.checkpoints.hf_translation import Translation, activation, folder, sizes

FIRST_POSITION = 2
PROJECTIONS = {"widen": "token_embd_widen.weight", "narrow": "output_narrow.weight"}
# What the options of config.json leave out; where they do not, the folder has to have it.
OPTIONAL = (
    gpt2.TIED
    | frozenset(PROJECTIONS)
    | frozenset(llama.BIASES)
    | frozenset(gpt2.NORM_BIASES)
    | {"final_norm"}
)


@register(
    "opt",
    models="OPT, Galactica (folders)",
    own="learned positions, ReLU; of 350M norms behind, and narrow embeddings",
    roles=gpt2.ROLES | gpt2.POSITIONS | PROJECTIONS,
    optional=OPTIONAL,
    harmless=llama.HARMLESS,
)
def spec(config: Config) -> Spec:
    return gpt2.without_rotation(gpt2.decoder(config, Gate.relu))


@folder("opt")
def hf(config: ConfigJson) -> Translation:
    t = Translation("opt", HF_TENSORS, prefixes=("", "model.", "model.decoder.", "decoder."))
    config.call(intermediate_size="ffn_dim")
    config.only("layer_norm_eps", (1e-5,), 1e-5)
    sizes(config, t, eps=1e-5, tied=True, layer_norm="layer_norm_eps")
    activation(config, t, "relu", "activation_function")
    before = config.flag("do_layer_norm_before", True)
    config.only("_remove_final_layer_norm", (False,) if before else (False, True), False)
    if config.flag("enable_bias", True):
        t.add(gpt2.hf_parts(HF_MATRICES, kinds=("bias",)))
    norms = HF_NORMS | (HF_LAST_NORM if before else {})
    if config.flag("layer_norm_elementwise_affine", True):
        t.add(gpt2.hf_parts(norms))
    else:
        t.plain_norms = tuple(f"{ours}.weight" for ours in norms.values())
    hidden = t.hparams["embedding_length"]
    narrow = config.integer("word_embed_proj_dim", hidden)
    if narrow != hidden:
        t.add(HF_PROJECTIONS)
    config.ignore("activation_dropout")
    t.skipped_rows = {"position_embd.weight": FIRST_POSITION}

    def change(spec: Spec, _n_ctx: int) -> None:
        spec.embedding_size = narrow if narrow != hidden else 0
        spec.pre_norms = before
        spec.stream_norms = StreamNorms.none if before else StreamNorms.behind

    t.changes.append(change)
    return t


HF_NORMS = {
    "layers.{i}.self_attn_layer_norm": "blk.{i}.attn_norm",
    "layers.{i}.final_layer_norm": "blk.{i}.ffn_norm",
}
HF_LAST_NORM = {"final_layer_norm": "output_norm"}
HF_MATRICES = {
    "layers.{i}.self_attn.q_proj": "blk.{i}.attn_q",
    "layers.{i}.self_attn.k_proj": "blk.{i}.attn_k",
    "layers.{i}.self_attn.v_proj": "blk.{i}.attn_v",
    "layers.{i}.self_attn.out_proj": "blk.{i}.attn_output",
    "layers.{i}.fc1": "blk.{i}.ffn_up",
    "layers.{i}.fc2": "blk.{i}.ffn_down",
}
HF_TENSORS = {
    "embed_tokens.weight": "token_embd.weight",
    "embed_positions.weight": "position_embd.weight",
    "lm_head.weight": "output.weight",
} | gpt2.hf_parts(HF_MATRICES, kinds=("weight",))
HF_PROJECTIONS = {"project_in.weight": PROJECTIONS["widen"], "project_out.weight": PROJECTIONS["narrow"]}
