"""Answer by pointing: a start and an end for each place, and the best span that they allow."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.bert import SPREAD


class SpanHead(nn.Module):
    r"""Score each place as the start and as the end of the answer: $S \cdot h_i$ and $E \cdot h_i$.

    Source: Devlin et al. 2018, section 4.2, arXiv:1810.04805; like the published code with a bias for each.

    Example:
        >>> SpanHead(8)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 2])
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.score = nn.Linear(d_model, 2)
        nn.init.normal_(self.score.weight, std=SPREAD)
        nn.init.zeros_(self.score.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Turn hidden states (B, T, d_model) into scores (B, T, 2): start and end."""
        return self.score(hidden)


def span_loss(scores: Tensor, spans: Tensor, allowed: Tensor) -> Tensor:
    r"""Average of $-\log p(\mathrm{start})$ and $-\log p(\mathrm{end})$, each a softmax over the allowed places.

    Args:
        scores: (B, T, 2).
        spans: (B, 2) integers, first and last place of the answer.
        allowed: (B, T) boolean, where an answer may stand: the passage.

    Raises:
        ValueError: When an answer stands at a place that is not allowed.
    """
    if not allowed.gather(1, spans).all():
        row = int((~allowed.gather(1, spans)).any(dim=1).nonzero()[0])
        raise ValueError(f"the answer {tuple(spans[row].tolist())} of row {row} stands where none is allowed")
    scores = scores.masked_fill(~allowed[..., None], -torch.inf)  # (B, T, 2)
    return F.cross_entropy(scores.transpose(1, 2).flatten(0, 1), spans.flatten())


def best_spans(scores: Tensor, allowed: Tensor, *, longest: int = 8) -> Tensor:
    """Choose first and last place of the highest sum of start and end scores, the end not before the start.

    Args:
        scores: (B, T, 2).
        allowed: (B, T) boolean.
        longest: Most places of an answer.

    Returns:
        (B, 2) integers.

    Raises:
        ValueError: When `longest` is below 1.

    Example:
        >>> scores = torch.tensor([[[0.0, 3.0], [5.0, 0.0], [0.0, 1.0]]])
        >>> best_spans(scores, torch.ones(1, 3, dtype=torch.bool))  # 1 before 0 is no span
        tensor([[1, 2]])
    """
    if longest < 1:
        raise ValueError(f"longest must be at least 1 but is {longest}")
    T = scores.shape[1]
    pairs = scores[:, :, None, 0] + scores[:, None, :, 1]  # (B, T, T)
    forward = torch.ones(T, T, dtype=torch.bool).triu() & torch.ones(T, T, dtype=torch.bool).tril(longest - 1)
    fits = forward & allowed[:, :, None] & allowed[:, None, :]
    best = pairs.masked_fill(~fits, -torch.inf).flatten(1).argmax(dim=1)
    return torch.stack([best // T, best % T], dim=1)
