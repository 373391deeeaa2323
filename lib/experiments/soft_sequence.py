"""Writing a sequence backwards (chapter 15): a decoder with attention against decoders that get one fixed vector.

A recurrent encoder reads L symbols, a recurrent decoder writes them in reverse, which suits the fixed vector best: what
was read last is wanted first (Sutskever et al. 2014, arXiv:1409.3215, reverse the source for that reason). The arms
differ in what of the encoder reaches the decoder besides its first state: nothing more, the mean of all states at every
step, or a weighted sum whose weights each step chooses. The two without attention have a few parameters more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import additive_score, softmax
from lib.training import count_parameters, fit, seed_everything

SYMBOLS = 16
TRAINED_LENGTHS = tuple(range(2, 11))
TESTED_LENGTHS = (2, 4, 6, 8, 10, 12, 16, 20)
LEARNING_RATES = (1e-2, 3e-2, 6e-2)
STEPS, LONG = 500, 2500
ARMS = ("attention", "last state", "mean of states")
WIDTHS = {"attention": 24, "last state": 28, "mean of states": 26}


class Translator(nn.Module):
    """Read with a bidirectional recurrent network, write with another that may look back.

    Source: Bahdanau et al. 2014, section 3, arXiv:1409.0473. Differs: the decoder's state asks after its step and the
    answer goes into the output only, as in Luong et al. 2015, equation 5, arXiv:1508.04025, so that all steps are
    trained at once.
    """

    def __init__(self, arm: str, d_model: int) -> None:
        super().__init__()
        self.arm = arm
        self.embed = nn.Embedding(SYMBOLS + 1, d_model)  # the last one begins the output
        self.encoder = nn.GRU(d_model, d_model // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(d_model, d_model)
        self.decoder = nn.GRU(d_model, d_model, batch_first=True)
        self.answer = nn.Linear(d_model if arm == "last state" else 2 * d_model, SYMBOLS)
        if arm == "attention":
            self.w_query, self.w_key = (nn.Parameter(torch.randn(d_model, d_model) / d_model**0.5) for _ in range(2))
            self.v = nn.Parameter(torch.randn(d_model) / d_model**0.5)

    def weights(self, states: Tensor, memory: Tensor) -> Tensor:
        """Share each output step's attention among the encoder's states: (B, T, S)."""
        return softmax(additive_score(states, memory, self.w_query, self.w_key, self.v))

    def forward(self, source: Tensor, written: Tensor) -> Tensor:
        """Predict each symbol from the source (B, S) and those written before it (B, T - 1): logits (B, T, SYMBOLS)."""
        return self.answer(self.states(source, written)[0])

    def states(self, source: Tensor, written: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give what the answer is made of, (B, T, width), and the weights (B, T, S) where there are any."""
        memory, last = self.encoder(self.embed(source))  # (B, S, D), (2, B, D / 2)
        last = torch.tanh(self.bridge(last.transpose(0, 1).flatten(1)))  # (B, D)
        states, _ = self.decoder(self.embed(F.pad(written, (1, 0), value=SYMBOLS)), last[None])  # (B, T, D)
        if self.arm == "last state":
            return states, None
        weights = None
        if self.arm == "attention":
            weights = self.weights(states, memory)
            context = weights @ memory  # (B, T, D)
        else:
            context = memory.mean(1, keepdim=True).expand_as(states)
        return torch.cat([states, context], dim=-1), weights


def draw(batch: int, length: int, generator: torch.Generator) -> Tensor:
    """Draw sequences (batch, length) of symbols, uniformly and independently."""
    return torch.randint(SYMBOLS, (batch, length), generator=generator)


def loss_of(model: Translator, source: Tensor) -> Tensor:
    """Measure the cross-entropy of the source's reversal."""
    target = source.flip(1)
    return F.cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target.flatten())


def train(arm: str, seed: int, *, steps: int = STEPS, learning_rate: float = 1e-2) -> Translator:
    """Train an arm on sequences whose length changes from step to step."""
    seed_everything(seed)
    model = Translator(arm, WIDTHS[arm])
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        return loss_of(model, draw(32, TRAINED_LENGTHS[step % len(TRAINED_LENGTHS)], generator))

    rate = {"steps": steps, "learning_rate": learning_rate, "warmup": steps // 20}
    fit(loss, model.parameters(), **rate, clip=1.0, label=f"{arm}, seed {seed}")
    return model.eval()


@torch.no_grad()
def accuracy(model: Translator, length: int, seed: int) -> float:
    """Measure how many symbols of fresh sequences are right, each given those before it."""
    source = draw(500, length, torch.Generator().manual_seed(10_000 + seed))
    target = source.flip(1)
    return (model(source, target[:, :-1]).argmax(-1) == target).double().mean().item()


@torch.no_grad()
def validation_loss(model: Translator, seed: int) -> float:
    """Measure the loss at the longest trained length, on a draw that is used for nothing else."""
    return loss_of(model, draw(500, TRAINED_LENGTHS[-1], torch.Generator().manual_seed(20_000 + seed))).item()


def run(arm: str, seed: int) -> dict:
    """Train at three learning rates, then five times as long at the best of them; report the accuracy by length."""
    models = {rate: train(arm, seed, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: validation_loss(models[rate], seed))
    trained_long = train(arm, seed, steps=LONG, learning_rate=rate)
    return {
        **{f"length {length}": accuracy(models[rate], length, seed) for length in TESTED_LENGTHS},
        **{f"length {length}, long": accuracy(trained_long, length, seed) for length in TESTED_LENGTHS},
        "steps": STEPS,
        "parameters": count_parameters(trained_long),
        "learning rate": rate,
    }
