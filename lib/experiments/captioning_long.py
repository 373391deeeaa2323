"""What does patience bring (chapter 11)? Four of the arms of `captioning`, trained four times as long.

The learning rate is that of `captioning`. On validation scenes, with seed 100, a third of it was better for REINFORCE
with mixing on three digits (.56 against .50) and worse on two (.79 against .86).
"""

from lib.experiments import captioning
from lib.training import count_parameters

STEPS = 4 * captioning.STEPS
ARMS = ("soft", "flat", "REINFORCE + mixing", "straight-through")


def run(arm: str, seed: int) -> dict:
    """Train an arm and test it."""
    model = captioning.train(arm, seed, steps=STEPS)
    return captioning.evaluate(arm, model, seed) | {"steps": STEPS, "parameters": count_parameters(model)}
