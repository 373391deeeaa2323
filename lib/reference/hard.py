r"""Hard attention in NumPy, float64: choose elements instead of sharing the attention out.

Shapes: scores (..., S). A mask is boolean, True means *may attend*, and broadcasts to the scores; a row that may attend
to nothing gives zeros. Chance enters as an argument: `noise` from `gumbel_noise`, so that a choice can be repeated.
"""

from typing import NamedTuple

import numpy as np

from lib.reference.attention import softmax
from lib.reference.contracts import check_choices, check_floats, check_mask, check_shape, check_temperature


class SampledAttention(NamedTuple):
    """What a row of scores has drawn.

    Attributes:
        index: (...) int64, the element chosen; -1 where the mask leaves nothing.
        weights: (..., S), 1 for the chosen element and 0 for the others.
        log_probability: (...), the logarithm of the probability of this choice; 0 where the mask leaves nothing.
    """

    index: np.ndarray
    weights: np.ndarray
    log_probability: np.ndarray


def argmax_attention(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    r"""Give all attention to the element with the highest score, to the first of several.

    $$w_j = [\,j = \arg\max_i s_i\,]$$

    Args:
        scores: (..., S) floating-point numbers.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), float64, each 0 or 1.

    Raises:
        ValueError: When the scores are not floating point or are empty, or the mask is not boolean or does not
            broadcast.

    Example:
        >>> argmax_attention(np.array([1.0, 5.0, 5.0]))
        array([0., 1., 0.])
    """
    return top_k_attention(scores, 1, mask)


def top_k_attention(scores: np.ndarray, k: int, mask: np.ndarray | None = None) -> np.ndarray:
    r"""Share the attention out among the k highest scores and ignore the others.

    $$w = \mathrm{softmax}(s \text{ where among the } k \text{ highest}, \; -\infty \text{ elsewhere})$$

    Source: Shazeer et al. 2017, equations 3 and 5, arXiv:1701.06538. Differs: no noise is added. Of equal scores the
    first is kept.

    Args:
        scores: (..., S) floating-point numbers.
        k: How many elements are kept at most, 1 to S; fewer where the mask leaves fewer.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.

    Returns:
        Weights (..., S), float64, k of them above 0; each row sums to 1, or to 0 where the mask leaves nothing.

    Raises:
        ValueError: As `argmax_attention`, and when k is not an integer from 1 to S.

    Example:
        >>> top_k_attention(np.log([1.0, 3.0, 4.0]), 2).round(3)
        array([0.   , 0.429, 0.571])
    """
    scores, mask = np.asarray(scores), None if mask is None else np.asarray(mask)
    check_floats(1, scores=scores)
    check_mask(mask, scores.shape)
    check_choices(k, scores.shape[-1])
    allowed = np.ones(scores.shape, dtype=bool) if mask is None else np.broadcast_to(mask, scores.shape)
    order = np.argsort(-np.where(allowed, scores, -np.inf), axis=-1, kind="stable")  # (..., S): the highest first
    kept = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(kept, order[..., :k], True, axis=-1)
    return softmax(scores, kept & allowed)


def gumbel_noise(shape: tuple[int, ...], *, generator: np.random.Generator | None = None) -> np.ndarray:
    r"""Draw independent Gumbel noise, $g = -\log(e)$ with $e$ exponential.

    The arg max of scores plus this noise is distributed as the softmax of the scores.

    Source: Maddison et al. 2014, arXiv:1411.0030 (the Gumbel-max trick; it is older).

    Args:
        shape: Shape of the noise, that of the scores.
        generator: Source of randomness; a fresh one when left out.

    Returns:
        Noise of this shape, float64.

    Example:
        >>> gumbel_noise((2, 3), generator=np.random.default_rng(0)).shape
        (2, 3)
    """
    generator = np.random.default_rng() if generator is None else generator
    return -np.log(np.maximum(generator.standard_exponential(shape), np.finfo(np.float64).tiny))


def sample_attention(scores: np.ndarray, noise: np.ndarray, mask: np.ndarray | None = None) -> SampledAttention:
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
        >>> drawn = sample_attention(np.log([0.25, 0.75]), np.array([2.0, 0.0]))
        >>> int(drawn.index), drawn.weights, np.exp(drawn.log_probability).round(2)
        (0, array([1., 0.]), np.float64(0.25))
    """
    scores, noise = np.asarray(scores), np.asarray(noise)
    check_floats(1, scores=scores, noise=noise)
    check_shape("noise", noise, scores.shape)
    weights = argmax_attention(scores + noise, mask)
    chosen = weights.any(axis=-1)
    probability = (weights * softmax(scores, mask)).sum(axis=-1)
    with np.errstate(divide="ignore"):  # a choice that softmax rounds to 0
        log_probability = np.log(np.where(chosen, probability, 1.0))
    return SampledAttention(np.where(chosen, weights.argmax(axis=-1), -1), weights, log_probability)


def gumbel_softmax(
    scores: np.ndarray, noise: np.ndarray, mask: np.ndarray | None = None, *, temperature: float = 1.0
) -> np.ndarray:
    r"""Soften the draw of `sample_attention`, so that it has a gradient: $\mathrm{softmax}((s + g) / \tau)$.

    Source: Jang et al. 2016, equation 2, arXiv:1611.01144; Maddison et al. 2016, section 3.2, arXiv:1611.00712.

    Args:
        scores: (..., S) floating-point numbers.
        noise: (..., S), from `gumbel_noise`.
        mask: Boolean, broadcastable to the scores' shape; True = may attend.
        temperature: The lower, the closer to a hard choice; above 0.

    Returns:
        Weights (..., S), float64, random; each row sums to 1, or to 0 where the mask leaves nothing.

    Raises:
        ValueError: As `sample_attention`, and when the temperature is not above 0.

    Example:
        >>> gumbel_softmax(np.zeros(2), np.log([1.0, 3.0]))
        array([0.25, 0.75])
    """
    scores, noise = np.asarray(scores), np.asarray(noise)
    check_floats(1, scores=scores, noise=noise)
    check_shape("noise", noise, scores.shape)
    check_temperature(temperature)
    return softmax((scores + noise) / temperature, mask)


def score_function_gradient(
    scores: np.ndarray, index: np.ndarray, loss: np.ndarray, baseline: float | np.ndarray = 0.0
) -> np.ndarray:
    r"""Estimate the gradient of the expected loss from one choice and the loss that it brought.

    $$\hat g = (L_j - b) \, \nabla_s \log p_j = (L_j - b) (e_j - p), \quad p = \mathrm{softmax}(s)$$

    Its mean over $j \sim p$ is `expected_loss_gradient`, whatever the baseline b.

    Source: Williams 1992, theorem 1, doi:10.1007/BF00992696 (REINFORCE). Differs: a loss to lower, not a reward.

    Args:
        scores: (..., S) floating-point numbers.
        index: (...) integers, the choices.
        loss: (...), the loss of each choice.
        baseline: A number, or one for each choice; it must not depend on the choice.

    Returns:
        The gradient with respect to the scores, (..., S), float64.

    Raises:
        ValueError: When the scores are not floating point or are empty, or `index` or `loss` does not have their shape
            without the last axis.

    Example:
        >>> score_function_gradient(np.zeros(2), np.array(1), np.array(3.0), baseline=1.0)
        array([-1.,  1.])
    """
    scores, index, loss = np.asarray(scores), np.asarray(index), np.asarray(loss)
    check_floats(1, scores=scores)
    check_shape("index", index, scores.shape[:-1])
    check_shape("loss", loss, scores.shape[:-1])
    one_hot = np.arange(scores.shape[-1]) == index[..., None]  # (..., S)
    return (loss - baseline)[..., None] * (one_hot - softmax(scores))


def expected_loss_gradient(scores: np.ndarray, losses: np.ndarray) -> np.ndarray:
    r"""Give the exact gradient of the expected loss, when the loss of every possible choice is known.

    $$\frac{\partial}{\partial s_j} \sum_i p_i L_i = p_j \Big(L_j - \sum_i p_i L_i\Big)$$

    Args:
        scores: (..., S) floating-point numbers.
        losses: (..., S), the loss of choosing each element.

    Returns:
        The gradient with respect to the scores, (..., S), float64.

    Raises:
        ValueError: When the scores are not floating point or are empty, or the losses do not have their shape.

    Example:
        >>> expected_loss_gradient(np.zeros(2), np.array([1.0, 3.0]))
        array([-0.5,  0.5])
    """
    scores, losses = np.asarray(scores), np.asarray(losses)
    check_floats(1, scores=scores)
    check_shape("losses", losses, scores.shape)
    probability = softmax(scores)
    return probability * (losses - (probability * losses).sum(axis=-1, keepdims=True))
