"""A model for one task, at a learning rate chosen for it (chapter 13).

`text_to_text` trains every arm at the rate that serves its *one model*. That is unfair to *four models*: a model with a
quarter of the steps has to hurry. Here their worst task, *plural*, takes a multiple of that rate: the best of 1, 2, 4
and 8, judged by training words kept aside, with a seed that is used for nothing else.
"""

from collections.abc import Callable

from lib.experiments.text_to_text import STEPS, TASKS, build, exact_match, quick_biases, train, training_set
from lib.models.t5 import T5
from lib.training import count_parameters

ARMS = ("plural",)
FASTER = 4


def hurried(model: T5) -> Callable:
    """Make the optimisers of `quick_biases`, with all rates higher by `FASTER`."""
    usual = quick_biases(model)

    def optimizers(parameters, *, learning_rate, weight_decay):
        return usual(parameters, learning_rate=FASTER * learning_rate, weight_decay=weight_decay)

    return optimizers


def run(arm: str, seed: int) -> dict:
    """Train one of *four models*, and test it."""
    model, steps = build("four models", seed), STEPS // len(TASKS)
    train(model, training_set([arm], seed), seed, steps=steps, optimizers=hurried(model))
    return {"exact match": exact_match(model, arm, seed), "steps": steps, "parameters": count_parameters(model)}
