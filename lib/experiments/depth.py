"""Can a deep stack be trained without residual connections (chapter 18)? The easiest task there is: say your own token.

Every arm is trained at both learning rates and keeps the one with the lower validation loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.experiments.induction import SmallStack, draw, held_out
from lib.training import count_parameters, fit, seed_everything
from lib.transformer import EncoderLayer, NoResidual, PostNorm, PreNorm

CONNECTIONS = {"pre-norm": PreNorm, "post-norm": PostNorm, "no residual": NoResidual}
LEARNING_RATES = (1e-3, 3e-3)
STEPS = 120
ARMS = ("pre-norm, 8", "post-norm, 8", "no residual, 8", "no residual, 4", "no residual, 2", "no residual, 1")


def build(arm: str) -> SmallStack:
    """Build the untrained stack of an arm, such as `pre-norm, 8`: 8 whole layers, 32 wide."""
    name, _, depth = arm.rpartition(", ")
    if name not in CONNECTIONS or not depth.isdigit():
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    return SmallStack(32, [EncoderLayer(32, 2, 64, connection=CONNECTIONS[name]) for _ in range(int(depth))])


def train(arm: str, seed: int, *, steps: int = STEPS, learning_rate: float = 3e-3) -> SmallStack:
    """Train an arm to answer every token with itself."""
    seed_everything(seed)
    model = build(arm)
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        tokens = draw(32, generator).tokens
        return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())

    fit(
        loss,
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate,
        warmup=20,
        clip=1.0,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def accuracy(model: SmallStack, seed: int) -> float:
    """Measure how often a model repeats the token it stands on, on the test sequences."""
    tokens = held_out(seed).tokens
    return (model(tokens).argmax(dim=-1) == tokens).double().mean().item()


@torch.no_grad()
def validation_loss(model: SmallStack, seed: int) -> float:
    """Measure the loss on a draw that is used for nothing else."""
    tokens = draw(500, torch.Generator().manual_seed(20_000 + seed)).tokens
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).item()


def run(arm: str, seed: int) -> dict:
    """Train at every rate and test what validates best."""
    models = {rate: train(arm, seed, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: validation_loss(models[rate], seed))
    return {
        "accuracy": accuracy(models[rate], seed),
        "steps": STEPS,
        "parameters": count_parameters(models[rate]),
        "learning rate": rate,
    }
