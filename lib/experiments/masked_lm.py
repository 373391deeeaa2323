"""What is the context on the right worth (chapter 06)? The same BERT guesses hidden letters of Shakespeare.

*both sides*, *left only* and *right only* are trained on the same hidden letters and differ in their mask alone. *next
letter* sees the left side as well, but is trained as a language model is: with nothing hidden, to name the letter that
follows at every place. *two one-way models* joins such a model with its mirror image that reads from the right; each is
narrower, so that both together have about as many parameters, and only the head sees both. All are asked the same: one
hidden letter in a piece of an unread play.

BERT's start, weights of spread 0.02, is made for a width of 768; at a width of 64 a trial learned nothing in 300 steps.
All arms start with larger weights, and with positions that say which places are near. The learning rates are those that
did best on the validation plays after 300 steps with seed 100: of 3.5e-3, 7e-3, 1.4e-2 and 2.8e-2 for *both sides*, of
the last three for *next letter*, of the middle two for *left only*, whose rate *right only* shares, and for *two
one-way models*.
"""

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.shakespeare import plays
from lib.masks import causal_mask
from lib.models.bert import BERT, BERTConfig, BERTForMaskedLM, MaskedTokenHead, mask_tokens
from lib.positional import LearnedPositions, sinusoidal_positions
from lib.training import count_parameters, fit, muon, seed_everything

MASK, CLS, SEP = SPECIAL = range(3)
LENGTH, BATCH, STEPS = 16, 64, 700
EDGE = 3  # letters at either end of a piece that are also looked at apart
LEARNING_RATES = {
    "both sides": 7e-3,
    "left only": 7e-3,
    "right only": 7e-3,
    "next letter": 1.4e-2,
    "two one-way models": 1.4e-2,
}
ARMS = tuple(LEARNING_RATES)
VALIDATION, TESTED = ("macbeth", "twelfth_night"), ("lear", "tempest")


def texts() -> tuple[Tensor, Tensor, Tensor, str]:
    """Turn the plays into numbers from 3 on, one a letter: to train on, to validate, to test, and the letters."""
    written = {name: re.sub(r"\s+", " ", play).lower() for name, play in plays().items()}
    letters = "".join(sorted(set("".join(written.values()))))
    number = {letter: place for place, letter in enumerate(letters, len(SPECIAL))}
    held = (*VALIDATION, *TESTED)
    parts = ([name for name in written if name not in held], VALIDATION, TESTED)
    return *(torch.tensor([number[c] for name in part for c in written[name]]) for part in parts), letters


