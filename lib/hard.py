r"""Hard attention in PyTorch: the names, shapes and masks of `lib.reference.hard`, and three ways to a gradient.

Shapes: scores (..., S). A mask is boolean, True means *may attend*, and broadcasts to the scores; a row that may attend
to nothing gives zeros. Chance enters as an argument: `noise` from `gumbel_noise`, so that a choice can be repeated.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lib.attention import softmax
from lib.reference.contracts import check_choices, check_floats, check_mask, check_shape, check_temperature


class SampledAttention(NamedTuple):
    """What a row of scores has drawn.

    Attributes:
        index: (...) int64, the element chosen; -1 where the mask leaves nothing.
        weights: (..., S), 1 for the chosen element and 0 for the others; without gradient.
        log_probability: (...), the logarithm of the probability of this choice, with its gradient; 0 where the mask
            leaves nothing.
    """

    index: Tensor
    weights: Tensor
    log_probability: Tensor


def argmax_attention(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Give all attention to the element with the highest score, to the first of several.

    $$w_j = [\,j = \arg\max_i s_i\,]$$

    No gradient reaches the scores: a small change of them changes nothing.

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), each 0 or 1.

    Raises:
        ValueError: When the scores are not floating point or are empty, or the mask is not boolean or does not
            broadcast.

    Example:
        >>> argmax_attention(torch.tensor([1.0, 5.0, 5.0]))
        tensor([0., 1., 0.])
    """
    kept = _highest(scores, 1, mask)
    return kept.to(scores.dtype)


def top_k_attention(scores: Tensor, k: int, mask: Tensor | None = None) -> Tensor:
    r"""Share the attention out among the k highest scores and ignore the others.

    $$w = \mathrm{softmax}(s \text{ where among the } k \text{ highest}, \; -\infty \text{ elsewhere})$$

    From k = 2 on, the scores that were kept get a gradient; those that were not get none.

    Source: Shazeer et al. 2017, equations 3 and 5, arXiv:1701.06538. Differs: no noise is added. Of equal scores the
    first is kept.

    Args:
        scores: (..., S) floating-point numbers.
        k: How many elements are kept at most, 1 to S; fewer where the mask leaves fewer.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), k of them above 0; each row sums to 1, or to 0 where the mask leaves nothing.

    Raises:
        ValueError: As `argmax_attention`, and when k is not an integer from 1 to S.

    Example:
        >>> top_k_attention(torch.tensor([1.0, 3.0, 4.0]).log(), 2)
        tensor([0.0000, 0.4286, 0.5714])
    """
    return softmax(scores, _highest(scores, k, mask))


