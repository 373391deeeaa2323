"""How many heads, and what does each of them do (chapter 17): planted relations, at equal width and parameters.

One layer of a Transformer reads sequences in which every item asks for what four others say. `train` is what the
notebook runs; `run` is what the recorder runs: the best of two learning rates by the loss on a validation draw, and for
one head also four times the steps.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import watch
from lib.data.relations import RELATIONS, PlantedRelations, planted_relations
from lib.training import count_parameters, fit, seed_everything
from lib.transformer import Encoder, EncoderLayer

ITEMS, NUM_NAMES, NUM_CLASSES, D_MODEL, D_FF = 8, 8, 8, 32, 64
HEADS = (1, 2, 4, 8, 16)
STEPS, LEARNING_RATE = 400, 2e-2
LEARNING_RATES = (1e-2, 2e-2, 4e-2)
LEARNED = 0.9  # a relation counts as learned from this accuracy on; guessing a class gives 1 / 8
ARMS = (*(f"h = {heads}" for heads in HEADS), "h = 1, long")


class RelationReader(nn.Module):
    """Embed name, content, mark and place, pass one layer, and read the four answers off by a linear map."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        sizes = {"names": NUM_NAMES, "contents": NUM_CLASSES, "marks": 2, "places": ITEMS}
        self.embed = nn.ModuleDict({name: nn.Embedding(size, D_MODEL) for name, size in sizes.items()})
        for embedding in self.embed.values():
            nn.init.normal_(embedding.weight, std=0.5)  # four of them add up to variance 1
        self.encoder = Encoder([EncoderLayer(D_MODEL, num_heads, D_FF)], nn.LayerNorm(D_MODEL))
        self.answer = nn.Linear(D_MODEL, len(RELATIONS) * NUM_CLASSES)

    def forward(self, data: PlantedRelations) -> Tensor:
        """Answer the four questions of each item: logits (B, R, T, NUM_CLASSES)."""
        B, T = data.names.shape
        written = (self.embed[name](getattr(data, name)) for name in ("names", "contents", "marks"))
        x = sum(written) + self.embed["places"](torch.arange(T))  # (B, T, D_MODEL)
        return self.answer(self.encoder(x)).reshape(B, T, len(RELATIONS), NUM_CLASSES).transpose(1, 2)


def draw(batch: int, generator: torch.Generator) -> PlantedRelations:
    """Draw a batch of the task."""
    return planted_relations(batch, ITEMS, num_names=NUM_NAMES, num_classes=NUM_CLASSES, generator=generator)


def draw_for_test(seed: int) -> PlantedRelations:
    """Draw the thousand sequences on which the models of a seed are tested."""
    return draw(1000, torch.Generator().manual_seed(10_000 + seed))


def loss_of(model: nn.Module, data: PlantedRelations) -> Tensor:
    """Average the cross-entropy over all questions, in nats."""
    return F.cross_entropy(model(data).flatten(0, 2), data.label.flatten())


def train(
    build: Callable[[], nn.Module],
    seed: int,
    *,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    label: str = "heads",
) -> nn.Module:
    """Build a model and train it on fresh sequences; the same seed starts it from the same weights."""
    seed_everything(seed)
    model, generator = build(), torch.Generator().manual_seed(seed)
    fit(
        lambda step: loss_of(model, draw(32, generator)),
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate,
        warmup=50,
        label=f"{label}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def accuracies(model: nn.Module, data: PlantedRelations) -> Tensor:
    """Measure for each relation how often a model is right: (R,)."""
    return (model(data).argmax(-1) == data.label).double().mean((0, 2))


def attention_of(model: nn.Module, data: PlantedRelations) -> Tensor:
    """Look at the weights of the model's one attention layer: (B, H, T, T)."""
    with torch.no_grad(), watch(model) as weights:
        model(data)
    (calls,) = weights.values()
    return calls[0]


def head_overlaps(weights: Tensor, others: Tensor) -> Tensor:
    r"""Compare each head with each of the others: the mean over queries of $\sum_j \min(w_j, w'_j)$.

    It is 1 where two heads share their attention out alike, 0 where they look at different places, and 1 minus the
    total variation distance in between.

    Args:
        weights: (B, H, T, S).
        others: (B, G, T, S), of the same sequences; the same weights for the heads of one model.

    Returns:
        (H, G).
    """
    return torch.stack([torch.minimum(head[:, None], others).sum(-1).mean((0, 2)) for head in weights.unbind(1)])


def between_heads(overlaps: Tensor) -> float:
    """Average a model's table of overlaps over its pairs of different heads; 1 for a single head."""
    H = len(overlaps)
    return 1.0 if H == 1 else ((overlaps.sum() - overlaps.trace()) / (H * (H - 1))).item()


def role_scores(weights: Tensor, data: PlantedRelations) -> Tensor:
    """Measure how much of its attention each head gives to the place that each relation means: (H, R)."""
    H = weights.shape[1]
    scores = []
    for target in data.target_index.unbind(1):  # (B, T)
        meant = target[:, None, :, None].expand(-1, H, -1, 1)  # (B, H, T, 1)
        scores.append(weights.gather(3, meant).mean((0, 2, 3)))
    return torch.stack(scores, dim=1)


def best_of_rates(
    build: Callable[[], nn.Module], seed: int, label: str, rates: tuple[float, ...] = LEARNING_RATES
) -> tuple[float, dict[float, nn.Module]]:
    """Train at each learning rate; give the one with the lowest loss on a validation draw, and all the models."""
    validation, models = draw(1000, torch.Generator().manual_seed(20_000 + seed)), {}
    for rate in rates:
        models[rate] = train(build, seed, learning_rate=rate, label=label)
    with torch.no_grad():
        return min(models, key=lambda rate: loss_of(models[rate], validation).item()), models


def results(model: nn.Module, data: PlantedRelations) -> dict:
    """Measure what both experiments with planted relations report of a model."""
    reached, weights = accuracies(model, data), attention_of(model, data)
    with torch.no_grad():
        loss = loss_of(model, data).item()
    return {
        "accuracy": reached.mean().item(),
        "loss": loss,
        "learned": (reached > LEARNED).sum().item(),
        **{name: one.item() for name, one in zip(RELATIONS, reached, strict=True)},
        "overlap": between_heads(head_overlaps(weights, weights)),
        "parameters": count_parameters(model),
    }


def run(arm: str, seed: int) -> dict:
    """Report the better of two learning rates; also how many of the two models have left a relation unlearned."""
    heads, data = int(arm.split(",")[0].removeprefix("h = ")), draw_for_test(seed)

    def build() -> RelationReader:
        return RelationReader(heads)

    if arm.endswith("long"):
        steps, rate = 4 * STEPS, LEARNING_RATE
        models = {rate: train(build, seed, steps=steps, label=arm)}
    else:
        steps = STEPS
        rate, models = best_of_rates(build, seed, arm, LEARNING_RATES[:2])
    gaps = [(accuracies(model, data) < LEARNED).any().item() for model in models.values()]
    return {
        "steps": steps,
        "learning rate": rate,
        **results(models[rate], data),
        "with a gap": sum(gaps) / len(gaps),
    }
