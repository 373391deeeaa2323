"""Heads on real text (chapter 17): Shakespeare letter by letter, loss on read and on unread plays, at equal parameters.

Two causal layers are trained on a text short enough to be read several times, so that a model can also learn too much
of it. Every number of heads gets the same two learning rates; the best is chosen on a play of its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import watch, without_heads
from lib.data.shakespeare import plays
from lib.experiments.heads import between_heads, head_overlaps
from lib.masks import causal_mask
from lib.training import count_parameters, fit, seed_everything
from lib.transformer import Encoder, EncoderLayer

HEADS = (1, 4, 16)
ARMS = tuple(f"h = {heads}" for heads in HEADS)
LEARNING_RATES = (6e-3, 1.2e-2)
LENGTH, D_MODEL, D_FF, LAYERS, STEPS = 32, 64, 128, 2, 500
TRAINED, VALIDATION, TESTED = "hamlet", "othello", "macbeth"
TRAINED_LETTERS = 30_000


class LetterReader(nn.Module):
    """Predict each next letter from those before it."""

    def __init__(self, num_heads: int, vocabulary: int) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(vocabulary, D_MODEL), nn.Embedding(LENGTH, D_MODEL)
        for embedding in (self.letters, self.places):
            nn.init.normal_(embedding.weight, std=0.5)
        self.encoder = Encoder([EncoderLayer(D_MODEL, num_heads, D_FF) for _ in range(LAYERS)], nn.LayerNorm(D_MODEL))
        self.answer = nn.Linear(D_MODEL, vocabulary)

    def forward(self, text: Tensor) -> Tensor:
        """Give the logits of the letter behind each place of text (B, T): (B, T, vocabulary)."""
        T = text.shape[1]
        return self.answer(self.encoder(self.letters(text) + self.places(torch.arange(T)), causal_mask(T)))


def texts() -> tuple[dict[str, Tensor], int]:
    """Turn the three plays into numbers, one a letter, and count the letters that occur in any play."""
    written = plays()
    letters = sorted(set("".join(written.values())))
    number = {letter: place for place, letter in enumerate(letters)}
    coded = {name: torch.tensor([number[letter] for letter in written[name]]) for name in (TRAINED, VALIDATION, TESTED)}
    coded[TRAINED] = coded[TRAINED][:TRAINED_LETTERS]
    return coded, len(letters)


def windows(text: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Cut pieces of LENGTH + 1 letters out of a text: (B, LENGTH + 1)."""
    starts = torch.randint(len(text) - LENGTH, (batch, 1), generator=generator)
    return text[starts + torch.arange(LENGTH + 1)]


def loss_of(model: nn.Module, pieces: Tensor) -> Tensor:
    """Average the cross-entropy of the next letter, in nats."""
    return F.cross_entropy(model(pieces[:, :-1]).flatten(0, 1), pieces[:, 1:].flatten())


def train(num_heads: int, seed: int, text: Tensor, vocabulary: int, learning_rate: float) -> LetterReader:
    """Train a reader on pieces of the text."""
    seed_everything(seed)
    model, generator = LetterReader(num_heads, vocabulary), torch.Generator().manual_seed(seed)
    fit(
        lambda step: loss_of(model, windows(text, 16, generator)),
        model.parameters(),
        steps=STEPS,
        learning_rate=learning_rate,
        warmup=50,
        clip=1.0,
        label=f"{num_heads} heads, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def overlap_of(model: LetterReader, pieces: Tensor) -> float:
    """Average the overlap between the heads of a layer over the layers."""
    with watch(model) as weights:
        model(pieces[:, :-1])
    return sum(between_heads(head_overlaps(calls[0], calls[0])) for calls in weights.values()) / len(weights)


@torch.no_grad()
def harm_of_each_head(model: LetterReader, pieces: Tensor, num_heads: int) -> list[float]:
    """Silence one head after the other: by how much does the loss rise?"""
    before = loss_of(model, pieces).item()
    harms = []
    for layer in range(LAYERS):
        for head in range(num_heads):
            with without_heads(model, {f"encoder.layers.{layer}.attention": [head]}):
                harms.append(loss_of(model, pieces).item() - before)
    return harms


@torch.no_grad()
def run(arm: str, seed: int) -> dict:
    """Train at each learning rate, keep the best by the loss on the validation play, and report it."""
    num_heads = int(arm.removeprefix("h = "))
    text, vocabulary = texts()
    fixed = {name: windows(letters, 300, torch.Generator().manual_seed(1)) for name, letters in text.items()}
    models = {}
    for rate in LEARNING_RATES:
        with torch.enable_grad():
            models[rate] = train(num_heads, seed, text[TRAINED], vocabulary, rate)
    rate = min(models, key=lambda rate: loss_of(models[rate], fixed[VALIDATION]).item())
    model = models[rate]
    trained, held_out = (loss_of(model, fixed[name]).item() for name in (TRAINED, TESTED))
    harms = harm_of_each_head(model, fixed[TESTED], num_heads)
    return {
        "steps": STEPS,
        "parameters": count_parameters(model),
        "learning rate": rate,
        "training loss": trained,
        "held-out loss": held_out,
        "gap": held_out - trained,
        "overlap": overlap_of(model, fixed[TESTED]),
        "least harm": min(harms),
        "most harm": max(harms),
        "harmless heads": sum(harm < 0.01 for harm in harms) / len(harms),
    }