def gumbel_noise(
    shape: tuple[int, ...], *, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    r"""Draw independent Gumbel noise, $g = -\log(e)$ with $e$ exponential.

    The arg max of scores plus this noise is distributed as the softmax of the scores.

    Source: Maddison et al. 2014, arXiv:1411.0030 (the Gumbel-max trick; it is older).

    Args:
        shape: Shape of the noise, that of the scores.
        generator: Source of randomness, such as `torch.Generator().manual_seed(0)`; torch's own when left out.
        dtype: That of the scores; torch's default when left out.

    Returns:
        Noise of this shape.

    Example:
        >>> gumbel_noise((2, 3), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    drawn = torch.empty(shape, dtype=dtype).exponential_(generator=generator)
    return -drawn.clamp_min(torch.finfo(drawn.dtype).tiny).log()


def sample_attention(scores: Tensor, noise: Tensor, mask: Tensor | None = None) -> SampledAttention:
    r"""Draw one element of each row with the probabilities softmax(scores), and give all attention to it.

    $$j \sim \mathrm{softmax}(s), \quad \text{drawn as } j = \arg\max_i (s_i + g_i)$$

    Source: Xu et al. 2015, section 4.1, arXiv:1502.03044; Maddison et al. 2014, arXiv:1411.0030 (how it is drawn).

    Args:
        scores: (..., S) floating-point numbers.
        noise: (..., S), from `gumbel_noise`.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        The choice, a `SampledAttention`.

    Raises:
        ValueError: As `argmax_attention`, and when the noise does not have the shape of the scores.

    Example:
        >>> drawn = sample_attention(torch.tensor([0.25, 0.75]).log(), torch.tensor([2.0, 0.0]))
        >>> drawn.index.item(), drawn.weights, round(drawn.log_probability.exp().item(), 2)
        (0, tensor([1., 0.]), 0.25)
    """
    _check_noise(scores, noise)
    weights = argmax_attention(scores.detach() + noise, mask)
    chosen = weights.any(dim=-1)
    index = weights.argmax(dim=-1)  # (...)
    if mask is not None:  # a row of nothing but -inf would give NaN: leave such a row alone
        scores = scores.masked_fill(~mask & mask.any(dim=-1, keepdim=True), float("-inf"))
    log_probability = scores.log_softmax(dim=-1).gather(-1, index[..., None])[..., 0]
    return SampledAttention(index.masked_fill(~chosen, -1), weights, log_probability.masked_fill(~chosen, 0.0))


def gumbel_softmax(scores: Tensor, noise: Tensor, mask: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
    r"""Soften the draw of `sample_attention`, so that it has a gradient: $\mathrm{softmax}((s + g) / \tau)$.

    Source: Jang et al. 2016, equation 2, arXiv:1611.01144; Maddison et al. 2016, section 3.2, arXiv:1611.00712.

    Args:
        scores: (..., S) floating-point numbers.
        noise: (..., S), from `gumbel_noise`.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.
        temperature: The lower, the closer to a hard choice; above 0.

    Returns:
        Weights (..., S), random; each row sums to 1, or to 0 where the mask leaves nothing.

    Raises:
        ValueError: As `sample_attention`, and when the temperature is not above 0.

    Example:
        >>> gumbel_softmax(torch.zeros(2), torch.tensor([1.0, 3.0]).log())
        tensor([0.2500, 0.7500])
    """
    _check_noise(scores, noise)
    check_temperature(temperature)
    return softmax((scores + noise) / temperature, mask)


def straight_through_gumbel(
    scores: Tensor, noise: Tensor, mask: Tensor | None = None, *, temperature: float = 1.0
) -> Tensor:
    r"""Choose hard forwards, as `sample_attention` does, and take the gradient of `gumbel_softmax` backwards.

    The gradient is biased: it is that of another function than the one computed.

    Source: Jang et al. 2016, section 2.2, arXiv:1611.01144; Bengio et al. 2013, arXiv:1308.3432 (straight-through).

    Args:
        scores: (..., S) floating-point numbers.
        noise: (..., S), from `gumbel_noise`.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.
        temperature: That of the soft form backwards; above 0.

    Returns:
        Weights (..., S), each 0 or 1.

    Raises:
        ValueError: As `gumbel_softmax`.

    Example:
        >>> straight_through_gumbel(torch.zeros(2), torch.tensor([1.0, 3.0]).log())
        tensor([0., 1.])
    """
    soft = gumbel_softmax(scores, noise, mask, temperature=temperature)
    hard = argmax_attention((scores + noise).detach(), mask)
    return hard + (soft - soft.detach())  # the second term is exactly 0, with a gradient


def score_function_loss(log_probability: Tensor, loss: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    r"""Give each loss a gradient with respect to the choice that it hangs on.

    The value is the loss itself. Its gradient is an unbiased estimate of the gradient of the expected loss:

    $$\nabla L_j + (L_j - b) \, \nabla \log p_j$$

    Source: Williams 1992, theorem 1, doi:10.1007/BF00992696 (REINFORCE); Xu et al. 2015, section 4.1,
    arXiv:1502.03044. Differs: a loss to lower instead of a reward, and the value is the loss (Foerster et al. 2018,
    arXiv:1802.05098).

    Args:
        log_probability: (...), from `sample_attention`.
        loss: (...), the loss of each choice.
        baseline: A number, or a tensor that broadcasts to (...); it must not depend on the choice.

    Returns:
        The losses (...), one for each choice: take their mean and call backward.

    Raises:
        ValueError: When the loss does not have the shape of the log-probability.

    Example:
        >>> scores = torch.zeros(2, requires_grad=True)
        >>> loss = score_function_loss(scores.log_softmax(-1)[1], torch.tensor(3.0), baseline=1.0)
        >>> loss.item(), torch.autograd.grad(loss, scores)[0]
        (3.0, tensor([-1.,  1.]))
    """
    check_floats(log_probability=log_probability, loss=loss)
    check_shape("loss", loss, tuple(log_probability.shape))
    advantage = (loss - baseline).detach()
    return loss + advantage * (log_probability - log_probability.detach())


def _highest(scores: Tensor, k: int, mask: Tensor | None) -> Tensor:
    """Mark the k highest scores that the mask allows: boolean (..., S)."""
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    check_choices(k, scores.shape[-1])
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)
    visible = scores.detach().masked_fill(~allowed, float("-inf"))
    order = visible.sort(dim=-1, descending=True, stable=True).indices  # (..., S): the highest first, ties in order
    return torch.zeros_like(allowed).scatter(-1, order[..., :k], True) & allowed


def _check_noise(scores: Tensor, noise: Tensor) -> None:
    check_floats(1, scores=scores, noise=noise)
    check_shape("noise", noise, tuple(scores.shape))
