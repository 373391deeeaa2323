"""Where to look among clutter (chapter 16): one model, ten ways to train the part that points.

A scorer sees a blurred overview of each cell, 2 by 2 averages; a reader sees the chosen cell, or the mixture, sharply.
All arms have the same parameters, steps, batches and grid of learning rates, and keep the rate with the lowest
validation loss. They differ only in how the reader's loss becomes a gradient for the scores.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import softmax
from lib.data.glimpses import Glimpses, cluttered_digits
from lib.hard import (
    argmax_attention,
    gumbel_noise,
    sample_attention,
    score_function_loss,
    straight_through_gumbel,
    top_k_attention,
)
from lib.training import count_parameters, fit, seed_everything

CELLS, STEPS, BATCH = 16, 800, 64
LEARNING_RATES = (5e-3, 1.5e-2, 4.5e-2)
ARMS = (
    "soft",
    "exact",
    "score function",
    "score function + baseline",
    "straight-through",
    "top 2",
    "gated arg max",
    "greedy + baseline",
    "arg max",
    "random",
)


class Pointer(nn.Module):
    """Score every cell by its blurred overview; read one cell, or a mixture of all, sharply."""

    def __init__(self, d_model: int = 48) -> None:
        super().__init__()
        self.scorer = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
        self.w_value = nn.Linear(64, d_model)
        self.answer = nn.Linear(d_model, 10)

    def scores(self, cells: Tensor) -> Tensor:
        """Score the overview of each cell: (B, S)."""
        B, S = cells.shape[:2]
        overview = F.avg_pool2d(cells.reshape(B * S, 1, 8, 8), 2).reshape(B, S, 16)
        return self.scorer(overview)[..., 0]

    def read(self, cells: Tensor, weights: Tensor) -> Tensor:
        """Answer from all cells (B, S, 8, 8), mixed by weights (B, S): logits (B, 10)."""
        return self.answer(F.relu((weights[..., None] * self.w_value(cells.flatten(2))).sum(dim=1)))

    def read_one(self, cells: Tensor, index: Tensor) -> Tensor:
        """Answer from one cell of each example, and never touch the others: logits (B, 10)."""
        chosen = cells[torch.arange(len(index)), index]  # (B, 8, 8)
        return self.answer(F.relu(self.w_value(chosen.flatten(1))))


class RunningMean:
    """The mean of what it was given, the latest counting most: a baseline that no choice of today has touched."""

    def __init__(self, keep: float = 0.9) -> None:
        self.keep, self.mean = keep, None

    def update(self, values: Tensor) -> float:
        """Give the mean before these values (their own, the first time), then take them in."""
        new = values.detach().mean().item()
        before = new if self.mean is None else self.mean
        self.mean = self.keep * before + (1 - self.keep) * new
        return before


def weights_for(arm: str, scores: Tensor, generator: torch.Generator) -> Tensor:
    """Share out or choose as the arm does when it is tested: weights (B, S)."""
    if arm == "soft":
        return softmax(scores)
    if arm == "top 2":
        return top_k_attention(scores, 2)
    if arm == "gated arg max":
        return argmax_attention(scores) * softmax(scores)
    if arm == "random":
        return sample_attention(torch.zeros_like(scores), gumbel_noise(scores.shape, generator=generator)).weights
    return argmax_attention(scores)


def loss_of(arm: str, generator: torch.Generator) -> Callable[[Pointer, Glimpses], Tensor]:
    """Give the function that turns a model and a batch into the loss that this arm lowers."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    baseline = RunningMean()

    def exact(model: Pointer, data: Glimpses) -> Tensor:
        every = model.answer(F.relu(model.w_value(data.cells.flatten(2))))  # (B, S, 10): what each cell would say
        labels = data.label[:, None].expand(every.shape[:2])
        losses = F.cross_entropy(every.transpose(1, 2), labels, reduction="none")  # (B, S)
        return (softmax(model.scores(data.cells)) * losses).sum(dim=-1).mean()

    def score_function(model: Pointer, data: Glimpses) -> Tensor:
        scores = model.scores(data.cells)
        noise = gumbel_noise(scores.shape, generator=generator)
        if arm == "greedy + baseline":  # no chance: always the highest score
            noise = torch.zeros_like(noise)
        drawn = sample_attention(scores, noise)
        losses = F.cross_entropy(model.read_one(data.cells, drawn.index), data.label, reduction="none")  # (B,)
        usual = baseline.update(losses) if arm.endswith("baseline") else 0.0
        return score_function_loss(drawn.log_probability, losses, usual).mean()

    def by_weights(model: Pointer, data: Glimpses) -> Tensor:
        scores = model.scores(data.cells)
        if arm == "straight-through":
            weights = straight_through_gumbel(scores, gumbel_noise(scores.shape, generator=generator))
        else:
            weights = weights_for(arm, scores, generator)
        return F.cross_entropy(model.read(data.cells, weights), data.label)

    if arm == "exact":
        return exact
    return score_function if "score function" in arm or arm.startswith("greedy") else by_weights


def train(arm: str, seed: int, *, steps: int = STEPS, learning_rate: float = 3e-2) -> Pointer:
    """Train one model at one learning rate."""
    seed_everything(seed)
    model = Pointer()
    generator = torch.Generator().manual_seed(seed)
    loss = loss_of(arm, generator)

    def step_loss(_: int) -> Tensor:
        return loss(model, cluttered_digits(BATCH, CELLS, generator=generator))

    fit(
        step_loss,
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate,
        warmup=steps // 20,
        clip=1.0,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def evaluate(arm: str, model: Pointer, seed: int, *, split: str = "test", batch: int = 2000) -> dict[str, float]:
    """Measure a model on fresh examples of a split: as its arm reads, reading one cell, and pointing."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    data = cluttered_digits(batch, CELLS, split=split, generator=generator)
    scores = model.scores(data.cells)
    weights = weights_for(arm, scores, generator)
    logits, best = model.read(data.cells, weights), scores.argmax(dim=-1)
    drawn = sample_attention(scores, gumbel_noise(scores.shape, generator=generator)).index
    shares = softmax(scores).double()

    def share(right: Tensor) -> float:
        return right.double().mean().item()

    return {
        "accuracy": share(logits.argmax(-1) == data.label),
        "reading one cell": share(model.read_one(data.cells, best).argmax(-1) == data.label),
        "reading a drawn cell": share(model.read_one(data.cells, drawn).argmax(-1) == data.label),
        "pointing": share(best == data.target_index),
        "cells read": (weights > 0).double().sum(dim=-1).mean().item(),
        "effective cells": torch.special.entr(shares).sum(dim=-1).exp().mean().item(),
        "loss": F.cross_entropy(logits, data.label).item(),
    }


def run(arm: str, seed: int) -> dict:
    """Train at each learning rate, keep the one with the lowest validation loss, and test it."""
    models = {rate: train(arm, seed, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: evaluate(arm, models[rate], seed, split="validation")["loss"])
    found = evaluate(arm, models[rate], seed)
    return {**found, "learning rate": rate, "steps": STEPS, "parameters": count_parameters(models[rate])}
