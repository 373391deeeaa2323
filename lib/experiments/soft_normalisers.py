"""What a normaliser can do (chapter 15): pick one item among many, and count how many items match.

Everything but the normaliser is the same: a scaled dot product with a bias of its own scores each item, the normaliser
turns scores into weights, and the answer is read from the weighted sum. Trained on sets of 4 to 16 items, tested also
on larger ones. `softmax and a sink` is softmax over the items and one more element that is always there, with a learned
score and the value 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import sigmoid, softmax, sparsemax
from lib.training import count_parameters, fit, seed_everything

KINDS = 16
TRAINED_ITEMS = tuple(range(4, 17))
TESTED_ITEMS = (4, 16, 64, 256, 1024)
MOST = 8  # matches that there can be to count
LEARNING_RATES = (3e-3, 1e-2, 3e-2)
STEPS, LONG = 500, 2000
NORMALISERS = ("softmax", "softmax and a sink", "sigmoid", "sparsemax")
ARMS = tuple(f"{task}, {name}" for task in ("count", "pick") for name in NORMALISERS)


class Reader(nn.Module):
    """Score, normalise, sum; then read the answer from the sum."""

    def __init__(self, task: str, normaliser: str, d_model: int = 16) -> None:
        super().__init__()
        self.task, self.normaliser = task, normaliser
        self.kinds = nn.Embedding(KINDS, d_model)
        self.w_query, self.w_key = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.bias = nn.Parameter(torch.zeros(()))
        self.sink = nn.Parameter(torch.zeros(()))
        self.values = nn.Embedding(KINDS, d_model)  # of what an item says
        outputs = 1 if task == "count" else KINDS
        self.answer = nn.Sequential(nn.Linear(d_model, 32), nn.ReLU(), nn.Linear(32, outputs))

    def weights(self, wanted: Tensor, kinds: Tensor) -> Tensor:
        """Weigh the items (B, S) by how well their kinds match the one wanted (B,)."""
        query, key = self.w_query(self.kinds(wanted)), self.w_key(self.kinds(kinds))
        scores = torch.einsum("bd,bsd->bs", query, key) / query.shape[-1] ** 0.5 + self.bias
        if self.normaliser == "softmax and a sink":
            return softmax(torch.cat([scores, self.sink.expand(len(scores), 1)], dim=-1))[:, :-1]
        return {"softmax": softmax, "sigmoid": sigmoid, "sparsemax": sparsemax}[self.normaliser](scores)

    def forward(self, wanted: Tensor, kinds: Tensor, says: Tensor) -> Tensor:
        """Answer from the weighted sum of what the items say: (B, outputs)."""
        return self.answer(torch.einsum("bs,bsd->bd", self.weights(wanted, kinds), self.values(says)))


def draw(task: str, batch: int, items: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw the kind wanted (B,), kinds (B, S), what the items say (B, S), and the answer (B,).

    In `count` a set holds two kinds, and 0 to 8 items (or all of a smaller set) are of the kind wanted, each number as
    likely as the others; an item says whether it is one of them. In `pick` exactly one item is of the kind wanted, the
    others are of any other kind, and the answer is what it says.
    """
    wanted = torch.randint(KINDS, (batch, 1), generator=generator)
    others = torch.randint(1, KINDS, (batch, items), generator=generator)
    order = torch.rand(batch, items, generator=generator).argsort(-1)
    if task == "count":
        matches = torch.randint(min(items, MOST) + 1, (batch, 1), generator=generator)
        kinds = torch.where(order < matches, wanted, (wanted + others[:, :1]) % KINDS)
        return wanted[:, 0], kinds, (order < matches).long(), matches[:, 0]
    kinds = torch.where(order < 1, wanted, (wanted + others) % KINDS)
    says = torch.randint(KINDS, (batch, items), generator=generator)
    return wanted[:, 0], kinds, says, says[order < 1]


def loss_of(model: Reader, items: int, batch: int, generator: torch.Generator) -> Tensor:
    """Measure the squared error of a count, or the cross-entropy of a pick."""
    *inputs, label = draw(model.task, batch, items, generator)
    answer = model(*inputs)
    return F.mse_loss(answer[:, 0], label.float()) if model.task == "count" else F.cross_entropy(answer, label)


def train(arm: str, seed: int, *, steps: int = STEPS, learning_rate: float = 1e-2) -> Reader:
    """Train an arm on sets whose size changes from step to step."""
    seed_everything(seed)
    model = Reader(*arm.split(", "))
    generator = torch.Generator().manual_seed(seed)
    fit(
        lambda step: loss_of(model, TRAINED_ITEMS[step % len(TRAINED_ITEMS)], 64, generator),
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def score(model: Reader, items: int, seed: int) -> dict[str, float]:
    """Measure on fresh sets how often the (rounded) answer is right, and what happens to the weights."""
    *inputs, label = draw(model.task, 500, items, torch.Generator().manual_seed(10_000 + seed))
    answer, weights = model(*inputs), model.weights(*inputs[:2])
    guess = answer[:, 0].round() if model.task == "count" else answer.argmax(-1)
    matching = inputs[1] == inputs[0][:, None]
    return {
        "accuracy": (guess == label).double().mean().item(),
        "weight": (weights * matching).sum(-1).mean().item(),
        "sum": weights.sum(-1).mean().item(),
    }


@torch.no_grad()
def validation_loss(model: Reader, seed: int) -> float:
    """Measure the mean loss over the sizes trained on, on sets that are used for nothing else."""
    generator = torch.Generator().manual_seed(20_000 + seed)
    return sum(loss_of(model, items, 200, generator).item() for items in TRAINED_ITEMS) / len(TRAINED_ITEMS)


def run(arm: str, seed: int) -> dict:
    """Train at three learning rates, then four times as long at the best; report both at every size of the set."""
    models = {rate: train(arm, seed, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: validation_loss(models[rate], seed))
    trained_long = train(arm, seed, steps=LONG, learning_rate=rate)
    metrics = {}
    for note, model in (("", models[rate]), (", long", trained_long)):
        for items in TESTED_ITEMS:
            metrics |= {f"{name} at {items}{note}": value for name, value in score(model, items, seed).items()}
        trained = [score(model, items, seed)["accuracy"] for items in TRAINED_ITEMS]
        metrics[f"accuracy as trained{note}"] = sum(trained) / len(trained)
    return {
        **metrics,
        "steps": STEPS,
        "parameters": count_parameters(trained_long),
        "learning rate": rate,
    }
