"""Encoder, decoder, or both (chapter 13)? Stacks of about equal parameters on tasks of `text_to_text`.

The encoder-decoder, the model of that experiment, has two layers on each side. The other two shapes are one stack of
five layers over source and target behind each other, with one relative bias, and differ in what may attend to what: in
*decoder only* every place sees what stands before it; *encoder only* sees everything, but gets blanks in place of the
target and fills all of them at once. The tasks are the three that ask for a text; all take 200
steps, short of the end, where they differ.
"""

from functools import partial

import torch
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.data.text_tasks import END, PAD, SENTINELS
from lib.experiments.text_to_text import CONFIG, exact_match, train, training_set
from lib.masks import causal_mask
from lib.models.t5 import T5, RMSNorm
from lib.positional import RelativeBias
from lib.training import count_parameters, seed_everything
from lib.transformer import Encoder, EncoderLayer, FeedForward, PreNorm

ARMS = ("encoder-decoder", "decoder only", "encoder only")
TASKS = ("date", "plural", "sort")
LAYERS = 5
BLANKS = 12
STEPS = 200


class OneStack(nn.Module):
    """Read a source and write a target with a single stack: T5's layers, with a mask that says which shape it is.

    Args:
        shape: `decoder only` or `encoder only`.
    """

    def __init__(self, shape: str) -> None:
        super().__init__()
        if shape not in ARMS[1:]:
            raise ValueError(f"no shape {shape!r}; there are {', '.join(ARMS[1:])}")
        width, heads = CONFIG.d_model, CONFIG.num_heads
        self.at_once = shape == "encoder only"
        attention = partial(MultiHeadAttention, bias=False, scale=1.0)
        feed_forward, connection = partial(FeedForward, bias=False), partial(PreNorm, norm=RMSNorm)
        self.embedding = nn.Embedding(CONFIG.vocab_size, width)
        self.encoder = Encoder(
            [
                EncoderLayer(
                    width, heads, CONFIG.d_ff, connection=connection, attention=attention, feed_forward=feed_forward
                )
                for _ in range(LAYERS)
            ],
            RMSNorm(width),
        )
        self.bias = RelativeBias(heads, max_distance=CONFIG.max_distance, bidirectional=self.at_once)
        for layer in self.encoder.layers:  # as `T5` starts
            layer.attention.w_query.weight.data *= (width // heads) ** -0.5
            for linear in (layer.feed_forward.widen, layer.feed_forward.narrow):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def shifted(self, target: Tensor) -> Tensor:
        """Give what stands in the target's places (B, T): what came before, or nothing but blanks."""
        if self.at_once:
            return torch.full_like(target, SENTINELS[0])
        return torch.cat([torch.full_like(target[:, :1], PAD), target[:, :-1]], dim=1)

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor) -> Tensor:
        """Give the logits at the target's places: (B, S) and (B, T) to (B, T, vocab_size)."""
        S, wanted = source.shape[1], target.shape[1]
        if self.at_once:  # the same number of blanks, however long the answer will be
            target = target[:, :1].expand(-1, BLANKS)
        source, real = _to_the_right(source, source_mask)
        tokens, T = torch.cat([source, target], dim=1), target.shape[1]  # (B, S + T)
        real = torch.cat([real, torch.ones_like(target, dtype=torch.bool)], dim=1)
        sees = torch.ones_like(causal_mask(S + T)) if self.at_once else causal_mask(S + T)
        x = self.encoder(self.embedding(tokens), sees & real[:, None], bias=self.bias(S + T))[:, S : S + wanted]
        return (x * CONFIG.d_model**-0.5) @ self.embedding.weight.T

    @torch.no_grad()
    def generate(self, source: Tensor, source_mask: Tensor, *, max_length: int) -> Tensor:
        """Write the likeliest token at each place: one place after the other, or all blanks at once."""
        if self.at_once:
            blanks = self.shifted(source.new_empty(len(source), max_length))
            written = self(source, blanks, source_mask).argmax(dim=-1)
        else:
            written = source.new_empty(len(source), 0)
            for _ in range(max_length):
                given = self.shifted(torch.cat([written, written.new_zeros(len(source), 1)], dim=1))
                written = torch.cat([written, self(source, given, source_mask)[:, -1:].argmax(dim=-1)], dim=1)
        ended = (written == END).cumsum(dim=1) - (written == END).int() > 0
        return written.masked_fill(ended, PAD)


def _to_the_right(source: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move the padding to the front, so that the target stands right behind its source whatever its length."""
    order = mask.int().argsort(dim=1, stable=True)
    return source.gather(1, order), mask.gather(1, order)


def build(arm: str, seed: int) -> nn.Module:
    """Build the untrained model of an arm."""
    seed_everything(seed)
    return T5(CONFIG) if arm == "encoder-decoder" else OneStack(arm)


def run(arm: str, seed: int) -> dict:
    """Train an arm on three tasks and test each."""
    model = train(build(arm, seed), training_set(TASKS, seed), seed, steps=STEPS)
    found = {task: exact_match(model, task, seed) for task in TASKS}
    return {
        "mean": sum(found.values()) / len(TASKS),
        "worst": min(found.values()),
        **found,
        "steps": STEPS,
        "parameters": count_parameters(model),
    }
