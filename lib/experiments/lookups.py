"""Several look-ups at once (chapter 05): one, two or four of them, with 1 to 64 heads and always as many parameters.

Each set has 8 items; keys are made from the cues, values from the contents, and the one query holds all the cues that
are asked for, one behind the other. The read-out behind the attention is two linear layers, without anything between
them unless told otherwise, which is one linear map. Every arm gets three learning rates; `run` keeps the one with the
lowest loss on a validation draw.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.data.lookup import SimultaneousLookups, simultaneous_lookups
from lib.training import count_parameters, fit, seed_everything

ITEMS, NUM_CLASSES, D_CUE, D_MODEL = 8, 4, 16, 64
HEADS, LOOKUPS, STEPS = (1, 2, 4, 16, 64), (1, 2, 4), 400
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
ARMS = tuple(f"{n} look-ups, {heads} heads" for n in LOOKUPS for heads in HEADS if (n, heads) not in ((1, 2), (1, 16)))


class Reader(nn.Module):
    """Ask for several items with one query, then read all the answers from the one output.

    Args:
        num_heads: Number of heads.
        lookups: Number of answers N.
        between: What stands between the two layers of the read-out: `nn.ReLU()`, or nothing.
        d_model: Width of the attention.
        key_width: Width of what the keys are made of.
        value_width: Width of what the values are made of.
    """

    def __init__(
        self,
        num_heads: int,
        lookups: int,
        *,
        between: nn.Module | None = None,
        d_model: int = D_MODEL,
        key_width: int = D_CUE,
        value_width: int = NUM_CLASSES,
    ) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, key_width=key_width, value_width=value_width)
        answers = nn.Linear(D_MODEL, lookups * NUM_CLASSES)
        self.read = nn.Sequential(nn.Linear(d_model, D_MODEL), between or nn.Identity(), answers)

    def inputs(self, data: SimultaneousLookups) -> tuple[Tensor, Tensor, Tensor]:
        """Make the query (B, 1, d_model) of all the cues asked for, and what keys and values are made of."""
        query = data.queries.flatten(1)[:, None]  # (B, 1, N d_cue)
        query = F.pad(query, (0, self.attention.d_model - query.shape[-1]))  # places not in use stay 0
        return query, data.cues, F.one_hot(data.contents, NUM_CLASSES).float()

    def forward(self, data: SimultaneousLookups) -> Tensor:
        """Answer each example: logits (B, N, NUM_CLASSES)."""
        output = self.attention(*self.inputs(data))  # (B, 1, d_model)
        return self.read(output[:, 0]).unflatten(-1, (-1, NUM_CLASSES))

    @torch.no_grad()
    def weights(self, data: SimultaneousLookups) -> Tensor:
        """Say where each head looks: (B, H, S)."""
        return self.attention.attention_weights(*self.inputs(data))[:, :, 0]


def draw(batch: int, lookups: int, generator: torch.Generator) -> SimultaneousLookups:
    """Draw a batch of the task."""
    sizes = {"lookups": lookups, "num_classes": NUM_CLASSES, "d_cue": D_CUE}
    return simultaneous_lookups(batch, ITEMS, **sizes, generator=generator)


def train(model: nn.Module, lookups: int, seed: int, *, steps: int = STEPS, learning_rate: float = 1e-2) -> nn.Module:
    """Train a model on fresh sets, 64 a step."""
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        data = draw(64, lookups, generator)
        return F.cross_entropy(model(data).flatten(0, 1), data.labels.flatten())

    label = f"{lookups} look-ups, seed {seed}"
    fit(loss, model.parameters(), steps=steps, learning_rate=learning_rate, warmup=20, clip=1.0, label=label)
    return model.eval()


def trained_reader(heads: int, lookups: int, seed: int, *, learning_rate: float = 1e-2, **settings) -> Reader:
    """Build and train the `Reader` of an arm, from this seed."""
    seed_everything(seed)
    return train(Reader(heads, lookups, **settings), lookups, seed, learning_rate=learning_rate)


@torch.no_grad()
def score(model: nn.Module, lookups: int, seed: int, *, validation: bool = False) -> dict[str, float]:
    """Measure on 4000 fresh sets: all answers right, each answer right, and the loss."""
    data = draw(4000, lookups, torch.Generator().manual_seed((20_000 if validation else 10_000) + seed))
    logits = model(data)
    right = logits.argmax(dim=-1) == data.labels  # (B, N)
    return {
        "all right": right.all(dim=-1).double().mean().item(),
        "each right": right.double().mean().item(),
        "loss": F.cross_entropy(logits.flatten(0, 1), data.labels.flatten()).item(),
    }


def pointing(model: Reader, lookups: int, seed: int) -> Tensor:
    """Say how much weight each head gives, on average, to the item asked for first, second, ...: (H, N)."""
    data = draw(4000, lookups, torch.Generator().manual_seed(10_000 + seed))
    weights = model.weights(data)  # (B, H, S)
    return weights.gather(2, data.target_index[:, None].expand(-1, weights.shape[1], -1)).mean(dim=0)


def best(models: dict[float, nn.Module], lookups: int, seed: int) -> dict[str, float]:
    """Report the model with the lowest validation loss of several learning rates, and every rate beside it."""
    rate = min(models, key=lambda rate: score(models[rate], lookups, seed, validation=True)["loss"])
    beside = {f"all right at {one:g}": score(model, lookups, seed)["all right"] for one, model in models.items()}
    parameters = count_parameters(models[rate])
    return {**score(models[rate], lookups, seed), "learning rate": rate, **beside, "parameters": parameters}


def run(arm: str, seed: int) -> dict:
    """Train an arm at each learning rate; report the best, how sharply its heads look, and at how many items."""
    lookups, heads = (int(part.split()[0]) for part in arm.split(", "))
    models = {rate: trained_reader(heads, lookups, seed, learning_rate=rate) for rate in LEARNING_RATES}
    metrics = best(models, lookups, seed)
    weights = pointing(models[metrics["learning rate"]], lookups, seed)  # (H, N)
    favourites = weights.max(dim=1)
    looks = {"favourite's weight": favourites.values.mean().item(), "favourites": len(favourites.indices.unique())}
    return {**metrics, **looks, "steps": STEPS}
