"""Is the bare dot product only slower (chapter 04)? The look-up of `scaling` at width 64 with six times the steps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.experiments.scaling import BATCH, LEARNING_RATES, NamedLookup, accuracy, build, draw
from lib.training import count_parameters, fit, seed_everything

STEPS, WIDTH = 3000, 64
ARMS = ("none", "square root")


def train(divisor: str, seed: int, learning_rate: float) -> NamedLookup:
    """Train one model for STEPS steps at one learning rate."""
    seed_everything(seed)
    model = build(divisor, WIDTH)
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        *inputs, label = draw(BATCH, generator)
        return F.cross_entropy(model(*inputs), label)

    fit(loss, model.parameters(), steps=STEPS, learning_rate=learning_rate, label=f"{divisor}, long")
    return model.eval()


def run(arm: str, seed: int) -> dict:
    """Train a divisor at every learning rate; test the one that validates best."""
    models = {rate: train(arm, seed, rate) for rate in LEARNING_RATES}
    best = max(models, key=lambda rate: accuracy(models[rate], 20_000 + seed))
    test = accuracy(models[best], 10_000 + seed)
    return {"steps": STEPS, "parameters": count_parameters(models[best]), "learning rate": best, "accuracy": test}
