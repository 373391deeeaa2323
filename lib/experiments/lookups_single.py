"""What else could one head do (chapter 05)? Two look-ups at once, twice as many steps as in `lookups`.

Against two heads stands one head: alone, wider, with keys and values that see everything, with values that are not
linear, with a read-out that is not linear, in two layers, and with a query for each question. The last two arms ask
whether many narrow heads were only trained too briefly, and what a non-linear read-out brings to four look-ups.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.data.lookup import SimultaneousLookups
from lib.experiments.lookups import D_CUE, NUM_CLASSES, Reader, best, pointing, train
from lib.training import seed_everything

STEPS = 800
LEARNING_RATES = (3e-3, 1e-2)
BOTH = D_CUE + NUM_CLASSES


class SeesAll(Reader):
    """Keys and values are both made from cue and content, so that the weights may depend on what the items say."""

    def __init__(self) -> None:
        super().__init__(1, 2, key_width=BOTH, value_width=BOTH)

    def inputs(self, data: SimultaneousLookups) -> tuple[Tensor, Tensor, Tensor]:
        """Put cue and content of each item side by side."""
        query, cues, contents = super().inputs(data)
        items = torch.cat([cues, contents], dim=-1)  # (B, S, d_cue + NUM_CLASSES)
        return query, items, items


class NonlinearValues(SeesAll):
    """The values come from a hidden layer over cue and content, so that they need not be a sum of the two."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(BOTH, 64), nn.ReLU(), nn.Linear(64, BOTH))

    def inputs(self, data: SimultaneousLookups) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the values."""
        query, keys, items = super().inputs(data)
        return query, keys, items + self.encode(items)


class TwoLayers(Reader):
    """One head twice, the second on top of the first; narrower, so that there are not more parameters."""

    def __init__(self) -> None:
        super().__init__(1, 2, d_model=46)
        self.second = MultiHeadAttention(46, 1, key_width=D_CUE, value_width=NUM_CLASSES)

    def forward(self, data: SimultaneousLookups) -> Tensor:
        """Let the second layer ask with what the first has brought."""
        query, keys, values = self.inputs(data)
        output = self.attention(query, keys, values)
        output = output + self.second(query + output, keys, values)
        return self.read(output[:, 0]).unflatten(-1, (-1, NUM_CLASSES))


class QueryEach(Reader):
    """One head, but two queries and thus two rows of weights, each read on its own."""

    def inputs(self, data: SimultaneousLookups) -> tuple[Tensor, Tensor, Tensor]:
        """Make a query of each cue: (B, N, d_model)."""
        _, keys, values = super().inputs(data)
        return F.pad(data.queries, (0, self.attention.d_model - D_CUE)), keys, values

    def forward(self, data: SimultaneousLookups) -> Tensor:
        """Read the answer to each query from its own output."""
        answers = self.read(self.attention(*self.inputs(data))).unflatten(-1, (-1, NUM_CLASSES))  # (B, N, N, classes)
        return answers.diagonal(dim1=1, dim2=2).transpose(1, 2)  # (B, N, classes)


BUILD = {
    "two heads": lambda: Reader(2, 2),
    "one head": lambda: Reader(1, 2),
    "one head, twice as wide": lambda: Reader(1, 2, d_model=128),
    "one head, sees all": SeesAll,
    "one head, non-linear values": NonlinearValues,
    "one head, non-linear read-out": lambda: Reader(1, 2, between=nn.ReLU()),
    "two heads, non-linear read-out": lambda: Reader(2, 2, between=nn.ReLU()),
    "one head, two layers": TwoLayers,
    "one head, a query each": lambda: QueryEach(1, 2),
    "64 heads": lambda: Reader(64, 2),
    "four look-ups, two heads, non-linear read-out": lambda: Reader(2, 4, between=nn.ReLU()),
}
ARMS = tuple(BUILD)


def trained_single(arm: str, seed: int, *, steps: int = STEPS, learning_rate: float = 1e-2) -> Reader:
    """Build and train an arm, from this seed."""
    seed_everything(seed)
    return train(BUILD[arm](), _lookups(arm), seed, steps=steps, learning_rate=learning_rate)


def run(arm: str, seed: int) -> dict:
    """Train an arm at each learning rate and report the best; of one head, also how loud the two items are."""
    models = {rate: trained_single(arm, seed, learning_rate=rate) for rate in LEARNING_RATES}
    metrics = {**best(models, _lookups(arm), seed), "steps": STEPS}
    if arm in ("one head", "one head, non-linear read-out"):
        weights = pointing(models[metrics["learning rate"]], 2, seed)[0]
        metrics |= {"louder weight": weights.max().item(), "quieter weight": weights.min().item()}
    return metrics


def _lookups(arm: str) -> int:
    return 4 if arm.startswith("four") else 2
