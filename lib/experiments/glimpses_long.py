"""Where to look among clutter (chapter 16), four times as long: does the noisy gradient catch up?

The arms, the model and the batches of `lib.experiments.glimpses`, at the learning rate that most of them chose there.
"""

from lib.experiments import glimpses
from lib.training import count_parameters

STEPS, LEARNING_RATE = 4 * glimpses.STEPS, 1.5e-2
ARMS = ("soft", "exact", "score function + baseline", "straight-through", "arg max")


def run(arm: str, seed: int) -> dict:
    """Train one arm long and test it."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    model = glimpses.train(arm, seed, steps=STEPS, learning_rate=LEARNING_RATE)
    found = glimpses.evaluate(arm, model, seed)
    return {**found, "learning rate": LEARNING_RATE, "steps": STEPS, "parameters": count_parameters(model)}
