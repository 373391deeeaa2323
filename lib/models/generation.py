"""Writing one token after another: choosing from the logits, and searching with several beams.

The models bring a *step*: a function from the tokens to go on from to the logits of the next one. How much of the past
it computes anew, or takes from a cache, is its own affair.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lib.reference.contracts import check_count, check_floats, check_rank, check_temperature


def evaluating(method: Callable) -> Callable:
    """Let a method of a model run without dropout and without gradients, whatever mode the model is in.

    Args:
        method: Of an `nn.Module`; the model is afterwards in the mode in which it was, also after an error.

    Returns:
        The method.

    Example:
        >>> class Noise(torch.nn.Dropout):
        ...     write = evaluating(torch.nn.Dropout.forward)
        >>> noise, ones = Noise(0.5).train(), torch.ones(3)
        >>> noise.write(ones), noise.training
        (tensor([1., 1., 1.]), True)
    """

    @wraps(method)
    def run(model: torch.nn.Module, *arguments: Any, **named: Any) -> Any:
        trained = model.training
        model.eval()
        try:
            with torch.no_grad():
                return method(model, *arguments, **named)
        finally:
            model.train(trained)

    return run


def filter_logits(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    r"""Sharpen or flatten the next token's distribution and take its unlikely tail away.

    The logits are divided by the temperature; of what then are the probabilities, the `top_k` largest stay, and of
    these the fewest that together reach `top_p`; ties with the last one of the `top_k` stay too. The rest becomes -inf.

    Source: Fan et al. 2018, section 5.4, arXiv:1805.04833 (top-k); Holtzman et al. 2019, section 3.1, arXiv:1904.09751
    (top-p, "nucleus").

    Args:
        logits: (B, vocab_size).
        temperature: Above 0; 1 leaves the distribution as it is.
        top_k: How many tokens stay; all when left out.
        top_p: Which share of the probability stays; all when left out.

    Returns:
        Logits (B, vocab_size).

    Raises:
        ValueError: When the logits are not floating point or of another rank, the temperature is not above 0, `top_k`
            is not an integer of at least 1, or `top_p` is not above 0 and at most 1.

    Example:
        >>> filter_logits(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_p=0.7).softmax(-1)
        tensor([[0.6250, 0.3750, 0.0000]])
    """
    check_floats(logits=logits)
    check_rank(2, logits=logits)
    check_temperature(temperature)
    logits = logits / temperature
    if top_k is not None:
        check_count("top_k", top_k)
        smallest = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < smallest, float("-inf"))
    if top_p is not None:
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1 but is {top_p}")
        ordered, order = logits.sort(descending=True, stable=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # probability of all that are likelier
        cut = torch.empty_like(before, dtype=torch.bool).scatter_(1, order, before >= top_p)  # back in its order
        logits = logits.masked_fill(cut, float("-inf"))
    return logits


def choose(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose the next token of each sequence: the likeliest at temperature 0, else a draw.

    Args:
        logits: (B, vocab_size).
        temperature: 0 takes the likeliest token (greedy); above 0 as for `filter_logits`.
        top_k: As for `filter_logits`.
        top_p: As for `filter_logits`.
        generator: Draws the tokens; torch's own generator when left out.

    Returns:
        (B,) integers.

    Raises:
        ValueError: As `filter_logits`.

    Example:
        >>> choose(torch.tensor([[0.1, 0.9]]), temperature=0)
        tensor([1])
    """
    filtered = filter_logits(logits, temperature=temperature or 1.0, top_k=top_k, top_p=top_p)
    if temperature == 0:
        return filtered.argmax(-1)
    probabilities = filtered.softmax(-1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


class Beams(NamedTuple):
    """The best sequences that a search found, the best one first."""

    tokens: Tensor  # (B, beams, T), filled up with the end token
    scores: Tensor  # (B, beams), log-probabilities divided by length ** length_penalty


def beam_search(
    step: Callable[[Tensor, Tensor | None], Tensor],
    start: Tensor,
    *,
    end: int,
    beams: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> Beams:
    r"""Go on with the likeliest beginnings, several at a time, until the best finished ones cannot be beaten.

    A sequence of n new tokens y scores $\log p(y) / n^\alpha$ with the length penalty $\alpha$; its end token counts.

    Source: Sutskever et al. 2014, section 3.2, arXiv:1409.3215; Wu et al. 2016, section 7, arXiv:1609.08144 (length).
    Differs: the penalty is a power of the length, as in most libraries today.

    Args:
        step: Called with the tokens so far (B * beams, T) and the rows of its last call's batch from which they go on
            (B * beams,), to reorder a cache by; None at the first call. Returns the next token's logits
            (B * beams, vocab_size).
        start: (B, T) integers, at least one token each.
        end: Id of the token that ends a sequence.
        beams: How many beginnings are kept; 1 is greedy search.
        max_length: Longest number of new tokens; a sequence that is cut there counts as it stands.
        length_penalty: 0 compares the probabilities of whole sequences; larger values favour longer ones.

    Returns:
        Tokens (B, beams, T + new) and scores (B, beams).

    Raises:
        ValueError: When `beams` or `max_length` is not an integer of at least 1, or `start` has another rank.
    """
    check_count("beams", beams)
    check_count("max_length", max_length)
    check_rank(2, start=start)
    B = start.shape[0]
    tokens = start.repeat_interleave(beams, dim=0)  # (B * beams, T)
    total = torch.full((B, beams), float("-inf"))
    total[:, 0] = 0.0  # at first all beams of a sequence are the same: only one may go on
    ended, rows = torch.zeros(B, beams, dtype=torch.bool), None
    length = torch.zeros(B, beams)
    for _ in range(max_length):
        logs = step(tokens, rows).log_softmax(-1).reshape(B, beams, -1)  # (B, beams, V)
        frozen = torch.full_like(logs, float("-inf"))
        frozen[..., end] = 0.0  # an ended sequence only fills up, at no cost
        logs = torch.where(ended[..., None], frozen, logs)
        lengths = (length + ~ended)[..., None]  # (B, beams, 1)
        scores = (total[..., None] + logs) / lengths**length_penalty
        best = scores.flatten(1).topk(beams).indices  # (B, beams)
        parent, token = best // logs.shape[-1], best % logs.shape[-1]
        total = (total[..., None] + logs).flatten(1).gather(1, best)
        length = lengths[..., 0].gather(1, parent)
        ended = ended.gather(1, parent) | (token == end)
        rows = (parent + beams * torch.arange(B)[:, None]).flatten()  # (B * beams,)
        tokens = torch.cat([tokens[rows], token.reshape(-1, 1)], dim=1)
        if ended.all():
            break
    scores = total / length**length_penalty
    order = scores.argsort(dim=1, descending=True, stable=True)
    tokens = tokens.reshape(B, beams, -1).gather(1, order[..., None].expand(-1, -1, tokens.shape[1]))
    return Beams(tokens, scores.gather(1, order))
