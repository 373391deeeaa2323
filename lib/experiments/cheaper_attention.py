"""What cheaper attention costs in quality (chapter 14): a look-up over 32 elements, four ways to attend.

Thirty-two elements carry a name and a content, twelve of the names are distinct, and the question at the end names
one of them: a task that needs sharp attention at any distance. Two causal layers each; whoever has fewer keys and
values gets as many parameters back in the feed-forward network. All have the same steps, batches and learning rate; an
arm of its own gives linear attention twice the steps, to see whether it only learns more slowly.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.recall import Recall, recall
from lib.efficient import grouped_query_attention, linear_attention, window_mask
from lib.masks import causal_mask
from lib.training import count_parameters, fit, seed_everything

KV_HEADS = {"full": 4, "multi-query": 1, "window": 4, "linear": 4, "linear, longer": 4}
ARMS = tuple(KV_HEADS)
LENGTH, PAIRS, NUM_NAMES, NUM_CONTENTS, D_MODEL, NUM_HEADS, WINDOW, STEPS = 32, 12, 16, 8, 32, 4, 8, 300


class Layer(nn.Module):
    """Attend in one of the ways, then transform each place on its own; pre-norm, with residual connections."""

    def __init__(self, arm: str) -> None:
        super().__init__()
        self.arm, self.kv_heads = arm, KV_HEADS[arm]
        kv_width = D_MODEL // NUM_HEADS * self.kv_heads
        d_ff = 2 * D_MODEL + D_MODEL - kv_width  # a hidden unit has as many weights as a key and a value column
        self.norms = nn.ModuleList(nn.LayerNorm(D_MODEL) for _ in range(2))
        self.w_query, self.w_output = (nn.Linear(D_MODEL, D_MODEL, bias=False) for _ in range(2))
        self.w_key, self.w_value = (nn.Linear(D_MODEL, kv_width, bias=False) for _ in range(2))
        self.up, self.down = nn.Linear(D_MODEL, d_ff, bias=False), nn.Linear(d_ff, D_MODEL, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pass a sequence through: (B, T, D_MODEL) to the same."""
        normed = self.norms[0](x)
        query, key, value = (
            w(normed).unflatten(-1, (-1, D_MODEL // NUM_HEADS)).transpose(1, 2)
            for w in (self.w_query, self.w_key, self.w_value)
        )  # (B, heads, T, d_k)
        T = x.shape[1]
        if self.arm.startswith("linear"):
            heads = linear_attention(query, key, value, causal=True)
        else:
            mask = window_mask(T, window=WINDOW, causal=True) if self.arm == "window" else causal_mask(T)
            heads = grouped_query_attention(query, key, value, mask)
        x = x + self.w_output(heads.transpose(1, 2).flatten(2))
        return x + self.down(torch.relu(self.up(self.norms[1](x))))


class Reader(nn.Module):
    """Embed the elements, pass them through two layers, answer from the last place."""

    def __init__(self, arm: str) -> None:
        super().__init__()
        self.names = nn.Embedding(NUM_NAMES + 1, D_MODEL)
        self.contents = nn.Embedding(NUM_CONTENTS + 1, D_MODEL)
        self.layers = nn.Sequential(Layer(arm), Layer(arm), nn.LayerNorm(D_MODEL))
        self.answer = nn.Linear(D_MODEL, NUM_CONTENTS)

    def forward(self, data: Recall) -> Tensor:
        """Answer each question: logits (B, NUM_CONTENTS)."""
        return self.answer(self.layers(self.names(data.names) + self.contents(data.contents))[:, -1])


def draw(batch: int, generator: torch.Generator) -> Recall:
    """Draw a batch of questions."""
    return recall(batch, LENGTH, pairs=PAIRS, num_names=NUM_NAMES, num_contents=NUM_CONTENTS, generator=generator)


def train(arm: str, seed: int, *, steps: int = STEPS) -> Reader:
    """Train a reader that attends in the arm's way."""
    seed_everything(seed)
    model, generator = Reader(arm), torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        data = draw(32, generator)
        return F.cross_entropy(model(data), data.label)

    fit(loss, model.parameters(), steps=steps, learning_rate=0.005, warmup=30, clip=1.0, label=arm)
    return model.eval()


@torch.no_grad()
def accuracies(model: Reader, seed: int) -> dict[str, float]:
    """Measure how often the reader is right on new questions, in all and by how far back the answer stands."""
    data = draw(2000, torch.Generator().manual_seed(60_000 + seed))
    right = (model(data).argmax(dim=-1) == data.label).double()
    back, reach = LENGTH - data.place, 2 * (WINDOW - 1)  # two layers of a window hand on from twice as far
    return {
        "accuracy": right.mean().item(),
        "in the window": right[back < WINDOW].mean().item(),
        "in reach": right[(back >= WINDOW) & (back <= reach)].mean().item(),
        "beyond": right[back > reach].mean().item(),
    }


def run(arm: str, seed: int) -> dict:
    """Train and test an arm."""
    steps = 2 * STEPS if arm == "linear, longer" else STEPS
    model = train(arm, seed, steps=steps)
    return {**accuracies(model, seed), "steps": steps, "parameters": count_parameters(model)}
