"""Four layers on real text (chapter 18): how far does each look, and what does it cost to share their parameters?

Shakespeare letter by letter. *separate* layers have parameters of their own, *shared* is one layer four times, and
*shared, wide* is one layer four times that is wider, to have as many parameters as *separate*. Each arm has the rate
that did best on the validation plays after 200 steps with seed 100, of 3e-3, 6e-3, 1e-2 and 2e-2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import watch
from lib.data.shakespeare import plays
from lib.masks import causal_mask
from lib.training import count_parameters, fit, seed_everything
from lib.transformer import EncoderLayer

LENGTH, LAYERS, HEADS, STEPS = 48, 4, 4, 400
LEARNING_RATES = {"separate": 2e-2, "shared": 2e-2, "shared, wide": 1e-2}
WIDTHS = {"separate": 32, "shared": 32, "shared, wide": 60}
ARMS = tuple(WIDTHS)
VALIDATION, TESTED = ("macbeth", "twelfth_night"), ("lear", "tempest")
WINDOW = 4


class LetterStack(nn.Module):
    """Predict each next letter from those before it, with a stack of causal layers."""

    def __init__(self, d_model: int, vocab_size: int, *, shared: bool) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(vocab_size, d_model), nn.Embedding(LENGTH, d_model)
        for embedding in (self.letters, self.places):
            nn.init.normal_(embedding.weight, std=0.3)
        layers = [EncoderLayer(d_model, HEADS, 4 * d_model) for _ in range(1 if shared else LAYERS)]
        self.layers = nn.ModuleList(layers * LAYERS if shared else layers)
        self.norm = nn.LayerNorm(d_model)
        self.answer = nn.Linear(d_model, vocab_size)
        self.register_buffer("mask", causal_mask(LENGTH))

    def forward(self, text: Tensor, *, narrowed: int | None = None) -> Tensor:
        """Give the logits of the letter behind each place: (B, LENGTH) to (B, LENGTH, vocab_size).

        The layer `narrowed`, if given, sees the last WINDOW places only.
        """
        x = self.letters(text) + self.places.weight
        for number, layer in enumerate(self.layers):
            x = layer(x, self.mask.triu(1 - WINDOW) if number == narrowed else self.mask)
        return self.answer(self.norm(x))


def texts() -> tuple[Tensor, Tensor, Tensor, int]:
    """Turn the plays into numbers, one a letter: text to train on, to validate, to test, and the number of letters."""
    written = plays()
    letters = sorted(set("".join(written.values())))
    number = {letter: place for place, letter in enumerate(letters)}
    held = (*VALIDATION, *TESTED)
    parts = ([name for name in written if name not in held], VALIDATION, TESTED)
    coded = [torch.tensor([number[letter] for name in part for letter in written[name]]) for part in parts]
    return *coded, len(letters)


def windows(text: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Cut pieces of LENGTH + 1 letters out of a text: (B, LENGTH + 1)."""
    starts = torch.randint(len(text) - LENGTH, (batch, 1), generator=generator)
    return text[starts + torch.arange(LENGTH + 1)]


def loss_of(model: nn.Module, pieces: Tensor, **narrowed) -> Tensor:
    """Average the cross-entropy of the next letter, in nats."""
    return F.cross_entropy(model(pieces[:, :-1], **narrowed).flatten(0, 1), pieces[:, 1:].flatten())


def build(arm: str, vocab_size: int, d_model: int | None = None) -> LetterStack:
    """Build the untrained model of an arm."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    return LetterStack(d_model or WIDTHS[arm], vocab_size, shared=arm != "separate")


def train(arm, seed, text, vocab_size, *, d_model=None, steps=STEPS, learning_rate=None) -> LetterStack:
    """Train an arm on pieces of the text."""
    seed_everything(seed)
    model, generator = build(arm, vocab_size, d_model), torch.Generator().manual_seed(seed)
    fit(
        lambda step: loss_of(model, windows(text, 16, generator)),
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate or LEARNING_RATES[arm],
        warmup=50,
        clip=1.0,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def unread_loss(model: LetterStack, text: Tensor, **narrowed) -> float:
    """Measure the loss on 1,000 pieces, the same for every model."""
    return loss_of(model, windows(text, 1000, torch.Generator().manual_seed(10_000)), **narrowed).item()


@torch.no_grad()
def distances(model: LetterStack, text: Tensor) -> Tensor:
    """Measure how many letters back each layer and head looks on average, from the second half of the places.

    Returns:
        Tensor (layers, heads).
    """
    pieces = windows(text, 64, torch.Generator().manual_seed(30_000))[:, :-1]
    with watch(model) as weights:
        model(pieces)
    layers = torch.stack([one for calls in weights.values() for one in calls])  # (L, B, H, T, T)
    place = torch.arange(LENGTH, dtype=layers.dtype)
    back = (place[:, None] - place).clamp(min=0)  # (T, T)
    return (layers * back).sum(dim=-1)[..., LENGTH // 2 :].mean(dim=(1, 3))  # (L, H)


def run(arm: str, seed: int) -> dict:
    """Train an arm and report its loss on unread plays."""
    train_on, _, tested, vocab_size = texts()
    model = train(arm, seed, train_on, vocab_size)
    return {"loss": unread_loss(model, tested), "steps": STEPS, "parameters": count_parameters(model)}
