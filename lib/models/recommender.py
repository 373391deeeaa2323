"""What will this person turn to next? Read a history by averaging it, by target attention, or by self-attention.

Shapes: histories (B, T) int64, the oldest item first, ids from 1, and 0 behind the last item of a shorter history;
logits (B, T, 1 + num_items): at place t those of the next item, given the items 0 ... t and no later one. Id 0 stands
for no item and has the logit -inf.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.masks import causal_mask
from lib.models.contracts import check_share, check_sizes, check_tokens
from lib.positional import LearnedPositions
from lib.reference.contracts import check_count
from lib.transformer import Encoder, EncoderLayer


@dataclass(frozen=True)
class RecommenderConfig:
    """The sizes of a recommender.

    Raises:
        ValueError: When a size is not an integer of at least 1, d_model is not divisible by `num_heads`, or `dropout`
            is not at least 0 and below 1.

    Example:
        >>> RecommenderConfig(num_items=100).d_model
        48
    """

    num_items: int  # ids run from 1 to this
    d_model: int = 48
    num_heads: int = 1  # two were not better in the SASRec paper (its table IV)
    num_layers: int = 2
    d_ff: int = 48  # the SASRec paper's feed-forward network does not widen
    max_length: int = 50  # places that SASRec can tell apart
    window: int = 5  # how many of the last items the other two models read
    dropout: float = 0.2
    start: float = 0.02  # standard deviation with which the items' vectors begin

    def __post_init__(self) -> None:
        check_sizes(self, num_items=1, num_layers=1, d_ff=1, max_length=1, window=1)
        check_share("dropout", self.dropout)


class ItemEmbedding(nn.Embedding):
    """Give each item a small random vector, and id 0 the vector 0."""

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__(1 + config.num_items, config.d_model, padding_idx=0)
        nn.init.normal_(self.weight, std=config.start)
        with torch.no_grad():
            self.weight[0] = 0


class ItemScores(nn.Linear):
    """Score all items for vectors (..., d_model), each by its own output vector and bias: (..., 1 + num_items)."""

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__(config.d_model, 1 + config.num_items)
        nn.init.normal_(self.weight, std=config.start)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Give the logits; id 0 has -inf."""
        return F.linear(x, self.weight, without_none(self.bias))


def without_none(bias: Tensor) -> Tensor:
    """Give id 0 the bias -inf, so that "no item" is never recommended."""
    none = torch.arange(len(bias), device=bias.device) == 0
    return bias.masked_fill(none, float("-inf"))


def recent(T: int, window: int) -> Tensor:
    """Say which places are among the last `window` up to and including each place: (T, T) booleans.

    Raises:
        ValueError: When a number is below 1.

    Example:
        >>> recent(3, 2).int()
        tensor([[1, 0, 0],
                [1, 1, 0],
                [0, 1, 1]], dtype=torch.int32)
    """
    check_count("T", T)
    check_count("window", window)
    return torch.ones(T, T, dtype=torch.bool).tril().triu(1 - window)


