"""Several things to remember, near and far (chapter 03): trained on short sequences, tested on longer ones.

The readers are those of `lib.experiments.recall`. Here the asked pair may stand anywhere in sequences of 8 or 16
elements, and up to 8 pairs must be kept ready, since the question comes last. `run` gives the plain GRU two learning
rates and the lower validation loss, and once more four times the steps.
"""

import torch

from lib.data.recall import Recall
from lib.experiments.recall import Reader, accuracy, build, draw, loss_on, train
from lib.training import count_parameters, seed_everything

PAIRS = (1, 2, 8)
TRAINED_LENGTHS = (8, 16)
TESTED_DISTANCES = (8, 16, 64, 256)
STEPS = 400
LEARNING_RATES = {
    "attention": (0.003,),
    "attention, positions": (0.003,),
    "attention, rotary": (0.003,),
    "GRU": (0.01, 0.03),
    "GRU, 4 times the steps": (0.01,),
}
ARMS = tuple(LEARNING_RATES)


def train_many(arm: str, pairs: int, seed: int, *, steps: int = STEPS, learning_rate: float = 0.003) -> Reader:
    """Train an arm on this many pairs anywhere in short sequences."""
    seed_everything(seed)

    def batches(step: int, generator: torch.Generator) -> Recall:
        return draw(64, TRAINED_LENGTHS[step % len(TRAINED_LENGTHS)], generator, pairs=pairs)

    label = f"{arm}, {pairs} pairs"
    return train(build(arm), batches, seed, steps=steps, learning_rate=learning_rate, label=label)


def accuracy_at(model: Reader, pairs: int, distance: int, seed: int) -> float:
    """Measure how often a reader is right when the asked pair stands first, `distance` steps before the question."""
    return accuracy(model, draw(1000, distance, 10_000 + seed, pairs=pairs, distance=distance))


def run(arm: str, seed: int) -> dict:
    """Train for each number of pairs, at the learning rate with the lowest validation loss; test at each distance."""
    steps = STEPS * (4 if arm.endswith("times the steps") else 1)
    metrics = {}
    for pairs in PAIRS:
        models = {
            rate: train_many(arm.partition(", 4")[0], pairs, seed, steps=steps, learning_rate=rate)
            for rate in LEARNING_RATES[arm]
        }
        validation = draw(1000, max(TRAINED_LENGTHS), 20_000 + seed, pairs=pairs)
        best = min(models, key=lambda rate: loss_on(models[rate], validation))
        for distance in TESTED_DISTANCES:
            metrics[f"{pairs} pairs at {distance}"] = accuracy_at(models[best], pairs, distance, seed)
    return {**metrics, "steps": steps, "parameters": count_parameters(models[best])}
