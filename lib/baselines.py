"""What attention is compared with: a set pooled unweighted, a sequence read step by step, an image seen in windows."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lib.reference.contracts import check_count, check_floats, check_rank


def mean_pool(items: Tensor) -> Tensor:
    """Average a set over its items, (B, S, D) to (B, D): every item has the same say."""
    return items.mean(dim=1)


def max_pool(items: Tensor) -> Tensor:
    """Keep each feature's largest value in a set, (B, S, D) to (B, D): the loudest item has its say."""
    return items.amax(dim=1)


class PooledSet(nn.Module):
    r"""Encode each item of a set on its own, pool the codes, then answer the query.

    $$\hat y = \rho\left(\mathrm{pool}_j\, \phi(x_j),\; q\right)$$

    Source: Zaheer et al. 2017 (Deep Sets), theorem 2, arXiv:1703.06114; the maximum is the pooling of PointNet
    (Qi et al. 2017, arXiv:1612.00593).
    Differs: the answer also depends on a query.

    Args:
        d_item: Width of an item.
        d_query: Width of the query.
        d_model: Width of the codes and hidden layers.
        num_classes: Number of answers.
        pool: Turns (B, S, d_model) into (B, d_model): `mean_pool` or `max_pool`.

    Example:
        >>> model = PooledSet(d_item=3, d_query=2, d_model=8, num_classes=4, pool=mean_pool)
        >>> model(torch.ones(5, 2), torch.ones(5, 7, 3)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self, *, d_item: int, d_query: int, d_model: int, num_classes: int, pool: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.pool = pool
        layers = [nn.Linear(d_item, d_model), nn.ReLU(), nn.Linear(d_model, d_model), nn.ReLU()]
        self.encode = nn.Sequential(*layers)  # the last ReLU lets it silence an item
        self.answer = nn.Sequential(nn.Linear(d_model + d_query, d_model), nn.ReLU(), nn.Linear(d_model, num_classes))

    def forward(self, query: Tensor, items: Tensor) -> Tensor:
        """Answer a query about a set.

        Args:
            query: (B, d_query).
            items: (B, S, d_item).

        Returns:
            Logits (B, num_classes).

        Raises:
            ValueError: When there is not one query for each set.
        """
        if query.shape[0] != items.shape[0]:
            raise ValueError(f"{query.shape[0]} queries for {items.shape[0]} sets: expected one query for each set")
        pooled = self.pool(self.encode(items))  # (B, d_model)
        return self.answer(torch.cat([pooled, query], dim=-1))  # (B, num_classes)


class GRUSequence(nn.Module):
    r"""Read a sequence element by element, with one vector to remember all that went before.

    $$h_t = z_t \odot h_{t-1} + (1 - z_t) \odot n_t, \quad z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z)$$

    Source: Cho et al. 2014, section 2.3, arXiv:1406.1078, whose z is this one.
    Differs: torch's `nn.GRU`, which resets the memory after its product with a matrix, not before.

    Args:
        d_model: Width of an element.
        hidden: Width of the memory.
        keep: Added to the update gate's bias at the start. With 0 the gate opens half way and the memory halves at
            every step; with 3 it keeps 95 % (long memories by such a bias: Tallec and Ollivier 2018, arXiv:1804.11188).

    Raises:
        ValueError: When `d_model` or `hidden` is not an integer of at least 1.

    Example:
        >>> GRUSequence(8, 16)(torch.ones(2, 5, 8)).shape
        torch.Size([2, 5, 16])
    """

    def __init__(self, d_model: int, hidden: int, *, keep: float = 0.0) -> None:
        super().__init__()
        check_count("d_model", d_model)
        check_count("hidden", hidden)
        self.d_model = d_model
        self.gru = nn.GRU(d_model, hidden, batch_first=True)
        with torch.no_grad():
            self.gru.bias_ih_l0[hidden : 2 * hidden] += keep  # the gates are stacked: reset, update, new

    def forward(self, x: Tensor) -> Tensor:
        """Read a sequence.

        Args:
            x: (B, T, d_model).

        Returns:
            The memory after each element, (B, T, hidden); it starts at 0.

        Raises:
            ValueError: When x is not floating point, of another rank or width, or empty.
        """
        check_floats(x=x)
        check_rank(3, x=x)
        if x.shape[-1] != self.d_model:
            raise ValueError(f"x has width {x.shape[-1]} but d_model={self.d_model}")
        return self.gru(x)[0]


class SmallCNN(nn.Module):
    r"""Look at an image through small windows, the same ones everywhere; average what they found, then answer.

    Each layer is a convolution of 3 by 3, a batch normalisation and a ReLU; after the second one, every 2 by 2 places
    become their maximum.

    Source: LeCun et al. 1989, doi:10.1162/neco.1989.1.4.541 (convolutions that learn); Ioffe and Szegedy 2015,
    arXiv:1502.03167 (batch normalisation); Lin et al. 2013, section 3.2, arXiv:1312.4400 (average before the answer).

    Args:
        channels: Channels of the image.
        widths: Channels of each layer; at least two layers.
        num_classes: Number of answers.

    Raises:
        ValueError: When a number is not an integer of at least 1, or there are fewer than two layers.

    Example:
        >>> SmallCNN(1, [8, 16, 32], 10)(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(self, channels: int, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        check_count("channels", channels)
        check_count("num_classes", num_classes)
        if len(widths) < 2:
            raise ValueError(f"widths must name at least 2 layers but is {list(widths)}")
        layers: list[nn.Module] = []
        for number, width in enumerate(widths):
            check_count("a width", width)
            before = widths[number - 1] if number else channels
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            if number == 1:
                layers.append(nn.MaxPool2d(2))
        self.channels = channels
        self.layers = nn.Sequential(*layers)
        self.answer = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: (B, channels, height, width), at least 2 by 2.

        Returns:
            Logits (B, num_classes).

        Raises:
            ValueError: When the images are not floating point, of another rank or number of channels, or empty.
        """
        check_floats(images=images)
        check_rank(4, images=images)
        if images.shape[1] != self.channels:
            raise ValueError(f"images have {images.shape[1]} channels but the model reads {self.channels}")
        return self.answer(self.layers(images).mean(dim=(2, 3)))  # (B, num_classes)


class NGram:
    r"""Predict the next token by counting what followed the last few tokens, blended over all context lengths.

    $$p_k(x \mid h) = \frac{c(hx) + u(h)\, p_{k - 1}(x \mid h')}{c(h) + u(h)}$$

    Here $h$ are the last $k - 1$ tokens, $h'$ the same without the first, $c$ counts, and $u(h)$ is the number of
    different tokens seen behind $h$: the more of them, the likelier is one not seen yet. $p_0$ is uniform, and a
    context that was never seen leaves the word to the shorter one.

    Source: Witten and Bell 1991, method C, in the interpolated form of Chen and Goodman 1999.

    Args:
        text: (N,) integers to count in.
        order: Longest n-gram; 1 counts single tokens, 2 pairs.
        vocab_size: Number of different tokens.

    Raises:
        ValueError: When `order` or `vocab_size` is not an integer of at least 1, the text is too short, holds an id
            outside the vocabulary, or n-grams so long have too many forms to be numbered.

    Example:
        >>> model = NGram(torch.tensor([0, 1, 0, 1, 0, 2]), order=2, vocab_size=3)
        >>> model.probabilities(torch.tensor([[0, 1]]))[:, 0, 0]  # of 1 behind 0: order 1, order 2
        tensor([0.3333, 0.5333], dtype=torch.float64)
    """

    def __init__(self, text: Tensor, *, order: int, vocab_size: int) -> None:
        check_count("order", order)
        check_count("vocab_size", vocab_size)
        if len(text) < order:
            raise ValueError(f"the text has {len(text)} tokens but order={order}")
        if vocab_size**order >= 2**63:
            raise ValueError(f"{vocab_size} tokens have too many sequences of {order} to be numbered in 64 bits")
        if not 0 <= int(text.min()) <= int(text.max()) < vocab_size:
            raise ValueError(f"text holds ids from {int(text.min())} to {int(text.max())} but vocab_size={vocab_size}")
        self.order, self.vocab_size = order, vocab_size
        self.tables = []  # for each length: n-grams and their counts; contexts, their counts and numbers of followers
        for length in range(1, order + 1):
            grams, counts = self._numbered(text[None], length)[0].unique(return_counts=True)
            contexts, place = (grams // vocab_size).unique(return_inverse=True)
            total = torch.zeros(len(contexts), dtype=torch.int64).index_add_(0, place, counts)
            self.tables.append((grams, counts, contexts, total, place.bincount()))

    def __len__(self) -> int:
        """Give the number of counts that are kept."""
        return sum(len(grams) for grams, *_ in self.tables)

    def probabilities(self, pieces: Tensor) -> Tensor:
        """Say how likely each token of pieces (B, T + 1) is after those before it in its piece, but for the first.

        Returns:
            (order, B, T): by models of order 1, 2, ... A place with less before it than an order looks at gets what the
            shorter context says.
        """
        B, T = pieces.shape[0], pieces.shape[1] - 1
        blended, by_order = torch.full((B, T), 1 / self.vocab_size, dtype=torch.float64), []
        for length, (grams, counts, contexts, total, followers) in enumerate(self.tables, start=1):
            grams_here = self._numbered(pieces, length)[:, length == 1 :]  # (B, T') that end at a token to predict
            times = _looked_up(grams_here, grams, counts)
            behind = _looked_up(grams_here // self.vocab_size, contexts, total)
            kinds = _looked_up(grams_here // self.vocab_size, contexts, followers)
            shorter = blended[:, T - grams_here.shape[1] :]
            mixed = (times + kinds * shorter) / (behind + kinds).clamp(min=1)
            blended = blended.clone()
            blended[:, T - grams_here.shape[1] :] = torch.where(behind > 0, mixed, shorter)
            by_order.append(blended)
        return torch.stack(by_order)

    def _numbered(self, texts: Tensor, length: int) -> Tensor:
        """Give each run of `length` tokens in texts (B, N) a number of its own: (B, N - length + 1)."""
        runs = texts.unfold(1, length, 1)  # (B, N - length + 1, length)
        return runs @ self.vocab_size ** torch.arange(length - 1, -1, -1)


def _looked_up(wanted: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Find each wanted number among sorted keys and give its value, 0 where it is not there."""
    place = torch.searchsorted(keys, wanted.contiguous()).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, values[place], 0)
