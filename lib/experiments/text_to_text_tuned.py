"""Four models for four tasks, at a learning rate chosen for them (chapter 13).

`text_to_text` trains every arm at the rate that serves its *one model*. That is unfair to the others: a model with a
quarter of the steps has to hurry. Here *four models* take a multiple of that rate, the best of 1, 2, 4 and 8 on
*plural*, their worst task, judged by training words kept aside, with a seed that is used for nothing else.
"""

from collections.abc import Callable

from lib.experiments.text_to_text import STEPS, TASKS, build, exact_match, quick_biases, train, training_set
from lib.models.t5 import T5
from lib.training import count_parameters

ARMS = ("four models",)
FASTER = 4


def hurried(model: T5) -> Callable:
    """Make the optimisers of `quick_biases`, with all rates higher by `FASTER`."""
    usual = quick_biases(model)

    def optimizers(parameters, *, learning_rate, weight_decay):
        return usual(parameters, learning_rate=FASTER * learning_rate, weight_decay=weight_decay)

    return optimizers


def run(arm: str, seed: int) -> dict:
    """Train one model for each task, and test each."""
    found, parameters = {}, 0
    for task in TASKS:
        model = build(arm, seed)
        data = training_set([task], seed)
        train(model, data, seed, steps=STEPS // len(TASKS), optimizers=hurried(model))
        found[task] = exact_match(model, task, seed)
        parameters += count_parameters(model)
    return {
        "mean": sum(found.values()) / len(TASKS),
        "worst": min(found.values()),
        **found,
        "steps": STEPS,
        "parameters": parameters,
    }
