"""Does filling holes first help to judge sentences later (chapter 13)? With few labels and with more.

The judgement: does the verb agree with its subject? Pre-training fills holes in sentences that nobody has judged;
fine-tuning shows sentences with their judgement. There are two fair opponents: *from scratch* takes as many steps in
all, every one of them on judgements; *briefly* takes only the steps of fine-tuning, as if pre-training cost nothing.
"""

import random
from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lib.data.text_tasks import END, PAD, SENTINELS, encode, examples, sentence
from lib.experiments.text_to_text import CONFIG, exact_match, tensors, train
from lib.models.t5 import T5, span_corruption
from lib.training import count_parameters, seed_everything

PRETRAIN, FINE_TUNE = 180, 120
LABELS = {"few": 40, "more": 300}
ARMS = ("pre-trained", "from scratch", "briefly")


def with_holes(seed: int, *, number: int = 4000) -> tuple[Tensor, Tensor]:
    """Draw sentences and cut holes into them: sources (B, S) and targets (B, T), padded.

    No sentence of the tests is among them, right or wrong.
    """
    rng, draw = random.Random(f"holes {seed}"), torch.Generator().manual_seed(seed)
    kept_for_tests = {stem(one.source) for one in examples("judge", 300, seed=seed, test=True)}
    sources, targets, end = [], [], torch.tensor([END])
    while len(sources) < number:
        text = sentence(rng)
        if stem(text) in kept_for_tests:
            continue
        tokens = encode([text])[0, :-1]
        source, target = span_corruption(tokens, sentinels=SENTINELS, generator=draw)
        sources.append(torch.cat([source, end]))
        targets.append(torch.cat([target, end]))
    return tuple(pad_sequence(rows, batch_first=True, padding_value=PAD) for rows in (sources, targets))


def stem(text: str) -> str:
    """Give what a sentence and its wrong twin have in common: all but the verb's ending, without a prefix."""
    return text.removeprefix("judge: ").removesuffix("s")


def run(arm: str, seed: int) -> dict:
    """Pre-train where the arm says so, show a copy few judgements and another copy more, and test both.

    *From scratch* is shown few only: with more judgements even *briefly* leaves nothing to gain.
    """
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    seed_everything(seed)
    start = T5(CONFIG)
    if arm == "pre-trained":
        start = train(start, with_holes(seed), seed, steps=PRETRAIN).train()
    found = {}
    for name, number in LABELS.items():
        if (arm, name) != ("from scratch", "more"):
            judged = tensors(examples("judge", number, seed=seed))
            steps = PRETRAIN + FINE_TUNE if arm == "from scratch" else FINE_TUNE
            found[name] = exact_match(train(deepcopy(start), judged, seed, steps=steps), "judge", seed)
    return {
        **found,
        "steps": FINE_TUNE if arm == "briefly" else PRETRAIN + FINE_TUNE,
        "parameters": count_parameters(start),
    }
