"""Random attention problems, for the tests of parity, invariants and gradients."""

from typing import NamedTuple

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import lib.attention
import lib.masks
import lib.positional
import lib.reference.attention
import lib.reference.masks
import lib.reference.positional

FAST = settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=list(HealthCheck))


class Library(NamedTuple):
    """One of the two implementations, so that a test can run over both."""

    attention: object
    masks: object
    positional: object
    array: object

    def call(self, function, *arguments, **options):
        """Call with arrays made of what NumPy holds, and give back what NumPy can hold."""
        arguments = [self.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
        return np.asarray(getattr(self.attention, function)(*arguments, **options))


LIBRARIES = {
    "reference": Library(lib.reference.attention, lib.reference.masks, lib.reference.positional, np.asarray),
    "torch": Library(lib.attention, lib.masks, lib.positional, torch.tensor),
}


class Problem(NamedTuple):
    """Query (..., T, d_k), key (..., S, d_k), value (..., S, d_v), a mask or None, and a scale or None."""

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    mask: np.ndarray | None
    scale: float | None

    @property
    def full_mask(self) -> np.ndarray:
        shape = (*self.query.shape[:-1], self.key.shape[-2])
        return np.ones(shape, dtype=bool) if self.mask is None else np.broadcast_to(self.mask, shape)


def _mask(draw, rng, shape, row_of_its_own):
    """Draw a mask whose axes are cut from the left or set to 1 at random, and which may blank whole rows."""
    kept = draw(st.integers(0, len(shape)))
    axes = tuple(draw(st.sampled_from([1, n])) for n in shape[len(shape) - kept :])
    mask = rng.random(axes) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    if row_of_its_own:  # every query may attend to something
        mask = np.broadcast_to(mask, shape).copy()
        mask[..., rng.integers(shape[-1])] = True
    return np.asarray(mask)


@st.composite
def problems(draw, rank=None, row_of_its_own=False, masked=None):
    """Draw a problem of any rank from 2 to 4, or of the one given."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes = draw(st.integers(0, 2)) if rank is None else rank - 2
    lead = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    T, S, d_k, d_v = (draw(st.integers(1, 7)) for _ in range(4))
    loud = draw(st.sampled_from([0.1, 1.0, 10.0]))
    query, key, value = (
        rng.standard_normal((*lead, *shape)) * size
        for shape, size in (((T, d_k), loud), ((S, d_k), loud), ((S, d_v), 1))
    )
    wanted = draw(st.booleans()) if masked is None else masked
    mask = _mask(draw, rng, (*lead, T, S), row_of_its_own) if wanted else None
    return Problem(query, key, value, mask, draw(st.sampled_from([None, 0.05, 1.0])))


def tensors(problem, dtype=torch.float64, **options):
    """Query, key, value and mask of a problem as tensors."""
    made = [torch.tensor(a, dtype=dtype, **options) for a in problem[:3]]
    return *made, None if problem.mask is None else torch.tensor(problem.mask)
