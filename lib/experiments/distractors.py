"""One item matters, the others distract (chapter 01): a soft look-up against pooling, with as many parameters.

Every arm is trained on sets of 2 to 16 items and tested on sets up to sixteen times as large. `train` is what the
notebook runs with few steps; `run` is what the recorder runs with six times as many, at the best of three learning
rates for each arm, chosen by the loss on a validation draw.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import attention_weights, scaled_dot_product_attention
from lib.baselines import PooledSet, max_pool, mean_pool
from lib.data.lookup import PlantedSignal, planted_signal
from lib.training import count_parameters, fit, seed_everything

NUM_CLASSES, D_CUE = 8, 16
TRAINED_ITEMS = (2, 4, 8, 16)
TESTED_ITEMS = (2, 4, 8, 16, 32, 64, 128, 256)
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
ARMS = ("attention", "mean", "mean of matches", "max of matches")


class SoftLookup(nn.Module):
    """Compare the query with every cue, share the attention out, read the weighted sum of the contents."""

    def __init__(self, d_model: int = 32) -> None:
        super().__init__()
        self.w_query = nn.Linear(D_CUE, d_model)
        self.w_key = nn.Linear(D_CUE, d_model)
        self.values = nn.Embedding(NUM_CLASSES, d_model)
        self.answer = nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, NUM_CLASSES))

    def forward(self, data: PlantedSignal) -> Tensor:
        """Answer each example's query: logits (B, NUM_CLASSES)."""
        query = self.w_query(data.query)[:, None]  # (B, 1, d_model)
        output = scaled_dot_product_attention(query, self.w_key(data.cues), self.values(data.contents))
        return self.answer(output[:, 0])

    def weights(self, data: PlantedSignal) -> Tensor:
        """Say how the attention is shared out: (B, S)."""
        return attention_weights(self.w_query(data.query)[:, None], self.w_key(data.cues))[:, 0]


class Pooling(nn.Module):
    """A `PooledSet` over items (cue, content), or over items (cue, content, query) that can be matched one by one."""

    def __init__(self, d_model: int, pool, *, sees_query: bool) -> None:
        super().__init__()
        self.sees_query = sees_query
        d_item = D_CUE * (1 + sees_query) + NUM_CLASSES
        self.read = PooledSet(d_item=d_item, d_query=D_CUE, d_model=d_model, num_classes=NUM_CLASSES, pool=pool)

    def forward(self, data: PlantedSignal) -> Tensor:
        """Answer each example's query: logits (B, NUM_CLASSES)."""
        items = [data.cues, F.one_hot(data.contents, NUM_CLASSES).float()]
        if self.sees_query:
            items.append(data.query[:, None].expand_as(data.cues))
        return self.read(data.query, torch.cat(items, dim=-1))


def build(arm: str) -> nn.Module:
    """Build the untrained model of an arm; the pooling models have a few parameters more than the soft look-up."""
    if arm == "attention":
        return SoftLookup()
    if arm == "mean":
        return Pooling(27, mean_pool, sees_query=False)
    if arm in ("mean of matches", "max of matches"):
        return Pooling(24, mean_pool if arm.startswith("mean") else max_pool, sees_query=True)
    raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")


def draw(batch: int, items: int, generator: torch.Generator) -> PlantedSignal:
    """Draw a batch of the task."""
    return planted_signal(batch, items, num_classes=NUM_CLASSES, d_cue=D_CUE, generator=generator)


def train(arm: str, seed: int, *, steps: int = 500, learning_rate: float = 1e-2) -> nn.Module:
    """Train an arm on sets whose number of items changes from step to step."""
    seed_everything(seed)
    model = build(arm)
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        data = draw(64, TRAINED_ITEMS[step % len(TRAINED_ITEMS)], generator)
        return F.cross_entropy(model(data), data.label)

    fit(loss, model.parameters(), steps=steps, learning_rate=learning_rate, label=f"{arm}, seed {seed}")
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, items: int, seed: int, *, batch: int = 1000) -> float:
    """Measure how often a model is right on fresh sets of this many items."""
    data = draw(batch, items, torch.Generator().manual_seed(10_000 + seed))
    return (model(data).argmax(dim=-1) == data.label).double().mean().item()


@torch.no_grad()
def validation_loss(model: nn.Module, seed: int) -> float:
    """Measure the loss on a draw of 16 items that is used for nothing else; accuracy there is often 1 for all rates."""
    data = draw(1000, 16, torch.Generator().manual_seed(20_000 + seed))
    return F.cross_entropy(model(data), data.label).item()


@torch.no_grad()
def weight_on_target(model: SoftLookup, items: int, seed: int, *, batch: int = 1000) -> float:
    """Measure which share of its attention a soft look-up gives to the item that matters."""
    data = draw(batch, items, torch.Generator().manual_seed(10_000 + seed))
    return model.weights(data).gather(1, data.target_index[:, None]).double().mean().item()


def run(arm: str, seed: int) -> dict:
    """Train long, at the learning rate with the lowest validation loss; report the test accuracy at every size."""
    steps = 3000
    models = {rate: train(arm, seed, steps=steps, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: validation_loss(models[rate], seed))
    metrics = {f"accuracy at {items}": accuracy(models[rate], items, seed) for items in TESTED_ITEMS}
    if arm == "attention":
        metrics |= {f"weight at {items}": weight_on_target(models[rate], items, seed) for items in TESTED_ITEMS}
    return {"steps": steps, "parameters": count_parameters(models[rate]), "learning rate": rate, **metrics}
