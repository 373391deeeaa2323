"""What do models that name every letter reach with no more answers than BERT has? Beside `masked_lm` (chapter 06).

A masked model is asked for 15 % of the letters of a piece, the others for all: in 105 steps for as many letters as a
masked one in 700. So *next letter* and *two one-way models* are trained here for 105 steps, with nothing else changed.
"""

import torch

from lib.experiments import masked_lm
from lib.training import count_parameters

STEPS = round(0.15 * masked_lm.STEPS)
ARMS = ("next letter", "two one-way models")


@torch.no_grad()
def run(arm: str, seed: int) -> dict:
    """Train an arm of `masked_lm` for fewer steps and ask it the same questions."""
    read, _, tested, letters = masked_lm.texts()
    with torch.enable_grad():
        model = masked_lm.train(arm, seed, read, len(masked_lm.SPECIAL) + len(letters), steps=STEPS)
    right = masked_lm.right_guesses(model, *masked_lm.questions(tested))
    return {"accuracy": right.float().mean().item(), "steps": STEPS, "parameters": count_parameters(model)}
