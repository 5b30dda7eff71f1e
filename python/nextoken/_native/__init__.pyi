# Generated from the compiled module by `make stubs`: do not edit.
"""
Native kernels, model, cache and readers of nextoken.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

from . import kernels

class Pick:
    """
    A chosen token.
    """

    @property
    def id(self) -> int: ...
    @property
    def logprob(self) -> typing.Any:
        """
        Log-softmax of the model's logits at `id`; None unless logprobs were asked for.
        """

    @property
    def top(self) -> list[typing.Any]:
        """
        The best candidates as (id, logit, logprob), best first.
        """

class Stage:
    """
    What one stage of the sampler did.
    """

    @property
    def dropped(self) -> list[typing.Any]:
        """
        The likeliest of the removed: (id, probability before the stage).
        """

    @property
    def kept(self) -> list[typing.Any]:
        """
        The likeliest after the stage: (id, probability it left).
        """

    @property
    def name(self) -> str: ...
    @property
    def remaining(self) -> int: ...
    @property
    def removed(self) -> int: ...

class Sampler:
    """
    One sequence's way from logits to the next token.
    """

    def __init__(
        self,
        *,
        vocab_size: typing.SupportsInt | typing.SupportsIndex,
        n_decodable: typing.SupportsInt | typing.SupportsIndex | None = None,
        temperature: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        top_k: typing.SupportsInt | typing.SupportsIndex = 0,
        top_p: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        min_p: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        typical_p: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        repetition_penalty: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        presence_penalty: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        frequency_penalty: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        logit_bias: collections.abc.Sequence[
            tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex]
        ] = [],
        allowed_token_ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None = None,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        sequence: typing.SupportsInt | typing.SupportsIndex = 0,
        logprobs: typing.SupportsInt | typing.SupportsIndex | None = None,
        isa: str | None = None,
    ) -> None: ...
    def choose(
        self,
        logits: numpy.typing.NDArray[typing.Any],
        position: typing.SupportsInt | typing.SupportsIndex,
        raw: numpy.typing.NDArray[typing.Any] | None = None,
    ) -> Pick:
        """
        The Pick for `position` from logits (V,) float32. `raw` are the model's own where `logits` were changed.
        """

    def explain(
        self,
        logits: numpy.typing.NDArray[typing.Any],
        position: typing.SupportsInt | typing.SupportsIndex,
        raw: numpy.typing.NDArray[typing.Any] | None = None,
        shown: typing.SupportsInt | typing.SupportsIndex = 10,
    ) -> tuple[Pick, list[Stage]]:
        """
        The same Pick, and a Stage for all that happened on the way.
        """

    def observe(
        self,
        ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        | numpy.typing.NDArray[numpy.integer[typing.Any]],
    ) -> None:
        """
        Tells the penalties which tokens the answer has so far; ids (T,), each once.
        """

    def observe_prompt(
        self,
        ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        | numpy.typing.NDArray[numpy.integer[typing.Any]],
    ) -> None:
        """
        Tells the repetition penalty which tokens the prompt has; ids (T,).
        """

    @property
    def vocab_size(self) -> int: ...

class File:
    """
    A regular file, open for reading by position; never mapped.
    """

    def __init__(self, path: typing.Any) -> None:
        """
        Raises OSError, ModelFormatError for what is no regular file, ValueError for a NUL in the path.
        """

    def close(self) -> None:
        """
        Give the file descriptor back.
        """

    def read(
        self,
        offset: typing.SupportsInt | typing.SupportsIndex,
        n: typing.SupportsInt | typing.SupportsIndex,
        field: str | bytes,
    ) -> bytes:
        """
        n bytes at offset. ModelTruncatedError, with the field, if the file ends before.
        """

    @property
    def size(self) -> int:
        """
        Bytes in the file when it was opened.
        """

class Strings:
    """
    An array of strings, seen where the file's metadata hold it.
    """

    def __getitem__(self, index: typing.SupportsInt | typing.SupportsIndex) -> bytes: ...
    def __len__(self) -> int: ...

class GGUFTensor:
    """
    One entry of a GGUF file's tensor table.
    """

    @property
    def name(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def offset(self) -> int:
        """
        Position of the first byte in the file.
        """

    @property
    def shape(self) -> tuple[int, ...]:
        """
        Elements in each dimension; the first is the length of a row.
        """

    @property
    def type(self) -> int:
        """
        ggml's number of the type.
        """

    @property
    def type_name(self) -> str: ...

class GGUFFile:
    """
    A GGUF file, open, with its metadata and tensor table read and checked.
    """

    def __init__(self, path: typing.Any) -> None: ...
    def check_unchanged(self) -> None:
        """
        Raise ModelFormatError if the file has changed since it was opened.
        """

    def close(self) -> None:
        """
        Give the file descriptor back. Metadata and tensor table stay.
        """

    def get(self, key: str | bytes) -> typing.Any:
        """
        The value: int, float, bool, str, a list of str or a NumPy array of numbers; None if there is none.
        """

    def keys(self) -> list[str]:
        """
        Metadata keys, in the order of the file.
        """

    def kind(self, key: str | bytes) -> str:
        """
        The type of a value: 'u32', 'str', 'arr[f32]'. KeyError if there is none.
        """

    def length(self, key: str | bytes) -> int:
        """
        How many elements an array has; 1 for any other value. KeyError if there is none.
        """

    def offset_of(self, key: str | bytes) -> int:
        """
        Where in the file a value stands. KeyError if there is none.
        """

    def strings(self, key: str | bytes) -> Strings:
        """
        An array of strings as bytes, not copied.
        """

    @property
    def alignment(self) -> int: ...
    @property
    def data_end(self) -> int:
        """
        Where the last tensor ends, its padding included.
        """

    @property
    def data_offset(self) -> int:
        """
        Where the tensor data begin.
        """

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int:
        """
        Bytes in the file.
        """

    @property
    def tensors(self) -> list[GGUFTensor]:
        """
        The tensor table, in the order of the file.
        """

    @property
    def version(self) -> int: ...

class RopePairs:
    """
    Which elements of a head rotate together.

    Members:

      adjacent : (2i, 2i + 1)

      halves : (i, i + n_rot / 2)
    """

    __members__: typing.ClassVar[dict[str, RopePairs]]
    adjacent: typing.ClassVar[RopePairs]
    halves: typing.ClassVar[RopePairs]

    @typing.overload
    def __eq__(self, other: RopePairs) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: RopePairs) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class Gate:
    """
    The activation of the feed-forward.

    Members:

      silu : x * sigmoid(x): SwiGLU

      gelu_tanh : the tanh form of GELU: GeGLU

      gelu : x times the normal distribution's share below x

      relu : x above zero, else zero

      relu_squared : its square

      clamped_silu : min(a, 7) sigmoid(1.702 min(a, 7)), times b within [-7, 7] and one; gated only
    """

    __members__: typing.ClassVar[dict[str, Gate]]
    clamped_silu: typing.ClassVar[Gate]
    gelu: typing.ClassVar[Gate]
    gelu_tanh: typing.ClassVar[Gate]
    relu: typing.ClassVar[Gate]
    relu_squared: typing.ClassVar[Gate]
    silu: typing.ClassVar[Gate]

    @typing.overload
    def __eq__(self, other: Gate) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: Gate) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class NormKind:
    """
    What norms divide by.

    Members:

      rms : the root of the mean square

      layer : the standard deviation, the mean taken off first
    """

    __members__: typing.ClassVar[dict[str, NormKind]]
    layer: typing.ClassVar[NormKind]
    rms: typing.ClassVar[NormKind]

    @typing.overload
    def __eq__(self, other: NormKind) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: NormKind) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class StreamNorms:
    """
    Norms whose result is the stream from there on.

    Members:

      none

      before : of what attention and the feed-forward read and add to

      behind : once what they add is in it, and none at the end
    """

    __members__: typing.ClassVar[dict[str, StreamNorms]]
    before: typing.ClassVar[StreamNorms]
    behind: typing.ClassVar[StreamNorms]
    none: typing.ClassVar[StreamNorms]

    @typing.overload
    def __eq__(self, other: StreamNorms) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: StreamNorms) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class Residual:
    """
    What the feed-forward reads.

    Members:

      sequential : the stream with attention's part in it

      parallel : the stream that attention read, through a norm of its own

      parallel_one_norm : what attention read
    """

    __members__: typing.ClassVar[dict[str, Residual]]
    parallel: typing.ClassVar[Residual]
    parallel_one_norm: typing.ClassVar[Residual]
    sequential: typing.ClassVar[Residual]

    @typing.overload
    def __eq__(self, other: Residual) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: Residual) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class RopeScaling:
    """
    How rotary frequencies are slowed for long contexts.

    Members:

      linear : all divided by rope_factor

      yarn : kept above rope_fast turns in rope_n_ctx, divided below rope_slow, a ramp between

      llama3 : the same with the ramp in the number of turns
    """

    __members__: typing.ClassVar[dict[str, RopeScaling]]
    linear: typing.ClassVar[RopeScaling]
    llama3: typing.ClassVar[RopeScaling]
    yarn: typing.ClassVar[RopeScaling]

    @typing.overload
    def __eq__(self, other: RopeScaling) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: RopeScaling) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class QKNorm:
    """
    Norms of queries and keys.

    Members:

      none

      per_head : of each head by itself, with one weight for all

      each_head : of each head by itself, with its own weight

      whole : of all heads of a token together

      unweighted : of each head that was rotated by itself, without a weight
    """

    __members__: typing.ClassVar[dict[str, QKNorm]]
    each_head: typing.ClassVar[QKNorm]
    none: typing.ClassVar[QKNorm]
    per_head: typing.ClassVar[QKNorm]
    unweighted: typing.ClassVar[QKNorm]
    whole: typing.ClassVar[QKNorm]

    @typing.overload
    def __eq__(self, other: QKNorm) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: QKNorm) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class LayerSpec:
    """
    How one layer differs from the others.
    """

    rope_scaling: RopeScaling

    def __init__(self) -> None: ...
    @property
    def attention_factor(self) -> float:
        """
        of the spec's attention_scale
        """

    @attention_factor.setter
    def attention_factor(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def chunk(self) -> int:
        """
        it sees those from the last multiple of this on; 0 for all
        """

    @chunk.setter
    def chunk(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def rope_factor(self) -> float:
        """
        what frequencies are divided by
        """

    @rope_factor.setter
    def rope_factor(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_fast(self) -> float:
        """
        beta_fast of yarn, high_freq_factor of llama3
        """

    @rope_fast.setter
    def rope_fast(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_log_magnitude(self) -> float:
        """
        and by 1 + this * ln(rope_factor)
        """

    @rope_log_magnitude.setter
    def rope_log_magnitude(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_magnitude(self) -> float:
        """
        cos and sin are multiplied by it
        """

    @rope_magnitude.setter
    def rope_magnitude(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_n_ctx(self) -> int:
        """
        context before scaling, of yarn and llama3
        """

    @rope_n_ctx.setter
    def rope_n_ctx(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def rope_slow(self) -> float:
        """
        beta_slow of yarn, low_freq_factor of llama3
        """

    @rope_slow.setter
    def rope_slow(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_theta(self) -> float:
        """
        base of the rotary frequencies
        """

    @rope_theta.setter
    def rope_theta(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_whole(self) -> bool:
        """
        yarn's bounds are moved out to whole frequencies
        """

    @rope_whole.setter
    def rope_whole(self, arg0: bool) -> None: ...
    @property
    def rotates(self) -> bool:
        """
        False: positions are not told to this layer
        """

    @rotates.setter
    def rotates(self, arg0: bool) -> None: ...
    @property
    def temperature_length(self) -> int:
        """
        of layers that do not rotate: queries grow each so many positions; 0 for none
        """

    @temperature_length.setter
    def temperature_length(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def temperature_scale(self) -> float:
        """
        by 1 + this * ln(1 + (position + 1) / length)
        """

    @temperature_scale.setter
    def temperature_scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def window(self) -> int:
        """
        keys a query sees, itself included; 0 for all
        """

    @window.setter
    def window(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class ExpertSpec:
    """
    A feed-forward of experts, of which a router chooses some for each token.
    """

    def __init__(self) -> None: ...
    @property
    def dense_layers(self) -> list[int]:
        """
        have one feed-forward all the same; assign a whole list
        """

    @dense_layers.setter
    def dense_layers(
        self,
        arg0: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        | numpy.typing.NDArray[numpy.integer[typing.Any]],
    ) -> None: ...
    @property
    def ffn_size(self) -> int:
        """
        of an expert
        """

    @ffn_size.setter
    def ffn_size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_experts(self) -> int:
        """
        0: one feed-forward for every token
        """

    @n_experts.setter
    def n_experts(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_groups(self) -> int:
        """
        of experts side by side
        """

    @n_groups.setter
    def n_groups(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_groups_used(self) -> int:
        """
        the best groups, from which experts are chosen
        """

    @n_groups_used.setter
    def n_groups_used(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_used(self) -> int:
        """
        how many of them a token takes
        """

    @n_used.setter
    def n_used(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def normalized(self) -> bool:
        """
        the chosen experts' weights add up to 1
        """

    @normalized.setter
    def normalized(self, arg0: bool) -> None: ...
    @property
    def scale(self) -> float:
        """
        of the weights, at last
        """

    @scale.setter
    def scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def shared_ffn_size(self) -> int:
        """
        of one that every token takes; 0 for none
        """

    @shared_ffn_size.setter
    def shared_ffn_size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def shared_weighted(self) -> bool:
        """
        by a sigmoid of its own; else it is added
        """

    @shared_weighted.setter
    def shared_weighted(self, arg0: bool) -> None: ...
    @property
    def sigmoid(self) -> bool:
        """
        weights are sigmoids rather than a softmax
        """

    @sigmoid.setter
    def sigmoid(self, arg0: bool) -> None: ...
    @property
    def weighs_input(self) -> bool:
        """
        weights are of what experts read, not make
        """

    @weighs_input.setter
    def weighs_input(self, arg0: bool) -> None: ...

class LatentSpec:
    """
    Attention to latents, of which each head makes its keys and values.
    """

    def __init__(self) -> None: ...
    @property
    def nope_dim(self) -> int:
        """
        of a head of q and k, beside n_rot elements that rotate
        """

    @nope_dim.setter
    def nope_dim(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def norm_eps(self) -> float:
        """
        of the norms of latents
        """

    @norm_eps.setter
    def norm_eps(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def q_rank(self) -> int:
        """
        of the latent of queries; 0: they have none
        """

    @q_rank.setter
    def q_rank(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def rank(self) -> int:
        """
        elements of a latent; 0: keys and values are cached themselves
        """

    @rank.setter
    def rank(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def value_dim(self) -> int:
        """
        of a head
        """

    @value_dim.setter
    def value_dim(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class Spec:
    """
    What kind of decoder a model is: everything the forward pass needs to know but the weights.
    """

    experts: ExpertSpec
    gate: Gate
    norm: NormKind
    qk_norm: QKNorm
    residual: Residual
    rope_pairs: RopePairs
    stream_norms: StreamNorms

    def __init__(self) -> None: ...
    def kv_bytes(self, kv_dtype: str | bytes, n_tokens: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        Bytes the cache of a sequence of n_tokens takes.
        """

    def validate(self) -> None:
        """
        Raise ModelFormatError, naming the field, if the numbers fit no decoder.
        """

    @property
    def alibi_bf16(self) -> bool:
        """
        distances are positions of keys, rounded to bf16 like slopes
        """

    @alibi_bf16.setter
    def alibi_bf16(self, arg0: bool) -> None: ...
    @property
    def alibi_bias(self) -> float:
        """
        slopes of distances are 2^(-alibi_bias i / n_heads); 0 for none
        """

    @alibi_bias.setter
    def alibi_bias(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def attention_scale(self) -> float:
        """
        of q . k, usually 1/sqrt(head_dim)
        """

    @attention_scale.setter
    def attention_scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def attention_soft_cap(self) -> float:
        """
        0 for none
        """

    @attention_soft_cap.setter
    def attention_soft_cap(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def clip_qkv(self) -> float:
        """
        largest magnitude of q, k and v, normed if they are; 0 for any
        """

    @clip_qkv.setter
    def clip_qkv(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def embedding_scale(self) -> float: ...
    @embedding_scale.setter
    def embedding_scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def embedding_size(self) -> int:
        """
        of token embeddings that a matrix widens and another narrows; 0: hidden_size
        """

    @embedding_size.setter
    def embedding_size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def ffn_size(self) -> int: ...
    @ffn_size.setter
    def ffn_size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def gated(self) -> bool:
        """
        down(gate(gate h) * (up h)), else down(gate(up h))
        """

    @gated.setter
    def gated(self, arg0: bool) -> None: ...
    @property
    def head_dim(self) -> int: ...
    @head_dim.setter
    def head_dim(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def hidden_size(self) -> int: ...
    @hidden_size.setter
    def hidden_size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def latent(self) -> LatentSpec:
        """
        head_dim is then rank + n_rot, and n_kv_heads 1
        """

    @latent.setter
    def latent(self, arg0: LatentSpec) -> None: ...
    @property
    def layers(self) -> list[LayerSpec]:
        """
        one LayerSpec a layer; assign a whole list
        """

    @layers.setter
    def layers(self, arg0: collections.abc.Sequence[LayerSpec]) -> None: ...
    @property
    def logit_scale(self) -> float: ...
    @logit_scale.setter
    def logit_scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def logit_soft_cap(self) -> float:
        """
        0 for none
        """

    @logit_soft_cap.setter
    def logit_soft_cap(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def n_ctx(self) -> int:
        """
        positions the model was trained for
        """

    @n_ctx.setter
    def n_ctx(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_heads(self) -> int: ...
    @n_heads.setter
    def n_heads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_kv_heads(self) -> int: ...
    @n_kv_heads.setter
    def n_kv_heads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def n_rot(self) -> int:
        """
        elements of a head that rotate
        """

    @n_rot.setter
    def n_rot(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def norm_eps(self) -> float: ...
    @norm_eps.setter
    def norm_eps(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def post_norms(self) -> bool:
        """
        norm of what attention and the feed-forward add
        """

    @post_norms.setter
    def post_norms(self, arg0: bool) -> None: ...
    @property
    def pre_norms(self) -> bool:
        """
        norm of what attention and the feed-forward read
        """

    @pre_norms.setter
    def pre_norms(self, arg0: bool) -> None: ...
    @property
    def qk_norm_rotated(self) -> bool:
        """
        q and k are rotated first, then normed
        """

    @qk_norm_rotated.setter
    def qk_norm_rotated(self, arg0: bool) -> None: ...
    @property
    def residual_scale(self) -> float:
        """
        of what attention and the feed-forward add
        """

    @residual_scale.setter
    def residual_scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_divisors(self) -> list[float]:
        """
        [n_rot / 2] of the frequencies, or empty
        """

    @rope_divisors.setter
    def rope_divisors(self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]) -> None: ...
    @property
    def vocab_size(self) -> int: ...
    @vocab_size.setter
    def vocab_size(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class Profile:
    """
    Where the time of the passes goes that it is given to.
    """

    def __init__(self) -> None: ...
    def decode(self) -> dict[typing.Any, typing.Any]:
        """
        {'passes', 'rows', 'ops': [(name, calls, seconds, waiting seconds, bytes, int8 macs, float macs, bf16 macs)]}
        """

    def prefill(self) -> dict[typing.Any, typing.Any]:
        """
        {'passes', 'rows', 'ops': [(name, calls, seconds, waiting seconds, bytes, int8 macs, float macs, bf16 macs)]}
        """

class Model:
    """
    A loaded model; its passes run one at a time, in order of arrival.
    """

    @staticmethod
    def load(
        spec: Spec,
        tensors: dict[typing.Any, typing.Any],
        path: typing.Any,
        *,
        header: None | GGUFFile | collections.abc.Sequence[GGUFFile] | collections.abc.Sequence[File] | None = None,
        n_threads: typing.SupportsInt | typing.SupportsIndex,
        isa: str | None = None,
        device: typing.Any = None,
        check: bool = True,
        progress: typing.Any = None,
        cancel: typing.Any = None,
    ) -> Model:
        """
        Read and repack the tensors, {role: checkpoints.tensors.TensorInfo}, of the file or files at path.

        header is the GGUFFile, or one GGUFFile or File each, they come from; if a path leads to another file by now, that is
        a ModelFormatError. Without `check`, weights need not be finite. progress(bytes_done, bytes_total); cancel
        has is_set(). Raises ModelFormatError, UnsupportedModelError, NumericalError, OSError, MemoryError,
        Cancelled.
        """

    def close(self) -> None:
        """
        End the pass in flight with ClosedError and free the weights. Again: nothing happens.
        """

    @property
    def closed(self) -> bool: ...
    @property
    def fingerprint(self) -> str:
        """
        hex; identifies spec and weights
        """

    @property
    def isa(self) -> str: ...
    @property
    def n_threads(self) -> int: ...
    @property
    def nbytes(self) -> int:
        """
        bytes of packed weights
        """

    @property
    def spec(self) -> Spec: ...

class Cache:
    """
    The keys and values of one sequence, in blocks shared with its forks until one writes.
    """

    @staticmethod
    def restore(
        model: Model,
        kv_dtype: str | bytes,
        n_ctx: typing.SupportsInt | typing.SupportsIndex,
        ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        | numpy.typing.NDArray[numpy.integer[typing.Any]],
        data: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    ) -> Cache:
        """
        A cache of these ids from exported bytes. Raises ModelFormatError if their number does not fit.
        """

    def __init__(
        self, model: Model, kv_dtype: str | bytes, n_ctx: typing.SupportsInt | typing.SupportsIndex
    ) -> None: ...
    def __len__(self) -> int: ...
    def close(self) -> None:
        """
        Free its memory. Again: nothing happens.
        """

    def export(self) -> numpy.typing.NDArray[numpy.uint8]:
        """
        The bytes of its keys and values, for restore.
        """

    def fork(self) -> Cache:
        """
        A copy that shares every block.
        """

    def ids(self) -> list[int]:
        """
        The token ids it holds.
        """

    def keys(self, layer: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float32]:
        """
        Read-only copy (T, n_kv_heads, head_dim) float32 of the rotated keys.
        """

    def rewind(self, n: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Forget the last n tokens.
        """

    def values(self, layer: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float32]:
        """
        Read-only copy (T, n_kv_heads, head_dim) float32.
        """

    @property
    def closed(self) -> bool: ...
    @property
    def kv_dtype(self) -> str: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def nbytes(self) -> int:
        """
        bytes of its blocks, shared ones included
        """

    @property
    def version(self) -> int:
        """
        Grows by one with every pass and rewind.
        """

class Tokenizer:
    """
    Text as UTF-8 bytes to token ids, and back. Immutable; safe in many threads.
    """

    def __len__(self) -> int: ...
    def begins_control(self, text: bytes) -> bool:
        """
        Whether the text could be the beginning of a control token.
        """

    def decode(
        self,
        ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        | numpy.typing.NDArray[numpy.integer[typing.Any]],
        skip_special: bool,
    ) -> bytes:
        """
        The bytes of all ids, joined.
        """

    def encode(self, text: bytes, parse_special: bool, starts: bool = True) -> list[typing.Any]:
        """
        Ids of UTF-8 bytes; `starts`: nothing stands before them. The GIL is released; Ctrl-C is seen.
        """

    def find(self, text: str | bytes) -> int:
        """
        The lowest id whose text, as the file spells it, is `text`; -1 if there is none.
        """

    def kind(self, id: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        The token's kind, as a number of tokenizer.ggml.token_type.
        """

    def kinds(self) -> numpy.typing.NDArray[numpy.uint8]: ...
    def set_edges(
        self, id: typing.SupportsInt | typing.SupportsIndex, edges: typing.SupportsInt | typing.SupportsIndex
    ) -> None:
        """
        A special token takes white space on its left (1) or right (2) along, or is none within a word (4). To be called before anything is encoded.
        """

    def special_spans(self, text: bytes, tokens: str | bytes, edges: bool = False) -> list[typing.Any]:
        """
        (begin, end, id) in bytes, wherever a special token is spelt; with `edges` and the white space it takes. tokens: 'control', 'user_defined' or 'all'.
        """

    def texts(self) -> list[typing.Any]:
        """
        The texts of all tokens, as the file spells them.
        """

    def token_bytes(self, id: typing.SupportsInt | typing.SupportsIndex) -> bytes: ...

class ByteLevelTokenizer(Tokenizer):
    """
    Byte-level BPE, as GPT-2 has it.
    """

    def __init__(
        self,
        tokens: list[bytes] | Strings,
        kinds: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        control_names: collections.abc.Sequence[str],
        merges: list[bytes] | Strings,
        patterns: collections.abc.Sequence[str],
        whole_words: bool = False,
    ) -> None: ...
    def merges(self) -> list[typing.Any]: ...
    def missing_bytes(self) -> list[int]:
        """
        The bytes that no token stands for.
        """

class SentencePieceTokenizer(Tokenizer):
    """
    SentencePiece BPE with byte fallback.
    """

    def __init__(
        self,
        tokens: list[bytes] | Strings,
        kinds: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        control_names: collections.abc.Sequence[str],
        scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
        merges: list[bytes] | Strings | None,
        prefix: str | bytes,
        unknown: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        prefix: 'none', 'every_start', 'every_start_unless_it' or 'text_unless_it', where a space is put in front.
        """

    def merges(self) -> list[typing.Any] | None: ...
    def scores(self) -> numpy.typing.NDArray[numpy.float32] | None: ...

class UnigramTokenizer(Tokenizer):
    """
    SentencePiece's Unigram: the most likely spelling.
    """

    def __init__(
        self,
        tokens: list[bytes] | Strings,
        kinds: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        control_names: collections.abc.Sequence[str],
        scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        prefix: str | bytes,
        unknown: typing.SupportsInt | typing.SupportsIndex,
        sums: str | bytes,
    ) -> None:
        """
        prefix: as of SentencePieceTokenizer, or 'every_word'. sums: 'floats', 'doubles' or 'doubles_by_word'.
        """

    def scores(self) -> numpy.typing.NDArray[numpy.float64]: ...

class CharsMap:
    """
    The precompiled map of characters that SentencePiece models carry.
    """

    def __init__(self, blob: bytes) -> None: ...
    def apply(self, text: bytes, clusters: bool) -> bytes:
        """
        UTF-8 bytes with what the map has instead: of the longest texts it knows, or cluster by cluster.
        """

def append(
    model: Model,
    caches: collections.abc.Sequence[Cache],
    ids: list[typing.Any],
    logits: str | bytes,
    *,
    versions: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    | numpy.typing.NDArray[numpy.integer[typing.Any]] = [],
    cancel: typing.Any = None,
    progress: typing.Any = None,
    profile: Profile | None = None,
) -> list[typing.Any]:
    """
    Append ids to several caches in one pass, all or none.

    RuntimeError if a cache has another version than `versions` says; -1 stands for any.
    Returns, for each, None, the last row (V,) or all rows (T, V) of logits as float32.
    """

def log_softmax_top(
    logits: numpy.typing.NDArray[typing.Any],
    targets: numpy.typing.NDArray[typing.Any] | None = None,
    n: typing.SupportsInt | typing.SupportsIndex = 0,
    n_decodable: typing.SupportsInt | typing.SupportsIndex | None = None,
) -> tuple[typing.Any, ...]:
    """
    For logits (T, V) float32: log-softmax at targets (T,) int32 as (T,) float32 (empty without targets), and the n
    best ids below n_decodable (T, n) int32 with theirs (T, n) float32, best first; -1 and -inf where there are fewer.
    """

def machine_limits(
    n_threads: typing.SupportsInt | typing.SupportsIndex, isa: str | None = None
) -> tuple[typing.Any, ...]:
    """
    Bytes read, int8, float and bf16 multiply-adds a second that so many threads reach at best. Takes half a second.
    """

def predict(
    model: Model,
    caches: collections.abc.Sequence[Cache],
    ids: list[typing.Any],
    samplers: collections.abc.Sequence[Sampler],
    *,
    versions: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
    | numpy.typing.NDArray[numpy.integer[typing.Any]] = [],
    cancel: typing.Any = None,
    progress: typing.Any = None,
    profile: Profile | None = None,
) -> list[Pick]:
    """
    Append ids to several caches in one pass, all or none, and choose the token that follows each.

    The chosen tokens are not appended. `versions` as in append.
    """

def require_memory_for_logits(
    rows: typing.SupportsInt | typing.SupportsIndex, vocab_size: typing.SupportsInt | typing.SupportsIndex
) -> None:
    """
    MemoryError if so many rows of logits take more bytes than this machine has available.
    """