def pieces(text: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Cut pieces of LENGTH letters out of a text, each between [CLS] and [SEP]: (B, LENGTH + 2)."""
    starts = torch.randint(len(text) - LENGTH, (number, 1), generator=generator)
    return F.pad(F.pad(text[starts + torch.arange(LENGTH)], (1, 0), value=CLS), (0, 1), value=SEP)


class HiddenLetters(BERTForMaskedLM):
    """A BERT that guesses hidden letters from both of their sides, or from one."""

    def __init__(self, config: BERTConfig, side: str) -> None:
        super().__init__(config)
        causal = causal_mask(config.max_length)
        self.sight = {"both": None, "left": causal, "right": causal.T}[side]  # True = may attend

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Hide 15 % of the letters, as BERT does, and compare the guesses with what stood there."""
        size = self.config.vocab_size
        seen, chosen = mask_tokens(tokens, mask_id=MASK, vocab_size=size, special=SPECIAL, generator=generator)
        return F.cross_entropy(self(seen, mask=self.sight, where=chosen), tokens[chosen])

    def answers(self, tokens: Tensor, asked: Tensor) -> Tensor:
        """Give the logits of the asked letters, which are hidden: (N, vocab_size)."""
        return self(tokens.masked_fill(asked, MASK), mask=self.sight, where=asked)


class NextLetter(BERTForMaskedLM):
    """A BERT with a causal mask that names the letter behind each place."""

    def loss(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """Compare the guesses at every place with the letter that follows; nothing is hidden."""
        asked = tokens >= len(SPECIAL)
        return F.cross_entropy(self.answers(tokens, asked), tokens[asked])

    def answers(self, tokens: Tensor, asked: Tensor) -> Tensor:
        """Give the logits of the asked letters, from the place before each."""
        return self(tokens, mask=causal_mask(tokens.shape[1]), where=asked.roll(-1, dims=1))


class TwoOneWayModels(nn.Module):
    """An encoder that reads from the left and one that reads from the right; they meet only in the head."""

    loss = NextLetter.loss

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.left, self.right = BERT(config, pooler=False), BERT(config, pooler=False)
        self.head = MaskedTokenHead(BERTConfig.tiny(vocab_size=config.vocab_size, d_model=2 * config.d_model))

    def answers(self, tokens: Tensor, asked: Tensor) -> Tensor:
        """Give the logits of the asked letters, from the place before and the place behind each."""
        causal = causal_mask(tokens.shape[1])
        before = self.left(tokens, mask=causal)[asked.roll(-1, dims=1)]  # (N, d_model)
        behind = self.right(tokens, mask=causal.T)[asked.roll(1, dims=1)]  # (N, d_model)
        embeddings = [side.embeddings.tokens.weight for side in (self.left, self.right)]
        return self.head(torch.cat([before, behind], dim=-1), torch.cat(embeddings, dim=-1))


def build(arm: str, vocab_size: int) -> nn.Module:
    """Build the untrained model of an arm."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    width = 44 if arm == "two one-way models" else 64
    sizes = {"d_model": width, "num_heads": 4, "d_ff": 2 * width, "max_length": LENGTH + 2}
    config = BERTConfig.tiny(vocab_size=vocab_size, **sizes)
    if arm == "next letter":
        model = NextLetter(config)
    else:
        model = TwoOneWayModels(config) if arm == "two one-way models" else HiddenLetters(config, arm.split()[0])
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.12)
        if isinstance(module, LearnedPositions):
            module.weight.data = 0.35 * sinusoidal_positions(*module.weight.shape)
    return model


def train(arm, seed, text, vocab_size, *, steps=STEPS, learning_rate=None, watched=()) -> nn.Module:
    """Train an arm on pieces of the text; each function of `watched` is called with step and model every 50 steps."""
    seed_everything(seed)
    model, generator = build(arm, vocab_size), torch.Generator().manual_seed(seed)

    def loss(step):
        for look in watched if step % 50 == 0 else ():
            look(step, model)
        return model.loss(pieces(text, BATCH, generator), generator)

    fit(
        loss,
        model.parameters(),
        steps=steps,
        learning_rate=learning_rate or LEARNING_RATES[arm],
        warmup=20,
        weight_decay=0.01,
        clip=1.0,
        optimizers=muon(weight for name, weight in model.named_parameters() if ".layers." in name),
        label=f"{arm}, seed {seed}",
    )
    for look in watched:
        look(steps, model)
    return model.eval()


def questions(text: Tensor, number: int = 3000) -> tuple[Tensor, Tensor]:
    """Draw pieces of a text, and one letter of each that is asked (boolean): the same for every model."""
    generator = torch.Generator().manual_seed(10_000)
    tokens = pieces(text, number, generator)
    place = torch.randint(1, LENGTH + 1, (number, 1), generator=generator)
    return tokens, torch.zeros_like(tokens, dtype=torch.bool).scatter(1, place, True)


@torch.no_grad()
def right_guesses(model: nn.Module, tokens: Tensor, asked: Tensor) -> Tensor:
    """Say which questions the model's first guess answers: boolean (N,)."""
    return model.answers(tokens, asked).argmax(dim=-1) == tokens[asked]


@torch.no_grad()
def run(arm: str, seed: int) -> dict:
    """Train an arm and ask it about unread plays.

    Returns:
        `accuracy` is the share of right guesses, `first` and `last` those among the first and the last EDGE letters of
        a piece, `loss` is in nats.
    """
    train_on, _, tested, letters = texts()
    with torch.enable_grad():
        model = train(arm, seed, train_on, len(SPECIAL) + len(letters))
    tokens, asked = questions(tested)
    right = right_guesses(model, tokens, asked).float()
    place = asked.int().argmax(dim=-1)  # 1 ... LENGTH
    first, last = right[place <= EDGE], right[place > LENGTH - EDGE]
    return {
        "accuracy": right.mean().item(),
        "first": first.mean().item(),
        "last": last.mean().item(),
        "loss": F.cross_entropy(model.answers(tokens, asked), tokens[asked]).item(),
        "steps": STEPS,
        "parameters": count_parameters(model),
    }
