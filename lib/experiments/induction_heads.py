"""Which heads do the work (chapter 18)? Pattern scores and removals in the two-layer models of `induction`."""

from lib.experiments.induction import STEPS, accuracy, pattern_scores, train
from lib.training import count_parameters

ARMS = ("two layers", "two layers, shared")


def run(arm: str, seed: int) -> dict:
    """Train at one rate; report, layer by layer, the best head's pattern scores and what is left without the layer."""
    model = train(arm, seed, learning_rate=1e-2)
    before, onto = (scores.max(dim=-1).values.tolist() for scores in pattern_scores(model, seed))
    metrics = {"accuracy": accuracy(model, seed), "steps": STEPS, "parameters": count_parameters(model)}
    for layer in (0, 1):
        metrics[f"previous-token score {layer + 1}"] = before[layer]
        metrics[f"induction score {layer + 1}"] = onto[layer]
        metrics[f"accuracy without layer {layer + 1}"] = accuracy(model, seed, without=layer)
    return metrics
