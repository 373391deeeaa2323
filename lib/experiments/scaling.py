"""Does dividing the scores by the square root of the width matter for training (chapter 04)?

A look-up among 16 items whose names are learned embeddings. The arms differ only in the divisor of the scores, or, for
`small start`, in where the same factor is put: no divisor, but projections that start smaller, so that the first
scores are as quiet as with the divisor. Each arm gets the same steps and the same grid of learning rates, and keeps
the rate that does best on a validation draw.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import attention_weights
from lib.training import count_parameters, fit, seed_everything

ITEMS, NAMES, NUM_CLASSES, D_VALUE = 16, 32, 8, 16
STEPS, BATCH = 500, 128
LEARNING_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
WIDTHS = (16, 64, 256)
DIVISORS = ("none", "square root", "width", "small start")
ARMS = tuple(f"{divisor}, {d_k}" for d_k in WIDTHS for divisor in DIVISORS)


class NamedLookup(nn.Module):
    """Look up the item of a given name among several, by a dot product of projected name embeddings.

    Args:
        d_k: Width of names, queries and keys.
        scale: Factor of the dot product.
        start: Factor of the projections' first weights; at 1 queries and keys start with variance 1.
    """

    def __init__(self, d_k: int, *, scale: float, start: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.names = nn.Embedding(NAMES, d_k)
        self.w_query = nn.Linear(d_k, d_k, bias=False)
        self.w_key = nn.Linear(d_k, d_k, bias=False)
        for projection in (self.w_query, self.w_key):
            nn.init.normal_(projection.weight, std=start * d_k**-0.5)
        self.values = nn.Embedding(NUM_CLASSES, D_VALUE)
        self.answer = nn.Linear(D_VALUE, NUM_CLASSES)

    def forward(self, wanted: Tensor, names: Tensor, contents: Tensor) -> Tensor:
        """Answer what the item `wanted` (B,) holds, among `names` (B, S) and `contents` (B, S): logits (B, C)."""
        query = self.w_query(self.names.weight)[wanted][:, None]  # (B, 1, d_k); each name is projected only once
        key = self.w_key(self.names.weight)[names]  # (B, S, d_k)
        weights = attention_weights(query, key, scale=self.scale)  # (B, 1, S)
        return self.answer((weights @ self.values(contents))[:, 0])


def build(divisor: str, d_k: int) -> NamedLookup:
    """Build the untrained model of a divisor and a width."""
    scales = {"none": 1.0, "square root": d_k**-0.5, "width": 1 / d_k, "small start": 1.0}
    if divisor not in scales:
        raise ValueError(f"no divisor {divisor!r}; there are {', '.join(DIVISORS)}")
    return NamedLookup(d_k, scale=scales[divisor], start=d_k**-0.25 if divisor == "small start" else 1.0)


def draw(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw the wanted name (B,), the items' names, all different, and contents (B, S), and the label (B,)."""
    names = torch.rand(batch, NAMES, generator=generator).argsort(dim=-1)[:, :ITEMS]
    contents = torch.randint(NUM_CLASSES, (batch, ITEMS), generator=generator)
    target = torch.randint(ITEMS, (batch, 1), generator=generator)
    return names.gather(1, target)[:, 0], names, contents, contents.gather(1, target)[:, 0]


def train(divisor: str, d_k: int, seed: int, learning_rate: float) -> NamedLookup:
    """Train one model for STEPS steps at one learning rate."""
    seed_everything(seed)
    model = build(divisor, d_k)
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        *inputs, label = draw(BATCH, generator)
        return F.cross_entropy(model(*inputs), label)

    fit(loss, model.parameters(), steps=STEPS, learning_rate=learning_rate, label=f"{divisor}, {d_k}")
    return model.eval()


@torch.no_grad()
def accuracy(model: NamedLookup, seed: int) -> float:
    """Measure how often a model is right on 2,000 fresh examples."""
    *inputs, label = draw(2000, torch.Generator().manual_seed(seed))
    return (model(*inputs).argmax(dim=-1) == label).double().mean().item()


def run(arm: str, seed: int) -> dict:
    """Train an arm, such as "square root, 64", at every learning rate; test the one that validates best."""
    divisor, d_k = arm.split(", ")
    models = {rate: train(divisor, int(d_k), seed, rate) for rate in LEARNING_RATES}
    valid = {rate: accuracy(model, 20_000 + seed) for rate, model in models.items()}
    best = max(valid, key=valid.get)
    at_each = {f"accuracy at {rate:g}": value for rate, value in valid.items()}
    parameters = count_parameters(models[best])
    test = accuracy(models[best], 10_000 + seed)
    return {"steps": STEPS, "parameters": parameters, "learning rate": best, "accuracy": test, **at_each}
