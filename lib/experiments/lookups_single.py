"""What else could one head do (chapter 05)? Two look-ups at once, with the steps of `lookups` unless it says longer.

One head is trained three times as long, made wider, given keys and values that see everything, values that are not
linear, a read-out that is not linear, a second layer, or a query for each question. The last two arms ask what a
non-linear read-out brings to four look-ups, and whether many narrow heads were only trained too briefly.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.data.lookup import SimultaneousLookups
from lib.experiments.lookups import D_CUE, NUM_CLASSES, STEPS, Reader, best, pointing, train
from lib.training import seed_everything

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
    "one head, longer": lambda: Reader(1, 2),
    "one head, twice as wide": lambda: Reader(1, 2, d_model=128),
    "one head, sees all": SeesAll,
    "one head, non-linear values": NonlinearValues,
    "one head, non-linear read-out": lambda: Reader(1, 2, between=nn.ReLU()),
    "one head, two layers": TwoLayers,
    "one head, a query each": lambda: QueryEach(1, 2),
    "four look-ups, two heads, non-linear read-out": lambda: Reader(2, 4, between=nn.ReLU()),
    "64 heads, longer": lambda: Reader(64, 2),
}
ARMS = tuple(BUILD)


def run(arm: str, seed: int) -> dict:
    """Train an arm at each learning rate and report the best; of one plain head, also how loud the two items are."""
    lookups, steps = 4 if arm.startswith("four") else 2, 3 * STEPS if arm.endswith("longer") else STEPS
    models = {}
    for rate in LEARNING_RATES:
        seed_everything(seed)
        models[rate] = train(BUILD[arm](), lookups, seed, steps=steps, learning_rate=rate)
    metrics = {**best(models, lookups, seed), "steps": steps}
    if arm in ("one head, longer", "one head, non-linear read-out"):
        weights = pointing(models[metrics["learning rate"]], 2, seed)[0]
        metrics |= {"louder weight": weights.max().item(), "quieter weight": weights.min().item()}
    return metrics
