"""How many images does it take (chapter 08)? The models of `digits`, from fewer images; all else stays the same.

The steps stay, too: a network sees the same number of images, only fewer different ones.
"""

from lib.experiments import digits
from lib.training import count_parameters

SIZES = (50, 100, 200, 500)
ARMS = ("ViT", "CNN", "SVM", "logistic", "ViT, shifts", "CNN, shifts")


def run(arm: str, seed: int) -> dict:
    """Train an arm on each size and test it; with shifts on two of the sizes."""
    test, found, parameters = digits.seen(arm, "test", seed), {}, 0
    for size in SIZES[::2] if "shifts" in arm else SIZES:
        if arm in ("SVM", "logistic"):
            model = digits.classical(arm, seed, size=size)
            found[f"accuracy {size}"] = float(model.score(*digits.pixels(test)))
        else:
            model = digits.train(arm, seed, size=size)
            found[f"accuracy {size}"] = digits.accuracy(model, test)
            parameters = count_parameters(model)
    return {**found, "steps": digits.steps_of(arm) if parameters else 0, "parameters": parameters}
