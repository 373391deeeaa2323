"""One thing to remember, far away (chapter 03): trained at one distance only, self-attention against a GRU.

All readers share the embeddings and the network that answers; between them stands one self-attention layer or a GRU,
which has half as many parameters again. `run` gives the plain GRU two learning rates and the lower validation loss, the
others one rate.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.baselines import GRUSequence
from lib.data.recall import Recall, recall
from lib.positional import rotate, sinusoidal_positions
from lib.training import count_parameters, fit, seed_everything

NUM_NAMES, NUM_CONTENTS, D_MODEL = 16, 8, 32
DISTANCES = (16, 128)
LEARNING_RATES = {"attention": (0.003,), "GRU": (0.01, 0.03), "GRU, closed": (0.01,)}
ARMS = tuple(LEARNING_RATES)


class SelfAttentionBody(nn.Module):
    """One head of self-attention added to its input; without positions, with sinusoidal or with rotary ones."""

    def __init__(self, *, sinusoidal: bool = False, rotary: bool = False) -> None:
        super().__init__()
        self.sinusoidal = sinusoidal
        self.attention = MultiHeadAttention(D_MODEL, 1, positions=rotate if rotary else None)

    def forward(self, x: Tensor) -> Tensor:
        """Let every element gather from all: (B, T, D_MODEL) to the same."""
        if self.sinusoidal:
            x = x + sinusoidal_positions(*x.shape[1:])
        return x + self.attention(x)


class Reader(nn.Module):
    """Embed names and contents, pass the sequence through a body, answer from its last element."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.names = nn.Embedding(NUM_NAMES + 1, D_MODEL)
        self.contents = nn.Embedding(NUM_CONTENTS + 1, D_MODEL)
        self.body = body
        self.answer = nn.Sequential(nn.Linear(D_MODEL, 2 * D_MODEL), nn.ReLU(), nn.Linear(2 * D_MODEL, NUM_CONTENTS))

    def embed(self, data: Recall) -> Tensor:
        """Give each element one vector: (B, T, D_MODEL)."""
        return self.names(data.names) + self.contents(data.contents)

    def forward(self, data: Recall) -> Tensor:
        """Answer each question: logits (B, NUM_CONTENTS)."""
        return self.answer(self.body(self.embed(data))[:, -1])


def build(arm: str) -> Reader:
    """Build the untrained reader of an arm."""
    bodies = {
        "attention": SelfAttentionBody,
        "attention, positions": lambda: SelfAttentionBody(sinusoidal=True),
        "attention, rotary": lambda: SelfAttentionBody(rotary=True),
        "GRU": lambda: GRUSequence(D_MODEL, D_MODEL),
        "GRU, closed": lambda: GRUSequence(D_MODEL, D_MODEL, keep=3.0),
    }
    if arm not in bodies:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(bodies)}")
    return Reader(bodies[arm]())


def draw(
    batch: int, length: int, seed: int | torch.Generator, *, pairs: int = 1, distance: int | None = None
) -> Recall:
    """Draw a batch of the task, from a seed or on from a generator."""
    generator = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
    names = {"num_names": NUM_NAMES, "num_contents": NUM_CONTENTS}
    return recall(batch, length, pairs=pairs, distance=distance, generator=generator, **names)


def train(model: nn.Module, batches, seed: int, *, steps: int, learning_rate: float, label: str) -> nn.Module:
    """Train a reader on the batches that `batches(step, generator)` draws."""
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        data = batches(step, generator)
        return F.cross_entropy(model(data), data.label)

    fit(loss, model.parameters(), steps=steps, learning_rate=learning_rate, clip=1.0, label=label)
    return model.eval()


def train_at(arm: str, distance: int, seed: int, *, steps: int = 300, learning_rate: float = 0.003) -> nn.Module:
    """Train an arm on one pair that always stands at the same distance from the question."""
    seed_everything(seed)

    def batches(step: int, generator: torch.Generator) -> Recall:
        return draw(32, distance, generator, distance=distance)

    label = f"{arm}, distance {distance}"
    return train(build(arm), batches, seed, steps=steps, learning_rate=learning_rate, label=label)


@torch.no_grad()
def accuracy(model: nn.Module, data: Recall) -> float:
    """Measure how often a reader is right."""
    return (model(data).argmax(dim=-1) == data.label).double().mean().item()


@torch.no_grad()
def loss_on(model: nn.Module, data: Recall) -> float:
    """Measure a reader's loss."""
    return F.cross_entropy(model(data), data.label).item()


def run(arm: str, seed: int) -> dict:
    """Train and test at each distance, at the learning rate with the lowest loss on a validation draw."""
    steps, metrics = 300, {}
    for distance in DISTANCES:
        validation = draw(500, distance, 20_000 + seed, distance=distance)
        test = draw(1000, distance, 10_000 + seed, distance=distance)
        losses, accuracies = {}, {}
        for rate in LEARNING_RATES[arm]:
            model = train_at(arm, distance, seed, steps=steps, learning_rate=rate)
            losses[rate], accuracies[rate] = loss_on(model, validation), accuracy(model, test)
            metrics[f"{distance}, rate {rate:g}"] = accuracies[rate]
        metrics[f"accuracy at {distance}"] = accuracies[min(losses, key=losses.get)]
    return {**metrics, "steps": steps, "parameters": count_parameters(model)}
