"""What BERT makes of the seconds that XLNet's steps take (chapter 12): `pairs` with 1,050 steps instead of 600.

A step of XLNet, which carries two streams, takes about 1.75 times as long as one of BERT; the chapter measures it.
"""

from functools import cache

from torch import nn

from lib.experiments import pairs
from lib.training import count_parameters

STEPS = pairs.STEPS * 7 // 4
ARMS = ("BERT, at once", "BERT, one at a time")


@cache
def trained(seed: int) -> nn.Module:
    """Train BERT once for both ways in which it is asked."""
    return pairs.train("BERT", seed, steps=STEPS)


def run(arm: str, seed: int) -> dict:
    """Ask BERT in the way of the arm."""
    model = trained(seed)
    found = pairs.results(model, arm.partition(", ")[2])
    return {**found, "steps": STEPS, "parameters": count_parameters(model)}
