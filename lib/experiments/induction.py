"""What can two layers do that one cannot (chapter 18)? Small causal stacks on three questions about a sequence.

Every token appears exactly twice. *previous* asks which token stood one place before, *where* at which place this token
stood the first time, *induction* which token followed it there. Each arm of the recorder is trained at both learning
rates and keeps the one with the lower validation loss; the long arms get eight times the steps at the higher rate.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import MultiHeadAttention, watch
from lib.data.induction import NO_LABEL, Induction, twice_each
from lib.masks import causal_mask
from lib.training import count_parameters, fit, seed_everything
from lib.transformer import EncoderLayer, NoResidual, PreNorm

PAIRS, VOCAB_SIZE = 12, 32
LENGTH = 2 * PAIRS
LEARNING_RATES = (3e-3, 1e-2)
STEPS, LONG = 200, 1600
ARMS = (
    "two layers",
    "one layer, wide",
    "one layer, MLP",
    "two layers, shared",
    "two layers, no residual",
    "one layer, wide, long",
    "one layer, MLP, long",
)


class AttentionLayer(nn.Module):
    """A layer that only attends: no feed-forward network."""

    def __init__(self, d_model: int, num_heads: int, *, connection=PreNorm) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads)
        self.around_attention = connection(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pass a sequence (B, T, d_model) through the layer; the shape stays."""
        return self.around_attention(x, lambda y: self.attention(y, mask=mask))


class SmallStack(nn.Module):
    """Token and place embeddings, any layers under a causal mask, and a linear read-out at every place."""

    def __init__(self, d_model: int, layers: list[nn.Module], num_answers: int = VOCAB_SIZE) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCAB_SIZE, d_model)
        self.places = nn.Parameter(torch.randn(LENGTH, d_model))
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(d_model)
        self.answer = nn.Linear(d_model, num_answers)
        self.register_buffer("mask", causal_mask(LENGTH))

    def forward(self, tokens: Tensor, *, without: int | None = None) -> Tensor:
        """Answer at every place: (B, T) tokens to logits (B, T, num_answers), `without` a layer if asked."""
        x = self.tokens(tokens) + self.places
        for number, layer in enumerate(self.layers):
            if number != without:
                x = layer(x, self.mask)
        return self.answer(self.norm(x))


def build(arm: str, question: str = "induction") -> SmallStack:
    """Build the untrained model of an arm, or of a bare number of attention layers such as `0` or `1`."""
    answers = LENGTH if question == "where" else VOCAB_SIZE
    if arm.isdigit():
        return SmallStack(64, [AttentionLayer(64, 2) for _ in range(int(arm))], answers)
    name = arm.removesuffix(", long")
    if name == "two layers":
        return SmallStack(64, [AttentionLayer(64, 2) for _ in range(2)], answers)
    if name == "one layer, wide":
        return SmallStack(96, [AttentionLayer(96, 4)], answers)
    if name == "one layer, MLP":
        return SmallStack(64, [EncoderLayer(64, 4, 256)], answers)
    if name == "two layers, shared":
        return SmallStack(64, [AttentionLayer(64, 2)] * 2, answers)
    if name == "two layers, no residual":
        return SmallStack(64, [AttentionLayer(64, 2, connection=NoResidual) for _ in range(2)], answers)
    raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")


def draw(batch: int, generator: torch.Generator) -> Induction:
    """Draw a batch of sequences."""
    return twice_each(batch, PAIRS, vocab_size=VOCAB_SIZE, generator=generator)


def answers(data: Induction, question: str) -> Tensor:
    """Give the right answers (B, T) to a question, `NO_LABEL` where it is not asked."""
    if question == "previous":
        return torch.cat([torch.full_like(data.tokens[:, :1], NO_LABEL), data.tokens[:, :-1]], dim=1)
    if question == "where":
        return torch.where(data.labels == NO_LABEL, NO_LABEL, data.source - 1)
    return data.labels


def train(arm: str, seed: int, *, question="induction", steps=STEPS, learning_rate=1e-2, watched=()) -> SmallStack:
    """Train an arm on fresh sequences; each of `watched` is called with the step and the model every 10 steps."""
    seed_everything(seed)
    model = build(arm, question)
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        if step % 10 == 0:
            for look in watched:
                look(step, model)
        data = draw(32, generator)
        return F.cross_entropy(model(data.tokens).flatten(0, 1), answers(data, question).flatten())

    fit(loss, model.parameters(), steps=steps, learning_rate=learning_rate, warmup=20, label=f"{arm}, seed {seed}")
    return model.eval()


def held_out(seed: int, batch: int = 500) -> Induction:
    """Draw the test sequences of a seed."""
    return draw(batch, torch.Generator().manual_seed(10_000 + seed))


@torch.no_grad()
def accuracy(model: SmallStack, seed: int, question: str = "induction", *, without: int | None = None) -> float:
    """Measure how often a model is right on the test sequences, where it is asked."""
    data = held_out(seed)
    wanted = answers(data, question)
    right = model(data.tokens, without=without).argmax(dim=-1) == wanted
    return right[wanted != NO_LABEL].double().mean().item()


@torch.no_grad()
def validation_loss(model: SmallStack, seed: int) -> float:
    """Measure the loss on a draw that is used for nothing else."""
    data = draw(500, torch.Generator().manual_seed(20_000 + seed))
    return F.cross_entropy(model(data.tokens).flatten(0, 1), data.labels.flatten()).item()


@torch.no_grad()
def pattern_scores(model: SmallStack, seed: int) -> tuple[Tensor, Tensor]:
    """Measure per layer and head the mean weight on the place before, and on the place that holds the answer.

    Returns:
        Two tensors (layers, heads): the previous-token scores and the induction scores.
    """
    data = held_out(seed)
    with watch(model) as weights:
        model(data.tokens)
    layers = torch.stack([one for calls in weights.values() for one in calls])  # (L, B, H, T, T)
    before = layers.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=(1, 3))  # (L, H)
    asked = (data.labels != NO_LABEL).to(layers.dtype)  # (B, T)
    place = data.source[None, :, None, :, None].expand(*layers.shape[:-1], 1)
    onto = layers.gather(-1, place)[..., 0]  # (L, B, H, T): the weight on the source
    return before, torch.einsum("lbht,bt->lh", onto, asked) / asked.sum()


def run(arm: str, seed: int) -> dict:
    """Train at every rate and test what validates best; a long arm has only the highest rate, which then falls."""
    steps, rates = (LONG, LEARNING_RATES[-1:]) if arm.endswith("long") else (STEPS, LEARNING_RATES)
    models = {rate: train(arm, seed, steps=steps, learning_rate=rate) for rate in rates}
    rate = min(models, key=lambda rate: validation_loss(models[rate], seed))
    return {
        "accuracy": accuracy(models[rate], seed),
        "steps": steps,
        "parameters": count_parameters(models[rate]),
        "learning rate": rate,
    }
