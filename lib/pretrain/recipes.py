"""What our checkpoints are made of: NAME of a recipe, and all that the weights depend on beside data and versions."""

from dataclasses import dataclass

from lib.models.bert import BERTConfig
from lib.models.contracts import check_share


@dataclass(frozen=True)
class Recipe:
    """How to train a masked-character model.

    Raises:
        ValueError: When a number is below its least, or warm-up and decay do not fit into the steps.
    """

    model: BERTConfig  # its vocab_size is set by the data
    steps: int
    batch: int = 32  # texts a step, of all processes together
    learning_rate: float = 1e-3
    warmup: int = 200  # first steps, in which the learning rate rises
    decay: int = 1000  # last steps, in which it falls to 0; between them it stays, so that `steps` can be chosen late
    weight_decay: float = 0.01  # of the matrices
    waves: float = 0.02  # spread of the sinusoids as which the position embeddings start; 0 keeps the model's own start
    seed: int = 0
    every: int = 250  # steps from one point of the curve to the next

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "decay", "every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 but is {getattr(self, name)}")
        if self.warmup < 0 or self.warmup + self.decay > self.steps:
            raise ValueError(f"warmup={self.warmup} and decay={self.decay} do not fit into steps={self.steps}")
        check_share("weight_decay", self.weight_decay)

    def rate(self, step: int) -> float:
        """Give the learning rate of a step, 0 ... steps - 1.

        Source: Hu et al. 2024, section 4, arXiv:2404.06395 (warm-up, stable, decay).

        Example:
            >>> recipe = Recipe(BERTConfig.tiny(), steps=8, warmup=1, decay=4, learning_rate=1.0)
            >>> [recipe.rate(step) for step in range(8)]
            [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
        """
        return self.learning_rate * min(1.0, (step + 1) / (self.warmup + 1), (self.steps - step) / self.decay)

    def is_point(self, step: int) -> bool:
        """Tell whether the curve has a point after so many steps."""
        return step == self.steps or step % self.every == 0


RECIPES = {
    "reviews_bert": Recipe(BERTConfig.tiny(d_model=192, num_heads=6, num_layers=3, d_ff=768), steps=5100, decay=1000),
    # A few seconds of work, to try the command with.
    "reviews_trial": Recipe(BERTConfig.tiny(max_length=24), steps=40, batch=8, warmup=5, decay=20, every=10),
}
