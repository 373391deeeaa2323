"""Recommending without training: what is popular, what usually comes next, and what is often found together.

Item ids run from 1 to `num_items`. Every class learns from histories, arrays (T,) of ids with the oldest first, by
counting; called with one history it scores all items, (1 + num_items,), the higher the better. Entry 0, no item, and
the items already in the history are scored too: who ranks leaves them out.
"""

from collections.abc import Sequence

import numpy as np

from lib.reference.contracts import check_count


def popularity(histories: Sequence[np.ndarray], num_items: int) -> np.ndarray:
    """Count how often each item occurs, as a share of all events: (1 + num_items,).

    Raises:
        ValueError: When an id is outside 1 to `num_items`, or there is no event at all.

    Example:
        >>> popularity([np.array([1, 2]), np.array([2, 3])], 3)
        array([0.  , 0.25, 0.5 , 0.25])
    """
    counts = np.bincount(
        _checked(np.concatenate([*histories, []]).astype(np.int64), num_items), minlength=1 + num_items
    )
    if not counts.sum():
        raise ValueError(f"there is no event in {len(histories)} histories")
    return counts / counts.sum()


def transitions(histories: Sequence[np.ndarray], num_items: int) -> np.ndarray:
    """Count how often one item is followed by another at once: (1 + num_items, 1 + num_items), from row to column.

    Raises:
        ValueError: When an id is outside 1 to `num_items`.

    Example:
        >>> transitions([np.array([1, 2, 1, 2])], 2)[1, 2]
        np.float64(2.0)
    """
    counts = np.zeros((1 + num_items, 1 + num_items))
    for items in histories:
        _checked(items, num_items)
        np.add.at(counts, (items[:-1], items[1:]), 1)
    return counts


def co_occurrence(histories: Sequence[np.ndarray], num_items: int, *, window: int | None = None) -> np.ndarray:
    """Count how often two items are found together, in one history or at most `window` places apart.

    Args:
        histories: Arrays (T,) of ids.
        num_items: The highest id.
        window: Largest distance; None counts every two items of a history, once for each pair of their places.

    Returns:
        Symmetric counts (1 + num_items, 1 + num_items) with zeros on the diagonal.

    Raises:
        ValueError: When an id is outside 1 to `num_items`, or `window` is below 1.

    Example:
        >>> co_occurrence([np.array([1, 2, 3])], 3, window=1)[1]
        array([0., 0., 1., 0.])
        >>> co_occurrence([np.array([1, 2, 3])], 3)[1]
        array([0., 0., 1., 1.])
    """
    if window is not None:
        check_count("window", window)
    counts = np.zeros((1 + num_items, 1 + num_items))
    if window is None:  # how often each item occurs in each history says it all
        often = np.stack([np.bincount(_checked(items, num_items), minlength=1 + num_items) for items in histories])
        counts = often.T.astype(np.float64) @ often
    else:
        for items in histories:
            _checked(items, num_items)
            for distance in range(1, min(window, len(items) - 1) + 1):
                np.add.at(counts, (items[:-distance], items[distance:]), 1)
        counts += counts.T
    np.fill_diagonal(counts, 0)
    return counts


class Popularity:
    """Recommend the same to everybody: what occurs most often.

    Example:
        >>> Popularity([np.array([1, 2, 2])], 2)(np.array([1]))
        array([0.        , 0.33333333, 0.66666667])
    """

    def __init__(self, histories: Sequence[np.ndarray], num_items: int) -> None:
        self.share = popularity(histories, num_items)

    def __call__(self, history: np.ndarray) -> np.ndarray:
        """Score all items; the history does not matter."""
        return self.share


class Markov:
    r"""Recommend what most often came right after the last item; where that leaves a tie, the more popular.

    $$s(c) = n(h_T \to c) + p(c)$$

    Example:
        >>> Markov([np.array([1, 2, 3, 2, 3])], 3)(np.array([1, 2])).argmax()
        np.int64(3)
    """

    def __init__(self, histories: Sequence[np.ndarray], num_items: int) -> None:
        self.share = popularity(histories, num_items)
        self.transitions = transitions(histories, num_items)

    def __call__(self, history: np.ndarray) -> np.ndarray:
        """Score all items by the last of the history (T,); by popularity when it is empty."""
        return self.share + self.transitions[history[-1]] if len(history) else self.share


class ItemNeighbours:
    r"""Recommend what is found with the items of the history more often than chance, the latest items counting most.

    $$s(c) = \sum_{t=1}^{T} \gamma^{T - t} \, \mathrm{sim}(h_t, c), \qquad
    \mathrm{sim}(a, b) = \frac{n(a, b)}{\sqrt{n(a)\, n(b)}}$$

    Source: Sarwar et al. 2001, section 3, doi:10.1145/371920.372071 (similarity between items, cosine).
    Differs: counts instead of ratings; later items weigh more; with a `window`, found together means near in time.

    Args:
        histories: What to count in, arrays (T,) of ids.
        num_items: The highest id.
        window: As for `co_occurrence`.
        decay: The factor gamma by which an item counts less than the one after it; 1 for none.
        longest: How many of the last items are read.

    Raises:
        ValueError: As `co_occurrence`, and when `decay` is not above 0 and at most 1, or `longest` is below 1.

    Example:
        >>> near = ItemNeighbours([np.array([1, 2]), np.array([3, 4]), np.array([2, 1])], 4)
        >>> near(np.array([4, 1])).argmax()
        np.int64(2)
    """

    def __init__(
        self,
        histories: Sequence[np.ndarray],
        num_items: int,
        *,
        window: int | None = None,
        decay: float = 1.0,
        longest: int = 50,
    ) -> None:
        if not 0 < decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1 but is {decay}")
        check_count("longest", longest)
        self.share = popularity(histories, num_items)
        counts = np.bincount(np.concatenate(histories), minlength=1 + num_items).clip(min=1)
        self.similarity = co_occurrence(histories, num_items, window=window) / np.sqrt(np.outer(counts, counts))
        self.decay, self.longest = decay, longest

    def __call__(self, history: np.ndarray) -> np.ndarray:
        """Score all items for a history (T,); by popularity when it is empty."""
        latest = history[-self.longest :]
        if not len(latest):
            return self.share
        return self.decay ** np.arange(len(latest))[::-1] @ self.similarity[latest]


def _checked(items: np.ndarray, num_items: int) -> np.ndarray:
    """Refuse ids outside 1 ... num_items."""
    for outside in (items.min(), items.max()) if len(items) else ():
        if not 1 <= outside <= num_items:
            raise ValueError(
                f"a history holds the id {outside} but num_items={num_items}: ids run from 1 to {num_items}"
            )
    return items
