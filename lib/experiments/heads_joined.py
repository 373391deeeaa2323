"""What heads share and how they are joined (chapter 17): own or shared projections, concatenated or averaged.

Every arm has eight heads in the model of `lib.experiments.heads`. The widths are chosen so that the attention layer has
about as many parameters as the standard one; "averaged, full width", as in graph attention networks, has more.
"""

from torch import Tensor, nn

from lib.attention import attention_weights, scaled_dot_product_attention
from lib.experiments.heads import (
    D_MODEL,
    LEARNING_RATE,
    STEPS,
    RelationReader,
    best_of_rates,
    draw_for_test,
    results,
    train,
)
from lib.training import count_parameters

NUM_HEADS = 8
SHAPES = {
    "concatenated": {"width": 4, "value_width": 4},
    "averaged": {"width": 4, "value_width": 7, "average": True},
    "averaged, full width": {"width": 4, "value_width": D_MODEL, "average": True},
    "grouped-query": {"width": 6, "value_width": 6, "key_sets": 2},
    "multi-query": {"width": 7, "value_width": 7, "key_sets": 1},
    "tied": {"width": 12, "value_width": 12, "key_sets": 1, "query_sets": 1},
}
ARMS = (*SHAPES, "averaged, long", "tied, long")


class JoinedHeads(nn.Module):
    """Self-attention whose heads own or share their projections, and are concatenated or averaged before the last one.

    Source: Shazeer 2019, arXiv:1911.02150 (one set of keys and values); Ainslie et al. 2023, arXiv:2305.13245 (some);
    Velickovic et al. 2017, equation 6, arXiv:1710.10903 (averaged).

    Args:
        d_model: Width of input and output.
        num_heads: Number of heads H.
        width: Width of a head's queries and keys.
        value_width: Width of a head's values.
        query_sets: Number of different query projections; divides `num_heads`, which it is when left out.
        key_sets: Number of different key and value projections; likewise.
        average: Whether the heads' outputs are averaged instead of concatenated.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        width: int,
        value_width: int,
        query_sets: int | None = None,
        key_sets: int | None = None,
        average: bool = False,
    ) -> None:
        super().__init__()
        self.d_model, self.num_heads, self.average = d_model, num_heads, average
        self.query_sets = num_heads if query_sets is None else query_sets
        self.key_sets = num_heads if key_sets is None else key_sets
        self.w_query = nn.Linear(d_model, self.query_sets * width)
        self.w_key = nn.Linear(d_model, self.key_sets * width)
        self.w_value = nn.Linear(d_model, self.key_sets * value_width)
        self.w_output = nn.Linear(value_width if average else num_heads * value_width, d_model)
        for linear in (self.w_query, self.w_key, self.w_value, self.w_output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def _heads(self, x: Tensor, sets: int) -> Tensor:
        """Split (B, T, sets * width) and hand each set to as many heads: (B, H, T, width)."""
        B, T, D = x.shape
        split = x.reshape(B, T, sets, D // sets).transpose(1, 2)  # (B, sets, T, width)
        return split.repeat_interleave(self.num_heads // sets, dim=1)

    def forward(self, x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Let each place of x (B, T, d_model) gather from the others what it needs."""
        query, key = self._heads(self.w_query(x), self.query_sets), self._heads(self.w_key(x), self.key_sets)
        heads = scaled_dot_product_attention(query, key, self._heads(self.w_value(x), self.key_sets), mask, bias=bias)
        joined = heads.mean(1) if self.average else heads.transpose(1, 2).flatten(2)  # (B, T, value_width or H times)
        return self.w_output(joined)

    def attention_weights(self, x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Compute the weights that `forward` uses: (B, H, T, T)."""
        query, key = self._heads(self.w_query(x), self.query_sets), self._heads(self.w_key(x), self.key_sets)
        return attention_weights(query, key, mask, bias=bias)


def build(arm: str) -> RelationReader:
    """Build the untrained model of an arm."""
    model = RelationReader(NUM_HEADS)
    model.encoder.layers[0].attention = JoinedHeads(D_MODEL, NUM_HEADS, **SHAPES[arm])
    return model


def run(arm: str, seed: int) -> dict:
    """Report the best of three learning rates, or of one with four times the steps."""
    data, shape = draw_for_test(seed), arm.removesuffix(", long")
    if arm.endswith("long"):
        steps, rate = 4 * STEPS, LEARNING_RATE
        model = train(lambda: build(shape), seed, steps=steps, label=arm)
    else:
        steps = STEPS
        rate, models = best_of_rates(lambda: build(shape), seed, arm)
        model = models[rate]
    attention = count_parameters(model.encoder.layers[0].attention)
    return {"steps": steps, "learning rate": rate, "in attention": attention, **results(model, data)}
