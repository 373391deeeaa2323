"""How the loss of a character GPT falls with its size and with what it reads (chapter 07): Shakespeare, plays held out.

Four widths, each four times the parameters of the one before (layers only, without embeddings), and two numbers of
steps, one four times the other: so a width at the long training costs as much as the next width at the short one. All
have the same text, batch and learning rate; the rate was chosen on the validation plays with seed 100.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.shakespeare import Characters, characters, windows
from lib.models.gpt import GPT, GPTConfig
from lib.training import count_parameters, fit, muon, seed_everything

WIDTHS, LAYERS, LENGTH, BATCH = (12, 24, 48, 96), 3, 64, 16
SHORT, LONG = 175, 700
LEARNING_RATE = 0.02
ARMS = tuple(f"d={width}, {steps} steps" for width in WIDTHS for steps in (SHORT, LONG))


def build(width: int, vocab_size: int) -> GPT:
    """Build an untrained GPT of a width; its heads are 24 wide, or as wide as the model where that is narrower."""
    return GPT(GPTConfig(vocab_size, LENGTH, d_model=width, num_heads=max(1, width // 24), num_layers=LAYERS))


def loss_of(model: GPT, pieces: Tensor) -> Tensor:
    """Average the cross-entropy of the next character, in nats, over pieces (B, LENGTH + 1)."""
    return F.cross_entropy(model(pieces[:, :-1]).flatten(0, 1), pieces[:, 1:].flatten())


def train(width: int, steps: int, seed: int, text: Characters) -> GPT:
    """Train a GPT on pieces of the training plays: Muon for the matrices of its layers, AdamW for the rest."""
    seed_everything(seed)
    model, generator = build(width, len(text.letters)), torch.Generator().manual_seed(seed)
    fit(
        lambda step: loss_of(model, windows(text.train, LENGTH, BATCH, generator)),
        model.parameters(),
        steps=steps,
        learning_rate=LEARNING_RATE,
        warmup=30,
        clip=1.0,
        optimizers=muon(model.encoder.parameters()),
        label=f"GPT, width {width}, seed {seed}",
    )
    return model.eval()


def read_in_training(steps: int, seed: int, text: Characters) -> Tensor:
    """Give the pieces that `train` draws, (steps * BATCH, LENGTH + 1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([windows(text.train, LENGTH, BATCH, generator) for _ in range(steps)])


def held_out_pieces(part: Tensor) -> Tensor:
    """Cut 800 pieces out of held-out plays, the same for every model."""
    return windows(part, LENGTH, 800, torch.Generator().manual_seed(10_000))


@torch.no_grad()
def losses_by_place(model: GPT, pieces: Tensor) -> Tensor:
    """Measure the loss after 1, 2, ... LENGTH characters have been read, (LENGTH,); its mean is the model's loss."""
    logits = torch.cat([model(some[:, :-1]) for some in pieces.split(100)])
    return F.cross_entropy(logits.transpose(1, 2), pieces[:, 1:], reduction="none").mean(dim=0)


def layer_parameters(model: GPT) -> int:
    """Count the matrices of the layers, as Kaplan et al. 2020 count a model's size (section 2.1): 12 d² a layer."""
    return sum(weight.numel() for weight in model.encoder.parameters() if weight.dim() == 2)


def run(arm: str, seed: int) -> dict:
    """Train an arm and report its loss on the held-out plays."""
    width, steps = (int(word.removeprefix("d=").removesuffix(" steps")) for word in arm.split(", "))
    text = characters()
    model = train(width, steps, seed, text)
    validation, test = (losses_by_place(model, held_out_pieces(part)) for part in (text.validation, text.test))
    return {
        "validation loss": validation.mean().item(),
        "test loss": test.mean().item(),
        "test loss, second half": test[LENGTH // 2 :].mean().item(),
        "steps": steps,
        "parameters": count_parameters(model),
        "layer parameters": layer_parameters(model),
        "characters": steps * BATCH * LENGTH,
    }
