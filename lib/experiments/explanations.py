"""Do weights explain (chapter 14)? Five explanations of a model's answers against a planted truth.

Ten elements each carry a name and a content, and the question at the end asks for a name. Which elements cause the
answer is known, since the task was made so. One model learns three kinds of question:

- `once`: one element has the name, and the answer is its content. One cause.
- `twice`: that element stands twice, and either copy would do. Two causes, none of which is needed.
- `chain`: the content is a second name, and the answer is the content of the element that has it. Two causes, both
  needed, and the second is found only through the first.

Explanations are judged on the questions that the model answers rightly.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import watch
from lib.training import count_parameters, fit, seed_everything
from lib.transformer import Encoder, EncoderLayer

ARMS, KINDS = ("reader",), ("once", "twice", "chain")
LENGTH, PAIRS, NUM_NAMES, NUM_CONTENTS, D_MODEL, STEPS = 10, 4, 6, 6, 32, 900
ASKED = NUM_NAMES + NUM_CONTENTS  # what the question has in place of a content


class Questions:
    """A batch of questions.

    Attributes:
        names: (B, LENGTH + 1), the last one is asked for; NUM_NAMES is a filler's.
        contents: (B, LENGTH + 1), 0 ... NUM_NAMES - 1 are names, then NUM_CONTENTS answers, then ASKED.
        causes: (B, 1 or 2), the places that cause the answer, in order.
        label: (B,), the answer.
    """

    def __init__(self, batch: int, generator: torch.Generator, kind: str) -> None:
        places = torch.rand(batch, LENGTH, generator=generator).argsort(dim=1)  # (B, LENGTH)
        chosen = torch.rand(batch, NUM_NAMES, generator=generator).argsort(dim=1)  # (B, NUM_NAMES)
        names = torch.full((batch, LENGTH), NUM_NAMES).scatter(1, places[:, :PAIRS], chosen[:, :PAIRS])
        contents = NUM_NAMES + torch.randint(NUM_CONTENTS, (batch, LENGTH), generator=generator)
        count = 1 if kind == "once" else 2
        asked, last = (places[:, place : place + 1] for place in (0, PAIRS if kind == "twice" else count - 1))
        if kind == "twice":  # the first filler becomes a copy
            names.scatter_(1, last, chosen[:, :1])
            contents.scatter_(1, last, contents.gather(1, asked))
        if kind == "chain":  # two chains of two: elements 0 and 2 hand on to 1 and 3
            contents.scatter_(1, places[:, 0:PAIRS:2], chosen[:, 1:PAIRS:2])
        self.label = contents.gather(1, last)[:, 0] - NUM_NAMES
        self.causes = torch.cat([asked, last], dim=1)[:, :count].sort(dim=1).values
        self.names = torch.cat([names, chosen[:, :1]], dim=1)
        self.contents = torch.cat([contents, torch.full((batch, 1), ASKED)], dim=1)


class Reader(nn.Module):
    """Embed the elements, pass them through two layers of attention, answer from the question's place."""

    def __init__(self) -> None:
        super().__init__()
        self.names = nn.Embedding(NUM_NAMES + 1, D_MODEL)
        self.contents = nn.Embedding(ASKED + 1, D_MODEL)
        with torch.no_grad():  # a name starts from the same vector whether it is a name or a content
            self.contents.weight[:NUM_NAMES] = self.names.weight[:NUM_NAMES]
        layers = (EncoderLayer(D_MODEL, 2, 2 * D_MODEL) for _ in range(2))
        self.encoder = Encoder(layers, nn.LayerNorm(D_MODEL))
        self.answer = nn.Linear(D_MODEL, NUM_CONTENTS)

    def embed(self, data: Questions) -> Tensor:
        """Give each element one vector: (B, T, D_MODEL)."""
        return self.names(data.names) + self.contents(data.contents)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Answer from embedded elements (B, T, D_MODEL): logits (B, NUM_CONTENTS)."""
        return self.answer(self.encoder(x, mask)[:, -1])


def train(arm: str, seed: int) -> Reader:
    """Train a reader on the three kinds of question in turn, every other batch on chains."""
    seed_everything(seed)
    model, generator, kinds = Reader(), torch.Generator().manual_seed(seed), ("once", "chain", "twice", "chain")

    def loss(step: int) -> Tensor:
        data = Questions(64, generator, kinds[step % len(kinds)])
        return F.cross_entropy(model(model.embed(data)), data.label)

    fit(loss, model.parameters(), steps=STEPS, learning_rate=0.005, warmup=30, clip=1.0, label=arm)
    return model.eval()


def explain(model: Reader, data: Questions) -> dict[str, Tensor]:
    """Score each element by how much it is said to matter for the right answer: (B, LENGTH) a way."""
    x = model.embed(data).detach().requires_grad_()
    chosen = F.log_softmax(model(x), dim=-1).gather(1, data.label[:, None])[:, 0]
    (slope,) = torch.autograd.grad(chosen.sum(), x)
    with torch.no_grad():
        with watch(model) as seen:
            model(x)
        layers = [calls[0].mean(dim=1) for calls in seen.values()]  # each (B, T, T), the mean of the heads
        rolled = torch.eye(x.shape[1])
        for weights in layers:
            rolled = (weights + torch.eye(x.shape[1])) / 2 @ rolled  # (B, T, T)
        found = {
            "last weights": layers[-1][:, -1],
            "mean weights": torch.stack(layers).mean(dim=0)[:, -1],
            "rollout": rolled[:, -1],
            "gradient": (slope * x).sum(dim=-1).abs(),
        }
        falls = []
        for place in range(LENGTH):
            mask = (torch.arange(x.shape[1]) != place)[None, None]  # (1, 1, T): nobody reads this place
            without = F.log_softmax(model(x, mask), dim=-1).gather(1, data.label[:, None])[:, 0]
            falls.append(chosen - without)
        return {way: scores[:, :-1] for way, scores in found.items()} | {"ablation": torch.stack(falls, dim=1)}


def single_heads(model: Reader, data: Questions) -> dict[str, Tensor]:
    """Score each element by one head's weight from the question: (B, LENGTH) for each head of each layer."""
    with torch.no_grad(), watch(model) as seen:
        model(model.embed(data))
    layers = [calls[0][:, :, -1, :-1] for calls in seen.values()]  # each (B, H, LENGTH)
    return {
        f"layer {number}, head {head + 1}": layer[:, head]
        for number, layer in enumerate(layers, start=1)
        for head in range(layer.shape[1])
    }


