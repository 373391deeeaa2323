"""What do patience and shifts bring (chapter 08)? The ViT of `digits`, trained five times as long on shifted images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.digits import shifted
from lib.experiments import digits
from lib.models.vit import ViT
from lib.training import count_parameters, fit, muon, seed_everything

STEPS = 5 * digits.STEPS
ARMS = ("ViT, shifts",)


def train(arm: str, seed: int, *, steps: int = STEPS) -> ViT:
    """Train the ViT on all training images of a draw, each moved by up to one pixel whenever it is drawn."""
    seed_everything(seed)
    model, generator = digits.build(arm), torch.Generator().manual_seed(seed)
    images, labels = digits.seen(arm, "train", seed)
    model.train()

    def loss(step: int) -> Tensor:
        chosen = torch.randint(len(labels), (digits.BATCH,), generator=generator)
        batch = digits.scaled(shifted(images[chosen], generator=generator))
        return F.cross_entropy(model(batch), labels[chosen], label_smoothing=0.1)

    fit(
        loss,
        model.parameters(),
        steps=steps,
        learning_rate=digits.LEARNING_RATES["ViT"],
        warmup=steps // 10,
        weight_decay=0.05,
        clip=1.0,
        optimizers=muon(model.encoder.parameters()),
        label=f"{arm}, long, seed {seed}",
    )
    return model.eval()


def run(arm: str, seed: int) -> dict:
    """Train and test."""
    model = train(arm, seed)
    found = {"accuracy": digits.accuracy(model, digits.seen(arm, "test", seed))}
    return {**found, "steps": STEPS, "parameters": count_parameters(model)}
