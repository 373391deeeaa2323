"""XLNet: a language model that predicts the tokens of a sequence in any order, with two streams of attention.

Shapes: tokens (B, T), streams (B, T, d_model). Masks are boolean, True means *may attend*. The content stream knows
the token at its own place, so that later predictions can read it; the query stream knows only the place, so that it
can predict the token. Both run through the same weights. Distances between places enter the scores as in
Transformer-XL; there is no vector of a place and no longest sequence.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import attention_weights, scaled_dot_product_attention
from lib.models.checkpoint import load_weights, read_config, read_tensors, renamed, require
from lib.models.contracts import check_epsilon, check_integers, check_share, check_sizes, check_tokens
from lib.reference.contracts import (
    check_count,
    check_even,
    check_heads,
    check_mask,
    check_rank,
    check_shape,
    mask_for_heads,
)
from lib.transformer import FeedForward, PostNorm


@dataclass(frozen=True)
class XLNetConfig:
    """The sizes of an XLNet.

    Source: Yang et al. 2019, section 3.1, arXiv:1906.08237: the sizes of BERT, no count given. The released
    `xlnet-base-cased` has 116,718,336 parameters, `xlnet-large-cased` 360,268,800, without the bias of the output.

    Raises:
        ValueError: When a size is not an integer of at least 1, d_model is odd or not divisible by `num_heads`, or
            `dropout` is not between 0 and 1.

    Example:
        >>> XLNetConfig.base().d_model, XLNetConfig.large().num_layers
        (768, 24)
    """

    vocab_size: int = 32_000  # SentencePiece, cased
    d_model: int = 768
    num_heads: int = 12
    num_layers: int = 12
    d_ff: int = 3072
    dropout: float = 0.1
    norm_epsilon: float = 1e-12

    def __post_init__(self) -> None:
        check_sizes(self, vocab_size=1, num_layers=1, d_ff=1)
        check_even("d_model", self.d_model)  # distances are told by pairs of a sine and a cosine
        check_share("dropout", self.dropout)
        check_epsilon("norm_epsilon", self.norm_epsilon)

    @classmethod
    def base(cls) -> "XLNetConfig":
        """Give the sizes of `xlnet-base-cased`, those of BERT-base."""
        return cls()

    @classmethod
    def large(cls) -> "XLNetConfig":
        """Give the sizes of `xlnet-large-cased`, those of BERT-large."""
        return cls(d_model=1024, num_heads=16, num_layers=24, d_ff=4096)

    @classmethod
    def tiny(cls, vocab_size: int) -> "XLNetConfig":
        """Give sizes that train in seconds; without dropout, for what is small does not overfit fresh data."""
        return cls(vocab_size, d_model=64, num_heads=4, num_layers=2, d_ff=128, dropout=0.0)


class Masks(NamedTuple):
    """Who may read whom, True = may attend: each (T, T) or (B, T, T), a row for the place that reads."""

    content: Tensor  # with the place itself
    query: Tensor  # without it


class Streams(NamedTuple):
    """What the two streams hold after the last layer."""

    content: Tensor  # (B, T, d_model), has seen the token at its own place
    query: Tensor | None  # (B, T, d_model), has not; None without masks


def permutation_mask(order: Tensor, *, known: int = 0) -> Masks:
    r"""Let every place read what comes before it in an order of prediction, wherever that stands in the sequence.

    With $z_t$ the place that is predicted at step t, the content stream at $z_t$ reads $z_1, \ldots, z_t$ and the query
    stream $z_1, \ldots, z_{t - 1}$.

    Source: Yang et al. 2019, section 2.3, arXiv:1906.08237; `known` is its partial prediction, where the first places
    of the order serve as context only. That these read one another is the released code's.

    Args:
        order: (T,) or (B, T) integers; each row holds the places 0 ... T - 1 in the order of prediction.
        known: How many places at the start of the order are not predicted.

    Returns:
        Masks, each boolean (T, T) or (B, T, T).

    Raises:
        ValueError: When the order has another rank, is not of integers or not a permutation, or `known` is not an
            integer from 0 to T.

    Example:
        >>> content, query = permutation_mask(torch.tensor([2, 0, 1]))
        >>> query.int()
        tensor([[0, 0, 1],
                [1, 0, 1],
                [0, 0, 0]], dtype=torch.int32)
    """
    if order.dim() not in (1, 2):
        raise ValueError(f"order has rank {order.dim()}, shape {tuple(order.shape)}, but needs rank 1 or 2")
    T = order.shape[-1]
    check_count("known", known, 0)
    if known > T:
        raise ValueError(f"known={known} places but the order has only {T}")
    if order.is_floating_point() or not torch.equal(order.sort(dim=-1).values, torch.arange(T).expand_as(order)):
        raise ValueError(f"each row of order must hold the places 0 to {T - 1} once each but order is {order.tolist()}")
    step = order.argsort(dim=-1)  # at which step a place is predicted
    step = torch.where(step < known, -1, step)
    return Masks(step[..., :, None] >= step[..., None, :], step[..., :, None] > step[..., None, :])


def distance_sinusoids(T: int, d_model: int, *, device: torch.device | str | None = None) -> Tensor:
    r"""Give each distance between two of T places a vector of sines and cosines, from T down to -T + 1.

    $$R_d = [\sin(d / 10000^{2i / d_{model}}), \ldots, \cos(d / 10000^{2i / d_{model}}), \ldots]$$

    Source: Dai et al. 2019, section 3.3, arXiv:1901.02860. First all sines, then all cosines, as in the released code.

    Args:
        T: Number of places.
        d_model: Width of the vectors; even.
        device: Where the tensor is made.

    Returns:
        Tensor (2 T, d_model) in torch's default dtype. The distance T never occurs; `relative_shift` drops it.

    Raises:
        ValueError: When T or `d_model` is not an integer of at least 1, or `d_model` is odd.

    Example:
        >>> distance_sinusoids(1, 2)
        tensor([[0.8415, 0.5403],
                [0.0000, 1.0000]])
    """
    check_count("T", T)
    check_even("d_model", d_model)
    divisors = 10000 ** (torch.arange(0, d_model, 2, dtype=torch.float64, device=device) / d_model)  # (D / 2,)
    angles = torch.arange(T, -T, -1, device=device)[:, None] / divisors  # (2 T, D / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(torch.get_default_dtype())


def relative_shift(scores: Tensor) -> Tensor:
    r"""Turn scores by distance into scores by key: row i moves so far that key j gets the score of distance i - j.

    Source: Dai et al. 2019, appendix B, arXiv:1901.02860. Nothing is looked up: rows of length 2 T, read as rows of
    length 2 T - 1, move one place to the side from row to row.

    Args:
        scores: (..., T, 2 T), the columns for the distances T down to -T + 1.

    Returns:
        Scores (..., T, T).

    Raises:
        ValueError: When the last axis is not twice as long as the one before.

    Example:
        >>> relative_shift(torch.tensor([[2, 1, 0, -1]]).expand(2, 4))
        tensor([[ 0, -1],
                [ 1,  0]])
    """
    *lead, T, distances = scores.shape
    if distances != 2 * T:
        raise ValueError(f"scores for T={T} queries need {2 * T} distances but have {distances}")
    shifted = scores.reshape(*lead, 2 * T, T)[..., 1:, :].reshape(*lead, T, 2 * T - 1)
    return shifted[..., :T]


class RelativeAttention(nn.Module):
    r"""Let one stream read the content stream in several heads; what counts of a place is how far away it is.

    The score of query i and key j, before its division by $\sqrt{d_k}$, with d = i - j:

    $$(q_i + u)^\top k_j + (q_i + v)^\top W^R R_d + (q_i + w)^\top s_{ij}$$

    $u$, $v$, $w$ are learned for each head; $s_{ij}$ is one of two learned vectors, for places of the same segment and
    of different ones.

    Source: Dai et al. 2019, section 3.3, arXiv:1901.02860; Yang et al. 2019, section 2.5 (segments), arXiv:1906.08237.
    Differs: no memory of earlier segments, no dropout on the attention weights; weights start as Glorot and Bengio
    (2010) propose, u, v, w at 0.

    Args:
        d_model: Width of the streams.
        num_heads: Number of heads H; divides d_model.

    Raises:
        ValueError: When d_model is not divisible by `num_heads`.

    Example:
        >>> attention, h = RelativeAttention(8, 2), torch.ones(1, 3, 8)
        >>> attention(h, h, distance_sinusoids(3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.num_heads = num_heads
        for name in ("w_query", "w_key", "w_value", "w_output", "w_distance"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))
            nn.init.xavier_uniform_(getattr(self, name).weight)
        shape = num_heads, d_model // num_heads
        for name in ("content_bias", "distance_bias", "segment_bias"):  # u, v, w
            setattr(self, name, nn.Parameter(torch.zeros(shape)))
        self.segments = nn.Parameter(0.02 * torch.randn(2, *shape))

    def forward(
        self, x: Tensor, content: Tensor, distances: Tensor, mask: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Let a stream gather from the content stream.

        Args:
            x: (B, T, d_model), the stream that asks: content or query.
            content: (B, T, d_model), gives keys and values.
            distances: (2 T, d_model) from `distance_sinusoids`.
            mask: Boolean, True = may attend: (T, T), (B, T, T) or (B, H, T, T).
            segments: (B, T) integers; places with the same number belong together.

        Returns:
            Output (B, T, d_model); zeros before the last projection where nothing may be attended.

        Raises:
            ValueError: When shapes do not fit, or the mask is not boolean or does not broadcast.
        """
        query, key, value, mask, bias = self._prepared(x, content, distances, mask, segments)
        heads = scaled_dot_product_attention(query, key, value, mask, bias=bias)  # (B, H, T, d_k)
        return self.w_output(heads.transpose(1, 2).flatten(2))  # (B, T, d_model)

    def attention_weights(
        self, x: Tensor, content: Tensor, distances: Tensor, mask: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Compute the weights (B, H, T, T) that `forward` uses for the same arguments."""
        query, key, _, mask, bias = self._prepared(x, content, distances, mask, segments)
        return attention_weights(query, key, mask, bias=bias)

    def _prepared(self, x, content, distances, mask, segments):
        d_k = x.shape[-1] // self.num_heads
        query, key, value = (
            self._split(projected) for projected in (self.w_query(x), self.w_key(content), self.w_value(content))
        )  # (B, H, T, d_k)
        towards = self.w_distance(distances).unflatten(-1, (self.num_heads, -1))  # (2 T, H, d_k)
        bias = torch.einsum("bhtd,rhd->bhtr", query + self.distance_bias[:, None], towards)
        bias = relative_shift(bias)  # (B, H, T, T)
        if segments is not None:
            kinds = torch.einsum("bhtd,khd->bhtk", query + self.segment_bias[:, None], self.segments)
            apart = (segments[:, :, None] != segments[:, None, :])[:, None]  # (B, 1, T, T)
            bias = bias + torch.where(apart, kinds[..., 1:], kinds[..., :1])
        bias = bias * d_k**-0.5
        return query + self.content_bias[:, None], key, value, mask_for_heads(mask, tuple(bias.shape)), bias

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, T, d_k)


class XLNetLayer(nn.Module):
    """Let both streams read the content stream, then transform each place of each stream on its own.

    One set of weights serves both streams. Keys and values come from the content stream only: what the query stream
    holds is read by nobody, so that the only thing that it adds is what it predicts.

    Source: Yang et al. 2019, section 2.3 and figure 1, arXiv:1906.08237.

    Args:
        config: The sizes.
    """

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        connection = partial(PostNorm, norm=partial(nn.LayerNorm, eps=config.norm_epsilon), dropout=config.dropout)
        self.attention = RelativeAttention(config.d_model, config.num_heads)
        self.feed_forward = FeedForward(config.d_model, config.d_ff, activation=F.gelu, dropout=config.dropout)
        self.around_attention = connection(config.d_model)
        self.around_feed_forward = connection(config.d_model)

    def forward(self, streams: Streams, masks: Masks, distances: Tensor, segments: Tensor | None = None) -> Streams:
        """Pass both streams through the layer; a query stream of None stays None."""
        content = streams.content

        def passed(x: Tensor, mask: Tensor | None) -> Tensor:
            x = self.around_attention(x, lambda y: self.attention(y, content, distances, mask, segments))
            return self.around_feed_forward(x, self.feed_forward)

        query = None if streams.query is None else passed(streams.query, masks.query)
        return Streams(passed(content, masks.content), query)


class XLNet(nn.Module):
    """Turn tokens into two streams: one that knows the token at its place, and one that only knows the place.

    Source: Yang et al. 2019, section 2, arXiv:1906.08237.
    Differs: no memory of earlier segments; the query stream is worked out for every place, not only for those that
    are predicted. A query that may read nothing gets zeros from the attention; the released code gives it an even
    mixture of everything.

    Args:
        config: The sizes.

    Example:
        >>> model = XLNet(XLNetConfig.tiny(vocab_size=10))
        >>> streams = model(torch.tensor([[1, 2, 3]]), permutation_mask(torch.tensor([2, 0, 1])))
        >>> streams.content.shape, streams.query.shape
        (torch.Size([1, 3, 64]), torch.Size([1, 3, 64]))
    """

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.unknown = nn.Parameter(torch.empty(config.d_model))  # where every query starts; w in the paper
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.unknown, std=0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(XLNetLayer(config) for _ in range(config.num_layers))

    def forward(
        self,
        tokens: Tensor,
        masks: Masks | None = None,
        *,
        padding: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Streams:
        """Read tokens (B, T), in the order that the masks allow.

        Args:
            tokens: (B, T) integers.
            masks: From `permutation_mask`, or any two masks (T, T) or (B, T, T). Without masks every place reads every
                other, as in fine-tuning, and there is no query stream.
            padding: Boolean (B, 1, T) or (B, T, T) from `padding_mask`, True = a real token. Padding is read by nobody
                but itself.
            segments: (B, T) integers, such as 0 for a question and 1 for its text.

        Returns:
            The streams, each (B, T, d_model).

        Raises:
            ValueError: When tokens are no integers, outside the vocabulary or empty, `segments` holds no integers, a
                mask or `padding` is not boolean, or one of these has another shape.
        """
        check_tokens(tokens, self.config.vocab_size)
        B, T = tokens.shape
        if segments is not None:
            check_integers("segments", segments)
            check_shape("segments", segments, (B, T))
        for mask in masks or ():
            check_mask(mask, (B, T, T))
        content_mask, query_mask = masks or (None, None)
        if padding is not None:
            check_rank(3, padding=padding)
            check_mask(padding, (B, T, T))
            itself = torch.eye(T, dtype=torch.bool, device=tokens.device)
            content_mask = (padding if content_mask is None else content_mask & padding) | itself
            query_mask = query_mask if query_mask is None else query_mask & padding
        distances = self.dropout(distance_sinusoids(T, self.config.d_model, device=tokens.device))
        content = self.dropout(self.tokens(tokens))  # (B, T, D)
        query = None if masks is None else self.dropout(self.unknown.expand_as(content))
        streams = Streams(content, query)
        for layer in self.layers:
            streams = layer(streams, Masks(content_mask, query_mask), distances.to(content.dtype), segments)
        return Streams(*(stream if stream is None else self.dropout(stream) for stream in streams))


class XLNetLMHead(nn.Module):
    r"""Predict the token at every place from those before it in the order, whichever side they stand on.

    $$p(x_{z_t} = x \mid x_{z_1}, \ldots, x_{z_{t - 1}}) \propto \exp(e(x)^\top g_{z_t} + b_x)$$

    with the token embeddings e, which are also the output's.

    Source: Yang et al. 2019, equations 3 and 4, arXiv:1906.08237. The bias b is the released code's.

    Args:
        config: The sizes.

    Example:
        >>> model = XLNetLMHead(XLNetConfig.tiny(vocab_size=10))
        >>> model(torch.tensor([[1, 2, 3]]), permutation_mask(torch.tensor([2, 0, 1]))).shape
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.body = XLNet(config)
        self.output = nn.Linear(config.d_model, config.vocab_size)
        nn.init.zeros_(self.output.bias)
        self.output.weight = self.body.tokens.weight

    def forward(
        self,
        tokens: Tensor,
        masks: Masks | None = None,
        *,
        padding: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Give the logits (B, T, vocab_size) of the query stream, or without masks those of the content stream.

        Args:
            tokens: As for `XLNet.forward`.
            masks: As for `XLNet.forward`.
            padding: As for `XLNet.forward`.
            segments: As for `XLNet.forward`.

        Raises:
            ValueError: As `XLNet.forward`.
        """
        content, query = self.body(tokens, masks, padding=padding, segments=segments)
        return self.output(content if query is None else query)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "XLNetLMHead":
        """Read a checkpoint folder, such as that of `xlnet-base-cased`: config.json and model.safetensors.

        `XLNetLMHead.from_pretrained("xlnet-base-cased")` reads the folder of that name; its tokenizer is SentencePiece
        and not part of this book. A `mem_len` in the config plays no part: one segment is read, without memory.

        Args:
            folder: The folder; sharded weights are read too, pickled ones never.

        Returns:
            The model, in evaluation mode.

        Raises:
            FileNotFoundError: When a file is missing.
            ValueError: When the checkpoint is of another kind, asks for what is not implemented, or weights are
                missing, unexpected or of the wrong shape.
        """
        stored = read_config(folder, model_type="xlnet")
        require(stored, attn_type="bi", bi_data=False, clamp_len=-1, same_length=False, ff_activation="gelu")
        require(stored, untie_r=True, tie_word_embeddings=True, d_head=stored["d_model"] // stored["n_head"])
        config = XLNetConfig(
            vocab_size=stored["vocab_size"],
            d_model=stored["d_model"],
            num_heads=stored["n_head"],
            num_layers=stored["n_layer"],
            d_ff=stored["d_inner"],
            dropout=stored.get("dropout", 0.1),
            norm_epsilon=stored.get("layer_norm_eps", 1e-12),
        )
        model = cls(config)
        tensors = renamed(read_tensors(folder), _NAMES)
        load_weights(model, {name: _as_linear(name, tensor) for name, tensor in tensors.items()})
        return model.eval()


_NAMES = (
    (r"^transformer\.", "body."),
    (r"^lm_loss\.", "output."),
    (r"body\.word_embedding", "body.tokens"),
    (r"body\.mask_emb$", "body.unknown"),
    (r"body\.layer\.", "body.layers."),
    (r"rel_attn\.q$", "attention.w_query.weight"),
    (r"rel_attn\.k$", "attention.w_key.weight"),
    (r"rel_attn\.v$", "attention.w_value.weight"),
    (r"rel_attn\.r$", "attention.w_distance.weight"),
    (r"rel_attn\.o$", "attention.w_output.weight"),
    (r"rel_attn\.r_w_bias", "attention.content_bias"),
    (r"rel_attn\.r_r_bias", "attention.distance_bias"),
    (r"rel_attn\.r_s_bias", "attention.segment_bias"),
    (r"rel_attn\.seg_embed", "attention.segments"),
    (r"rel_attn\.layer_norm", "around_attention.norm"),
    (r"ff\.layer_norm", "around_feed_forward.norm"),
    (r"ff\.layer_1", "feed_forward.widen"),
    (r"ff\.layer_2", "feed_forward.narrow"),
)


def _as_linear(name: str, tensor: Tensor) -> Tensor:
    """Give a stored projection (d_model, heads, d_head) the shape of a linear map (out, in); o is stored as it acts."""
    if name == "body.unknown":
        return tensor.flatten()
    if ".attention.w_" in name and tensor.dim() == 3:
        return tensor.flatten(1) if "w_output" in name else tensor.flatten(1).T
    return tensor
