"""What each score function can express (chapter 15): which key belongs to a query, by a rotation or by distance.

A query and 16 keys are drawn; one key is the right one. In `rotated` all keys are equally long and the query is the
right one with noise, turned by a fixed rotation that nobody tells; in `nearest` the right key is the one that lies
closest to the query. Every arm learns only its score: the loss is the negative logarithm of the weight that softmax
gives to the right key, so nothing but the score can be to blame.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import additive_score, bilinear_score, dot_score
from lib.training import count_parameters, fit, seed_everything

ITEMS = 16
WIDTHS = {"rotated": 8, "nearest": 2}
LEARNING_RATES = (3e-3, 1e-2, 3e-2, 1e-1)
STEPS, LONG = 400, 2000
NOISE = 0.6
ARMS = (
    "dot, rotated",
    "bilinear, rotated",
    "additive, rotated",
    "additive wide, rotated",
    "features, rotated",
    "dot, nearest",
    "bilinear, nearest",
    "bilinear deep, nearest",
    "additive, nearest",
    "features, nearest",
)


class Dot(nn.Module):
    """The dot product and a temperature: one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score (B, T, d) against (B, S, d): (B, T, S)."""
        return self.scale * dot_score(query, key)


class Bilinear(nn.Module):
    """Luong's general score, after any function of the query: a straight line in the key whatever it learns."""

    def __init__(self, d: int, d_hidden: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d, d) / d)
        self.before = nn.Sequential(nn.Linear(d, d_hidden), nn.ReLU(), nn.Linear(d_hidden, d)) if d_hidden else None

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score (B, T, d) against (B, S, d): (B, T, S)."""
        return bilinear_score(query if self.before is None else self.before(query), key, self.weight)


class Additive(nn.Module):
    """Bahdanau's score, with a bias in its hidden layer."""

    def __init__(self, d: int, d_hidden: int) -> None:
        super().__init__()
        self.w_query = nn.Parameter(torch.randn(d, d_hidden) / d**0.5)
        self.w_key = nn.Parameter(torch.randn(d + 1, d_hidden) / d**0.5)  # the last row is the bias
        self.v = nn.Parameter(torch.randn(d_hidden) / d_hidden**0.5)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score (B, T, d) against (B, S, d): (B, T, S)."""
        return additive_score(query, F.pad(key, (0, 1), value=1.0), self.w_query, self.w_key, self.v)


class Features(nn.Module):
    """The dot product of what one hidden layer makes of the query and another of the key."""

    def __init__(self, d: int, d_hidden: int, d_k: int) -> None:
        super().__init__()
        self.query, self.key = (
            nn.Sequential(nn.Linear(d, d_hidden), nn.ReLU(), nn.Linear(d_hidden, d_k)) for _ in range(2)
        )

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score (B, T, d) against (B, S, d): (B, T, S)."""
        return dot_score(self.query(query), self.key(key))


BUILD = {
    "dot, rotated": Dot,
    "bilinear, rotated": lambda: Bilinear(8),
    "additive, rotated": lambda: Additive(8, 4),
    "features, rotated": lambda: Features(8, 3, 3),
    "additive wide, rotated": lambda: Additive(8, 64),
    "dot, nearest": Dot,
    "bilinear, nearest": lambda: Bilinear(2),
    "bilinear deep, nearest": lambda: Bilinear(2, 16),
    "additive, nearest": lambda: Additive(2, 16),
    "features, nearest": lambda: Features(2, 6, 3),
}


@cache
def rotation() -> Tensor:
    """Give the secret of `rotated`, (8, 8): a rotation drawn once and for all."""
    return torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(15)))[0]


def draw(relation: str, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw queries (B, 1, d), keys (B, S, d) and the index of the right key (B,)."""
    d = WIDTHS[relation]
    key = torch.randn(batch, ITEMS, d, generator=generator)
    if relation == "nearest":
        query = torch.randn(batch, 1, d, generator=generator)
        return query, key, (query - key).square().sum(-1).argmin(-1)
    key = F.normalize(key, dim=-1) * d**0.5
    target = torch.randint(ITEMS, (batch,), generator=generator)
    noise = NOISE * torch.randn(batch, 1, d, generator=generator)
    return (key[torch.arange(batch), target][:, None] + noise) @ rotation(), key, target


def loss_of(model: nn.Module, relation: str, batch: int, generator: torch.Generator) -> Tensor:
    """Measure the negative logarithm of the weight on the right key."""
    query, key, target = draw(relation, batch, generator)
    return F.cross_entropy(model(query, key)[:, 0], target)


def train(arm: str, seed: int, *, steps: int = STEPS, learning_rate: float = 3e-2) -> nn.Module:
    """Train the score of an arm."""
    seed_everything(seed)
    model, relation = BUILD[arm](), arm.split(", ")[1]
    generator = torch.Generator().manual_seed(seed)
    fit(
        lambda step: loss_of(model, relation, 64, generator),
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, relation: str, seed: int) -> float:
    """Measure how often the right key has the highest score, on a fresh draw."""
    query, key, target = draw(relation, 4000, torch.Generator().manual_seed(10_000 + seed))
    return (model(query, key)[:, 0].argmax(-1) == target).double().mean().item()


@torch.no_grad()
def validation_loss(model: nn.Module, relation: str, seed: int) -> float:
    """Measure the loss on a draw that is used for nothing else."""
    return loss_of(model, relation, 2000, torch.Generator().manual_seed(20_000 + seed)).item()


def run(arm: str, seed: int) -> dict:
    """Train at four learning rates, then five times as long at the best of them; report both accuracies."""
    relation = arm.split(", ")[1]
    models = {rate: train(arm, seed, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: validation_loss(models[rate], relation, seed))
    trained_long = train(arm, seed, steps=LONG, learning_rate=rate)
    return {
        "accuracy": accuracy(models[rate], relation, seed),
        "accuracy, long": accuracy(trained_long, relation, seed),
        "steps": STEPS,
        "parameters": count_parameters(trained_long),
        "learning rate": rate,
    }
