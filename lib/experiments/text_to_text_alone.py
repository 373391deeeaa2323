"""What does the hardest task of `text_to_text` reach with all the steps for itself (chapter 13)?

As many steps for *plural* as *one model* has for its four tasks: about the same time for one task instead of four, and
four times its examples in each batch.
"""

from lib.experiments.text_to_text import STEPS, build, exact_match, train, training_set
from lib.training import count_parameters

ARMS = ("plural",)


def run(arm: str, seed: int) -> dict:
    """Train one model on one task, and test it."""
    model = train(build("four models", seed), training_set([arm], seed), seed)
    return {"exact match": exact_match(model, arm, seed), "steps": STEPS, "parameters": count_parameters(model)}
