"""Positions in PyTorch: the names and shapes of `lib.reference.positional`."""

import math

import torch
from torch import Tensor, nn

from lib.reference.contracts import (
    check_buckets,
    check_count,
    check_even,
    check_floats,
    check_rank,
    check_room,
    check_rotation,
    check_width,
)


def sinusoidal_positions(length: int, d_model: int, *, device: torch.device | str | None = None) -> Tensor:
    r"""Give every place in a sequence a vector of sines and cosines, from fast to slow.

    $$P_{t, 2i} = \sin\left(t / 10000^{2i / d_{model}}\right), \quad
    P_{t, 2i + 1} = \cos\left(t / 10000^{2i / d_{model}}\right)$$

    Source: Vaswani et al. 2017, section 3.5, arXiv:1706.03762.

    Args:
        length: Number of places.
        d_model: Width of the vectors; even, since sines and cosines come in pairs.
        device: Where the tensor is made.

    Returns:
        Tensor (length, d_model) in torch's default dtype, worked out in float64.

    Raises:
        ValueError: When `length` or `d_model` is not an integer of at least 1, or `d_model` is odd.

    Example:
        >>> sinusoidal_positions(2, 4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    check_count("length", length)
    check_even("d_model", d_model)
    divisors = 10000 ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (D / 2,)
    angles = torch.arange(length)[:, None] / divisors  # (length, D / 2)
    positions = torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(length, d_model)
    return positions.to(device=device, dtype=torch.get_default_dtype())


def rotate(x: Tensor, *, offset: int = 0, base: float = 10000.0) -> Tensor:
    r"""Turn each vector by angles that grow with its place, so that dot products tell how far apart two places are.

    Each pair of neighbouring numbers is a point in a plane; at place $t$ it is turned by $t \theta_i$:

    $$\begin{pmatrix} x'_{2i} \\ x'_{2i + 1} \end{pmatrix} =
    \begin{pmatrix} \cos t\theta_i & -\sin t\theta_i \\ \sin t\theta_i & \cos t\theta_i \end{pmatrix}
    \begin{pmatrix} x_{2i} \\ x_{2i + 1} \end{pmatrix}, \quad \theta_i = base^{-2i / d_k}$$

    Source: Su et al. 2021, section 3.2.2, equations 14 and 15, arXiv:2104.09864.

    Args:
        x: (..., T, d_k), queries or keys after their split into heads; d_k is even.
        offset: Place of the first vector.
        base: Sets the slowest of the speeds; they run from 1 towards 1 / base.

    Returns:
        Tensor (..., T, d_k) of the same dtype; each vector as long as before.

    Raises:
        ValueError: When x is not floating point, has fewer than 2 axes or is empty, d_k is odd, `offset` is not an
            integer of at least 0, or `base` is not above 0.

    Example:
        >>> rotate(torch.ones(3, 2))
        tensor([[ 1.0000,  1.0000],
                [-0.3012,  1.3818],
                [-1.3254,  0.4932]])
    """
    check_rotation(x, offset, base)
    T, d_k = x.shape[-2:]
    speeds = float(base) ** -(torch.arange(0, d_k, 2, dtype=torch.float64) / d_k)  # (d_k / 2,)
    angles = torch.arange(offset, offset + T)[:, None] * speeds  # (T, d_k / 2)
    precise = torch.promote_types(x.dtype, torch.float32)
    cos, sin = (part.to(device=x.device, dtype=precise) for part in (angles.cos(), angles.sin()))
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(x.dtype)


def relative_buckets(
    T: int,
    S: int | None = None,
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = True,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Sort the distances between queries and keys into buckets: near ones exactly, far ones ever more coarsely.

    With $n$ buckets a direction, distance $d$ has bucket $d$ while $d < m = \lfloor n / 2 \rfloor$, and from there on

    $$\min\left(n - 1,\ m + \left\lfloor (n - m) \frac{\ln (d / m)}{\ln (max\_distance / m)} \right\rfloor\right)$$

    The ends of queries and keys are aligned as in `causal_mask`: query t stands at place S - T + t.

    Source: Raffel et al. 2019, section 2.1, arXiv:1910.10683 (the formula: their published code).

    Args:
        T: Number of queries.
        S: Number of keys; T when left out.
        num_buckets: Number of buckets in all.
        max_distance: Distance from which on everything is in the last bucket.
        bidirectional: Whether later keys have buckets of their own, the second half (encoders); else they all share
            bucket 0, and a causal mask hides them (decoders).
        device: Where the tensor is made.

    Returns:
        Tensor (T, S) of integers from 0 to num_buckets - 1.

    Raises:
        ValueError: When T, S, `num_buckets` or `max_distance` is not an integer of at least 1, there are too few
            buckets, an odd number for two directions, or `max_distance` is not above the distances that have a bucket
            each.

    Example:
        >>> relative_buckets(2, 5, num_buckets=8, max_distance=4)
        tensor([[3, 2, 1, 0, 5],
                [3, 3, 2, 1, 0]])
    """
    S = T if S is None else S
    check_count("T", T)
    check_count("S", S)
    check_buckets(num_buckets, max_distance, bidirectional)
    ahead = torch.arange(S) - (torch.arange(T)[:, None] + S - T)  # (T, S): places from each query on to each key
    n = num_buckets // 2 if bidirectional else num_buckets
    distance = ahead.abs() if bidirectional else (-ahead).clamp(min=0)
    first = n * (ahead > 0) if bidirectional else 0
    m = n // 2
    coarse = (n - m) * (distance.clamp(min=m).double() / m).log() / math.log(max_distance / m)
    coarse = (coarse + 1e-9).long()  # rounding must not push a distance below the edge on which it lies
    return (first + torch.where(distance < m, distance, (m + coarse).clamp(max=n - 1))).to(device)


