"""Are stacks without residual connections unable or only slow (chapter 18)? `depth` and `induction` with more steps."""

import lib.experiments.depth as depth
import lib.experiments.induction as induction
from lib.training import count_parameters

ARMS = ("induction, 2", "no residual, 4", "no residual, 8")


def run(arm: str, seed: int) -> dict:
    """Train a stack without residual connections for five to seven times as long as before; measure its accuracy."""
    if arm == "induction, 2":
        steps = 1000
        model = induction.train("two layers, no residual", seed, steps=steps, learning_rate=3e-3)
        accuracy = induction.accuracy(model, seed)
    else:
        steps = 840
        model = depth.train(arm, seed, steps=steps, learning_rate=1e-3)
        accuracy = depth.accuracy(model, seed)
    return {"accuracy": accuracy, "steps": steps, "parameters": count_parameters(model)}
