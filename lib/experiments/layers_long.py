"""How far does each of four layers look after longer training (chapter 18)? The separate layers of `layers`, wider."""

from lib.experiments.layers import LAYERS, WINDOW, distances, texts, train, unread_loss
from lib.training import count_parameters

STEPS, D_MODEL = 2000, 48
ARMS = ("separate",)


def run(arm: str, seed: int) -> dict:
    """Train, then measure each layer's distance and what it costs to let it see the last few letters only."""
    train_on, _, tested, vocab_size = texts()
    model = train(arm, seed, train_on, vocab_size, d_model=D_MODEL, steps=STEPS, learning_rate=3e-3)
    loss, far = unread_loss(model, tested), distances(model, tested)
    metrics = {"loss": loss, "steps": STEPS, "parameters": count_parameters(model)}
    for layer in range(LAYERS):
        metrics[f"distance {layer + 1}"] = far[layer].mean().item()
        metrics[f"nearest head {layer + 1}"] = far[layer].min().item()
        metrics[f"farthest head {layer + 1}"] = far[layer].max().item()
        metrics[f"window of {WINDOW} in {layer + 1}"] = unread_loss(model, tested, narrowed=layer) - loss
    return metrics