class LearnedPositions(nn.Module):
    r"""Add to each vector of a sequence a vector of its place, learned like any other weight: $x_t + P_t$.

    Source: Gehring et al. 2017, section 3.1, arXiv:1705.03122; Devlin et al. 2018, section 3, arXiv:1810.04805.
    Differs: the vectors start at a spread of 0.02, as in BERT's published code.

    Args:
        max_length: Number of places that have a vector; a longer sequence is refused, for nothing was learned there.
        d_model: Width of the vectors.

    Raises:
        ValueError: When `max_length` or `d_model` is not an integer of at least 1.

    Example:
        >>> LearnedPositions(max_length=8, d_model=4)(torch.zeros(1, 3, 4)).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, max_length: int, d_model: int) -> None:
        super().__init__()
        check_count("max_length", max_length)
        check_count("d_model", d_model)
        self.weight = nn.Parameter(torch.empty(max_length, d_model))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, *, offset: int = 0) -> Tensor:
        """Tell each vector its place.

        Args:
            x: (B, T, d_model).
            offset: Place of the first vector.

        Returns:
            (B, T, d_model).

        Raises:
            ValueError: When x is not floating point, of another rank or width or empty, `offset` is not an integer of
                at least 0, or the sequence reaches beyond `max_length`.
        """
        max_length, d_model = self.weight.shape
        check_floats(x=x)
        check_rank(3, x=x)
        check_width("x", x, "d_model", d_model)
        check_room(x.shape[1], offset, max_length)
        return x + self.weight[offset : offset + x.shape[1]]


class RelativeBias(nn.Module):
    """Learn how much each head likes each distance between a query and a key; the result is a `bias` on the scores.

    One module serves all layers of a stack, as in the paper.

    Source: Raffel et al. 2019, section 2.1, arXiv:1910.10683.
    Differs: the bias starts at 0, where all distances are alike. Our attention adds it to scaled scores; T5 does not
    scale.

    Args:
        num_heads: Number of heads H; each has its own likings.
        num_buckets: As for `relative_buckets`.
        max_distance: As for `relative_buckets`.
        bidirectional: As for `relative_buckets`.

    Raises:
        ValueError: When `num_heads` is not an integer of at least 1, or as `relative_buckets`.

    Example:
        >>> RelativeBias(num_heads=2)(3, 5).shape
        torch.Size([2, 3, 5])
    """

    def __init__(
        self, num_heads: int, *, num_buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
    ) -> None:
        super().__init__()
        check_count("num_heads", num_heads)
        check_buckets(num_buckets, max_distance, bidirectional)
        self.max_distance, self.bidirectional = max_distance, bidirectional
        self.weight = nn.Parameter(torch.zeros(num_buckets, num_heads))

    def forward(self, T: int, S: int | None = None) -> Tensor:
        """Lay out the bias for T queries and S keys.

        Args:
            T: Number of queries.
            S: Number of keys; T when left out. The ends are aligned as in `causal_mask`.

        Returns:
            Bias (H, T, S), for `bias=` of the attention functions and of `MultiHeadAttention`.

        Raises:
            ValueError: When T or S is not an integer of at least 1.
        """
        buckets = relative_buckets(
            T,
            S,
            num_buckets=len(self.weight),
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
            device=self.weight.device,
        )
        return self.weight[buckets].permute(2, 0, 1)  # (H, T, S)
