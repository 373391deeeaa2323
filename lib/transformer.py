"""The Transformer's layers and stacks, put together from attention, a feed-forward network and connections.

Shapes: x (B, T, d_model), memory (B, S, d_model). Masks are boolean, True means *may attend*. Variants are injected: a
connection decides where the normalisation stands and whether there is a residual path; what makes an attention or a
feed-forward network may be a `functools.partial` of ours, or another class. Layers that share their weights are one
layer, several times in a stack.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.cache import KeyValueCache, MemoryCache
from lib.reference.contracts import check_count, check_floats, check_leading_axes, check_rank, check_width

Activation = Callable[[Tensor], Tensor]
Sublayer = Callable[[Tensor], Tensor]
Connection = Callable[..., nn.Module]


class FeedForward(nn.Module):
    r"""Transform each place of a sequence on its own: widen, bend, narrow.

    $$\mathrm{FFN}(x) = \sigma(x W_1 + b_1) W_2 + b_2$$

    Source: Vaswani et al. 2017, section 3.3, equation 2, arXiv:1706.03762.
    Differs: any activation, where the paper takes the ReLU; dropout behind it, as in most published code.

    Args:
        d_model: Width of input and output.
        d_ff: Width between the two linear maps.
        activation: Applied to the widened (..., d_ff).
        dropout: Share of the widened numbers that training sets to 0.
        bias: Whether the two linear maps have biases.

    Raises:
        ValueError: When a width is not an integer of at least 1, or `dropout` is not between 0 and 1.

    Example:
        >>> FeedForward(8, 32)(torch.ones(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: Activation = torch.relu,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_count("d_model", d_model)
        check_count("d_ff", d_ff)
        self.widen = nn.Linear(d_model, d_ff, bias=bias)
        self.narrow = nn.Linear(d_ff, d_model, bias=bias)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (..., d_model) place by place; the shape stays."""
        return self.narrow(self.dropout(self.activation(self.widen(x))))


class PreNorm(nn.Module):
    r"""Add to x what a sublayer makes of the normalised x: $x + f(\mathrm{norm}(x))$.

    Source: Xiong et al. 2020, figure 1b, arXiv:2002.04745. A stack of such layers needs one more norm at its end.

    Args:
        d_model: Width of x.
        norm: Makes the normalisation for a width; `nn.LayerNorm` or, say, `nn.RMSNorm`.
        dropout: Share of the sublayer's output that training sets to 0.

    Raises:
        ValueError: When `d_model` is not an integer of at least 1, or `dropout` is not between 0 and 1.

    Example:
        >>> PreNorm(2)(torch.tensor([[1.0, 3.0]]), lambda x: 10 * x).round()
        tensor([[-9., 13.]], grad_fn=<RoundBackward0>)
    """

    def __init__(self, d_model: int, *, norm: Callable[[int], nn.Module] = nn.LayerNorm, dropout: float = 0.0) -> None:
        super().__init__()
        check_count("d_model", d_model)
        self.norm = norm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, sublayer: Sublayer) -> Tensor:
        """Connect a sublayer, a function that keeps the shape, to x (..., d_model)."""
        return x + self.dropout(sublayer(self.norm(x)))


class PostNorm(PreNorm):
    r"""Add to x what a sublayer makes of it, then normalise: $\mathrm{norm}(x + f(x))$.

    Source: Vaswani et al. 2017, section 3.1, arXiv:1706.03762.

    Args:
        d_model: As for `PreNorm`.
        norm: As for `PreNorm`.
        dropout: As for `PreNorm`.

    Raises:
        ValueError: As `PreNorm`.

    Example:
        >>> PostNorm(2)(torch.tensor([[1.0, 3.0]]), lambda x: 10 * x).round()
        tensor([[-1.,  1.]], grad_fn=<RoundBackward0>)
    """

    def forward(self, x: Tensor, sublayer: Sublayer) -> Tensor:
        """Connect a sublayer, a function that keeps the shape, to x (..., d_model)."""
        return self.norm(x + self.dropout(sublayer(x)))


class NoResidual(PreNorm):
    r"""Replace x by what a sublayer makes of it: $f(\mathrm{norm}(x))$, which is `PreNorm` without its first term.

    Source: Dong et al. 2021, arXiv:2103.03404, who ask what stacks do without this path.
    Differs: the normalisation stays, so that the residual path is all that is missing.

    Args:
        d_model: As for `PreNorm`.
        norm: As for `PreNorm`.
        dropout: As for `PreNorm`.

    Raises:
        ValueError: As `PreNorm`.

    Example:
        >>> NoResidual(2)(torch.tensor([[1.0, 3.0]]), lambda x: 10 * x).round()
        tensor([[-10.,  10.]], grad_fn=<RoundBackward0>)
    """

    def forward(self, x: Tensor, sublayer: Sublayer) -> Tensor:
        """Connect a sublayer, a function that keeps the shape, to x (..., d_model)."""
        return self.dropout(sublayer(self.norm(x)))


class EncoderLayer(nn.Module):
    """Let the places of a sequence look at each other, then transform each on its own.

    With a causal mask it is the layer of a decoder-only model such as GPT.

    Source: Vaswani et al. 2017, section 3.1, arXiv:1706.03762.
    Differs: pre-norm by default, which trains without warm-up; no dropout on the attention weights.

    Args:
        d_model: Width of the sequence.
        num_heads: Number of heads; divides d_model.
        d_ff: Inner width of the feed-forward network.
        connection: Makes a connection for a width and a `dropout`: `PreNorm`, `PostNorm` or `NoResidual`.
        activation: The feed-forward network's.
        dropout: Of the sublayers' outputs and inside the feed-forward network.
        attention: Makes the attention for a width and a number of heads: `MultiHeadAttention` or, say,
            `partial(MultiHeadAttention, positions=rotate)`.
        feed_forward: Makes the feed-forward network for two widths, an `activation` and a `dropout`.

    Raises:
        ValueError: When d_model is not divisible by `num_heads`, a width is not an integer of at least 1, or `dropout`
            is not between 0 and 1.

    Example:
        >>> EncoderLayer(8, 2, 32, connection=PostNorm)(torch.ones(1, 3, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        connection: Connection = PreNorm,
        activation: Activation = torch.relu,
        dropout: float = 0.0,
        attention: Callable[[int, int], nn.Module] = MultiHeadAttention,
        feed_forward: Callable[..., nn.Module] = FeedForward,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.attention = attention(d_model, num_heads)
        self.feed_forward = feed_forward(d_model, d_ff, activation=activation, dropout=dropout)
        self.around_attention = connection(d_model, dropout=dropout)
        self.around_feed_forward = connection(d_model, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Pass a sequence through the layer.

        Args:
            x: (B, T, d_model).
            mask: Boolean, True = may attend: (T, S), (B, T, S) for all heads, or (B, H, T, S); any axis may be 1.
                Without a cache S = T.
            bias: Added to the scaled scores, as for `MultiHeadAttention.forward`.
            cache: This layer's keys and values of earlier places, to which those of x are appended.

        Returns:
            (B, T, d_model).

        Raises:
            ValueError: As `MultiHeadAttention.forward`.
        """
        _check_widths(self.d_model, x=x)
        x = self.around_attention(x, lambda y: self.attention(y, mask=mask, bias=bias, **_given(cache)))
        return self.around_feed_forward(x, self.feed_forward)


class DecoderCache(NamedTuple):
    """What a decoder layer keeps between two calls."""

    self_attention: KeyValueCache
    cross_attention: MemoryCache


class DecoderLayer(nn.Module):
    """Let a sequence look at itself, then at the memory, then transform each place on its own.

    Source: Vaswani et al. 2017, section 3.1, arXiv:1706.03762.
    Differs: as `EncoderLayer`.

    Args:
        d_model: Width of the sequence and of the memory.
        num_heads: As for `EncoderLayer`.
        d_ff: As for `EncoderLayer`.
        connection: As for `EncoderLayer`.
        activation: As for `EncoderLayer`.
        dropout: As for `EncoderLayer`.
        attention: As for `EncoderLayer`; makes the self-attention and the cross-attention.
        feed_forward: As for `EncoderLayer`.

    Raises:
        ValueError: As `EncoderLayer`.

    Example:
        >>> DecoderLayer(8, 2, 32)(torch.ones(1, 3, 8), torch.ones(1, 5, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        connection: Connection = PreNorm,
        activation: Activation = torch.relu,
        dropout: float = 0.0,
        attention: Callable[[int, int], nn.Module] = MultiHeadAttention,
        feed_forward: Callable[..., nn.Module] = FeedForward,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.self_attention = attention(d_model, num_heads)
        self.cross_attention = attention(d_model, num_heads)
        self.feed_forward = feed_forward(d_model, d_ff, activation=activation, dropout=dropout)
        self.around_self_attention = connection(d_model, dropout=dropout)
        self.around_cross_attention = connection(d_model, dropout=dropout)
        self.around_feed_forward = connection(d_model, dropout=dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        cache: "DecoderCache | None" = None,
    ) -> Tensor:
        """Pass a sequence through the layer, with a memory to look at.

        Args:
            x: (B, T, d_model).
            memory: (B, S, d_model), such as an encoder's output.
            mask: Which places of x each place of x may attend to: as for `EncoderLayer`; usually causal.
            memory_mask: Which places of the memory it may: boolean (T, S), (B, T, S) or (B, H, T, S).
            bias: Added to the scaled scores of the self-attention.
            cache: This layer's keys and values of earlier places and of the memory.

        Returns:
            (B, T, d_model).

        Raises:
            ValueError: As `MultiHeadAttention.forward`.
        """
        _check_widths(self.d_model, x=x, memory=memory)
        own, other = (None, None) if cache is None else cache
        x = self.around_self_attention(x, lambda y: self.self_attention(y, mask=mask, bias=bias, **_given(own)))
        x = self.around_cross_attention(x, lambda y: self.cross_attention(y, memory, mask=memory_mask, **_given(other)))
        return self.around_feed_forward(x, self.feed_forward)


class Encoder(nn.Module):
    """Pass a sequence through one layer after the other.

    The same layer given several times shares its weights with itself: `Encoder([layer] * 6)` is six layers deep and
    has the parameters of one (Lan et al. 2019, section 3.1, arXiv:1909.11942).

    Source: Vaswani et al. 2017, section 3.1, arXiv:1706.03762.

    Args:
        layers: `EncoderLayer`s, the first one first.
        norm: Applied at the end; pre-norm layers want one, such as `nn.LayerNorm(d_model)`.

    Raises:
        ValueError: When there are no layers.

    Example:
        >>> layer = EncoderLayer(8, 2, 32)
        >>> shared = Encoder([layer] * 6, nn.LayerNorm(8))
        >>> shared(torch.ones(1, 3, 8)).shape, len(list(shared.parameters())) - len(list(layer.parameters()))
        (torch.Size([1, 3, 8]), 2)
    """

    def __init__(self, layers: Iterable[nn.Module], norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = _stacked(layers)
        self.norm = nn.Identity() if norm is None else norm

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        cache: Sequence[KeyValueCache] | None = None,
    ) -> Tensor:
        """Pass x (B, T, d_model) through all layers with the same mask and bias, as `EncoderLayer.forward`.

        Args:
            x: As for `EncoderLayer.forward`.
            mask: As for `EncoderLayer.forward`.
            bias: As for `EncoderLayer.forward`.
            cache: One a layer, from `new_cache()`; with a causal mask only, where earlier places do not see later ones.

        Raises:
            ValueError: As `EncoderLayer.forward`, and when there is not one cache for each layer.
        """
        for layer, kept in _with_caches(self.layers, cache):
            x = layer(x, mask, bias=bias, **_given(kept))
        return self.norm(x)

    def new_cache(self) -> list[KeyValueCache]:
        """Make an empty cache for each layer."""
        return [KeyValueCache() for _ in self.layers]


class Decoder(nn.Module):
    """Pass a sequence through one layer after the other, each looking at the same memory.

    Source: Vaswani et al. 2017, section 3.1, arXiv:1706.03762.

    Args:
        layers: `DecoderLayer`s, the first one first; the same one several times shares its weights.
        norm: As for `Encoder`.

    Raises:
        ValueError: When there are no layers.

    Example:
        >>> decoder = Decoder(DecoderLayer(8, 2, 32) for _ in range(2))
        >>> decoder(torch.ones(1, 3, 8), torch.ones(1, 5, 8)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, layers: Iterable[nn.Module], norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = _stacked(layers)
        self.norm = nn.Identity() if norm is None else norm

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        cache: Sequence[DecoderCache] | None = None,
    ) -> Tensor:
        """Pass x (B, T, d_model) through all layers with the same arguments, as `DecoderLayer.forward`.

        Args:
            x: As for `DecoderLayer.forward`.
            memory: As for `DecoderLayer.forward`.
            mask: As for `DecoderLayer.forward`.
            memory_mask: As for `DecoderLayer.forward`.
            bias: As for `DecoderLayer.forward`.
            cache: One a layer, from `new_cache()`; the memory must then be the same in every call.

        Raises:
            ValueError: As `DecoderLayer.forward`, and when there is not one cache for each layer.
        """
        for layer, kept in _with_caches(self.layers, cache):
            x = layer(x, memory, mask, memory_mask, bias=bias, **_given(kept))
        return self.norm(x)

    def new_cache(self) -> list[DecoderCache]:
        """Make an empty cache for each layer."""
        return [DecoderCache(KeyValueCache(), MemoryCache()) for _ in self.layers]


def _given(cache: object | None) -> dict[str, object]:
    """Hand on a cache only where there is one: an injected attention or layer need not know of caches."""
    return {} if cache is None else {"cache": cache}


def _with_caches(layers: nn.ModuleList, caches: Sequence | None) -> Iterable[tuple[nn.Module, object]]:
    if caches is not None and len(caches) != len(layers):
        raise ValueError(f"there are {len(caches)} caches for {len(layers)} layers")
    return zip(layers, caches or [None] * len(layers), strict=True)


def _stacked(layers: Iterable[nn.Module]) -> nn.ModuleList:
    stacked = nn.ModuleList(layers)
    if not len(stacked):
        raise ValueError("a stack needs at least 1 layer but got 0")
    return stacked


def _check_widths(d_model: int, **sequences: Tensor) -> None:
    check_floats(**sequences)
    check_rank(3, **sequences)
    check_leading_axes(**sequences)
    for name, sequence in sequences.items():
        check_width(name, sequence, "d_model", d_model)
