"""What does a task reach with all the steps for itself (chapter 13)? The two hardest tasks of `text_to_text`, alone.

As many steps for one task as *one model* has for four: four times the time for the same work, and four times the
examples of the task in each batch.
"""

from lib.experiments.text_to_text import STEPS, build, exact_match, train, training_set
from lib.training import count_parameters

ARMS = ("plural", "sort")


def run(arm: str, seed: int) -> dict:
    """Train one model on one task, and test it."""
    model = train(build("four models", seed), training_set([arm], seed), seed)
    return {"exact match": exact_match(model, arm, seed), "steps": STEPS, "parameters": count_parameters(model)}