class AveragePooling(nn.Module):
    r"""Average the vectors of the last items and let a small network make a wish of it. No attention anywhere.

    $$u_t = \mathrm{MLP}\left(\frac{1}{n} \sum_{i = t - n + 1}^{t} e_{h_i}\right), \qquad s_t(c) = u_t^\top v_c + b_c$$

    Source: Covington et al. 2016, section 3 and figure 3, doi:10.1145/2959100.2959190 (candidate generation).
    Differs: watched items are the only input (no searches, age, place); one hidden layer; all items in the softmax
    where the paper samples; a bias for each item.

    Args:
        config: The sizes; `window` is n.

    Example:
        >>> AveragePooling(RecommenderConfig(9))(torch.tensor([[3, 1, 2]])).shape
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = ItemEmbedding(config)
        self.tower = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(config.d_model, 2 * config.d_model),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.d_model, config.d_model),
        )
        self.output = ItemScores(config)

    def forward(self, history: Tensor) -> Tensor:
        """Give logits (B, T, 1 + num_items) for histories (B, T).

        Raises:
            ValueError: When the history is empty, of another rank or dtype, or holds an id outside the items.
        """
        _check(history, self.config)
        _, T = history.shape
        near = recent(T, self.config.window)
        count = (near & (history > 0)[:, None, :]).sum(dim=-1, keepdim=True).clamp(min=1)  # (B, T, 1)
        mean = near.to(self.output.weight.dtype) @ self.embedding(history) / count  # (B, T, d_model)
        return self.output(self.tower(mean))


class TargetAttention(nn.Module):
    r"""Let each candidate look at the history and weigh what concerns *it*: cross-attention, the candidate as query.

    $$w_{ti}(c) = \frac{e^{q_c^\top k_{h_i} / \sqrt{d}}}{\sum_j e^{q_c^\top k_{h_j} / \sqrt{d}}}, \qquad
    s_t(c) = \left(\sum_i w_{ti}(c)\, W_v e_{h_i}\right)^{\!\top} v_c + b_c$$

    Source: Zhou et al. 2018, section 4.3, equation 3, arXiv:1706.06978 (Deep Interest Network).
    Differs: the paper weighs by a small network on both vectors and their product and leaves the softmax out; its
    network above the pooled vector is a dot product here. Both let us score all items at all places at once. Scores
    beyond 30 count as 30.

    Args:
        config: The sizes; each candidate looks at the last `window` items.

    Example:
        >>> TargetAttention(RecommenderConfig(9))(torch.tensor([[3, 1, 2]])).shape
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = ItemEmbedding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.w_query, self.w_key, self.w_value = (
            nn.Linear(config.d_model, config.d_model, bias=False) for _ in range(3)
        )
        self.output = ItemScores(config)

    def scores(self, history: Tensor) -> Tensor:
        """Score each item of histories (B, T) for each candidate, before the softmax: (B, T, 1 + num_items)."""
        key = self.w_key(self.dropout(self.embedding(history)))
        query = self.w_query(self.output.weight)  # (1 + num_items, d_model)
        return key @ (query.T * self.config.d_model**-0.5)

    def forward(self, history: Tensor) -> Tensor:
        """Give logits (B, T, 1 + num_items) for histories (B, T).

        Raises:
            ValueError: As `AveragePooling.forward`.
        """
        _check(history, self.config)
        _, T = history.shape
        value = self.w_value(self.dropout(self.embedding(history)))
        scores = self.scores(history)
        # A softmax for every place: exponentials once, then sums over the places that each may look at. (Less the
        # highest score, as softmax is usually computed, would let a later item decide what earlier ones lose.)
        weights = scores.clamp(-30, 30).exp()
        near = (recent(T, self.config.window) & (history > 0)[:, None, :]).to(weights.dtype)  # (B, T, T)
        matched = near @ (weights * (value @ self.output.weight.T)) / (near @ weights + 1e-30)
        return matched + without_none(self.output.bias)


class SASRec(nn.Module):
    """Let the history look at itself: a small causal Transformer, whose last place says what it wants next.

    Source: Kang and McAuley 2018, section III, arXiv:1808.09781 (Self-Attentive Sequential Recommendation).
    Differs: output vectors of their own, where the paper shares the embedding; a bias for each item; trained with a
    softmax over all items instead of one negative item a place (see `lib.experiments.recommenders`); residuals around
    the normalised input, as in `lib.transformer.PreNorm`.

    Args:
        config: The sizes.

    Example:
        >>> SASRec(RecommenderConfig(9))(torch.tensor([[3, 1, 2]])).shape
        torch.Size([1, 3, 10])
    """

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = ItemEmbedding(config)
        self.positions = LearnedPositions(config.max_length, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        layers = (
            EncoderLayer(config.d_model, config.num_heads, config.d_ff, dropout=config.dropout)
            for _ in range(config.num_layers)
        )
        self.encoder = Encoder(layers, nn.LayerNorm(config.d_model))
        self.output = ItemScores(config)

    def forward(self, history: Tensor) -> Tensor:
        """Give logits (B, T, 1 + num_items) for histories (B, T).

        Raises:
            ValueError: As `AveragePooling.forward`, and when T is above `max_length`.
        """
        _check(history, self.config, longest=self.config.max_length)
        _, T = history.shape
        x = self.dropout(self.positions(self.embedding(history) * self.config.d_model**0.5))
        return self.output(self.encoder(x, causal_mask(T)))


def _check(history: Tensor, config: RecommenderConfig, longest: int | None = None) -> None:
    check_tokens(history, 1 + config.num_items, longest=longest, name="history")


def start_from_popularity(model: nn.Module, share: Any) -> None:
    """Set the bias of each item to the logarithm of its share of all events, so that training begins at popularity.

    Args:
        model: One of the models above.
        share: (1 + num_items,) array or tensor; entry 0 does not matter.

    Raises:
        ValueError: When there is not one share for each item.

    Example:
        >>> model = AveragePooling(RecommenderConfig(2))
        >>> start_from_popularity(model, [0.0, 0.75, 0.25])
        >>> model.output.bias.exp().tolist()[1:]
        [0.75, 0.25]
    """
    share = torch.as_tensor(share, dtype=model.output.bias.dtype)
    if share.shape != model.output.bias.shape:
        raise ValueError(f"{len(share)} shares for {len(model.output.bias)} ids: give one for each, and one for id 0")
    with torch.no_grad():
        model.output.bias.copy_(share.clamp(min=1e-9).log())