def judged(model: Reader, seed: int, kind: str) -> dict[str, float]:
    """Measure the accuracy, how often each way names exactly the causes, and what ablation and weights say of them."""
    data = Questions(1000, torch.Generator().manual_seed(50_000 + seed), kind)
    with torch.no_grad():
        right = model(model.embed(data)).argmax(dim=-1) == data.label
    found = {"accuracy": right.double().mean().item()}

    def named(scores: Tensor) -> float:
        top = scores.topk(data.causes.shape[1], dim=1).indices.sort(dim=1).values
        return (top == data.causes).all(dim=1)[right].double().mean().item()

    for way, scores in explain(model, data).items():
        found[way] = named(scores)
        on_causes = scores.gather(1, data.causes)[right]  # (B', 1 or 2)
        if way == "ablation":
            found["fall"] = on_causes.mean().item()
        if way in ("last weights", "mean weights"):
            found[f"share of {way}"] = on_causes.sum(dim=1).mean().item()
    heads = [named(scores) for scores in single_heads(model, data).values()]
    found |= {"best head": max(heads), "worst head": min(heads)}
    return {f"{what}, {kind}": value for what, value in found.items()}


def run(arm: str, seed: int) -> dict:
    """Train a reader and judge its explanations."""
    model, found = train(arm, seed), {}
    for kind in KINDS:
        found |= judged(model, seed, kind)
    return {**found, "steps": STEPS, "parameters": count_parameters(model)}
