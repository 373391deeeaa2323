"""What do patience and shifts bring (chapter 08)? The networks of `digits`, trained five times as long."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.digits import shifted
from lib.experiments import digits
from lib.models.vit import ViT
from lib.training import adamw, count_parameters, fit, muon, seed_everything

STEPS = 5 * digits.STEPS
ARMS = ("ViT, shifts", "CNN, shifts")


def train(arm: str, seed: int, *, steps: int = STEPS) -> nn.Module:
    """Train a network on all training images of a draw, moved by up to one pixel if the arm says so."""
    seed_everything(seed)
    model, generator = digits.build(arm), torch.Generator().manual_seed(seed)
    images, labels = digits.seen(arm, "train", seed)
    model.train()

    def loss(step: int) -> Tensor:
        chosen = torch.randint(len(labels), (digits.BATCH,), generator=generator)
        batch = shifted(images[chosen], generator=generator) if "shifts" in arm else images[chosen]
        return F.cross_entropy(model(digits.scaled(batch)), labels[chosen], label_smoothing=0.1)

    fit(
        loss,
        model.parameters(),
        steps=steps,
        learning_rate=digits.LEARNING_RATES[arm[:3]],
        warmup=steps // 10,
        weight_decay=0.05,
        clip=1.0,
        optimizers=muon(model.encoder.parameters()) if isinstance(model, ViT) else adamw,
        label=f"{arm}, long, seed {seed}",
    )
    return model.eval()


def run(arm: str, seed: int) -> dict:
    """Train an arm and test it."""
    model = train(arm, seed)
    found = {"accuracy": digits.accuracy(model, digits.seen(arm, "test", seed))}
    return {**found, "steps": STEPS, "parameters": count_parameters(model)}
