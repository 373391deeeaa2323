"""One model for several tasks, or one model for each (chapter 13)? Small T5s on tasks behind prefixes.

Every arm takes the same number of training steps and sees the same number of examples of each task: *one model* has all
tasks mixed in each batch, *four models* divide the steps between them. The small ones together have about as many
parameters as the one model.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.text_tasks import PAD, VOCAB_SIZE, Example, encode, examples
from lib.models.t5 import T5, T5Config
from lib.positional import RelativeBias
from lib.training import adamw, count_parameters, fit, muon, seed_everything

TASKS = ("judge", "date", "plural", "sort")
STEPS, BATCH, LEARNING_RATE = 800, 32, 4e-3
ARMS = ("one model", "four models", "four small models")
CONFIG = replace(T5Config.tiny(VOCAB_SIZE), d_ff=128, num_buckets=32, max_distance=64)
SMALL = replace(CONFIG, d_model=32, d_ff=48)


def build(arm: str, seed: int) -> T5:
    """Build the untrained model of an arm; of `four models` each."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    seed_everything(seed)
    return T5(SMALL if arm == "four small models" else CONFIG)


def tensors(chosen: Iterable[Example]) -> tuple[Tensor, Tensor]:
    """Turn examples into token ids: sources (B, S) and targets (B, T), padded."""
    chosen = list(chosen)
    return encode(one.source for one in chosen), encode(one.target for one in chosen)


def training_set(tasks: Iterable[str], seed: int, *, number: int = 5000) -> tuple[Tensor, Tensor]:
    """Draw so many training examples of each task."""
    return tensors(one for task in tasks for one in examples(task, number, seed=seed))


def loss_of(model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the right next token at every place of the target: the one loss for every task."""
    target = target[:, : (target != PAD).any(dim=0).sum()]
    logits = model(source, model.shifted(target), source != PAD)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)


def quick_biases(model: nn.Module) -> Callable:
    """Make the optimisers: Muon for the layers' matrices, AdamW for the rest, at a higher rate for relative biases.

    A bias has to grow by several units before a head looks at one distance only: at the rate of the other weights it
    is the last thing to be learned.
    """
    biases = {id(part.weight) for part in model.modules() if isinstance(part, RelativeBias)}
    layers = [weight for name, weight in model.named_parameters() if ".layers." in name]

    def optimizers(parameters, *, learning_rate, weight_decay):
        slow = [one for one in parameters if id(one) not in biases]
        quick = [one for one in parameters if id(one) in biases]
        made = muon(layers)(slow, learning_rate=learning_rate, weight_decay=weight_decay)
        return made + adamw(quick, learning_rate=30 * learning_rate, weight_decay=0.0)

    return optimizers


def train(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    seed: int,
    *,
    steps: int = STEPS,
    watched: Callable | None = None,
    optimizers: Callable | None = None,
) -> nn.Module:
    """Train a model on batches drawn from a training set; `watched` is called with step and model every 40 steps."""
    draw = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        if watched is not None and step % 40 == 0:
            watched(step, model)
        rows = torch.randint(len(data[0]), (BATCH,), generator=draw)
        source, target = (part[rows] for part in data)
        return loss_of(model, source[:, : (source != PAD).any(dim=0).sum()], target)

    fit(
        loss,
        model.parameters(),
        steps=steps,
        learning_rate=LEARNING_RATE,
        warmup=20,
        clip=1.0,
        optimizers=quick_biases(model) if optimizers is None else optimizers,
        label=f"{type(model).__name__}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def exact_match(model: nn.Module, task: str, seed: int, *, number: int = 300) -> float:
    """Measure how often a model writes exactly the right text for test sources, letter by letter to the end."""
    source, target = tensors(examples(task, number, seed=seed, test=True))
    written = model.generate(source, source != PAD, max_length=target.shape[1])
    written = F.pad(written, (0, target.shape[1] - written.shape[1]), value=PAD)
    return (written == target).all(dim=1).double().mean().item()


def run(arm: str, seed: int) -> dict:
    """Train an arm and test every task."""
    if arm == "one model":
        models = dict.fromkeys(TASKS, train(build(arm, seed), training_set(TASKS, seed), seed))
    else:
        each = partial(train, steps=STEPS // len(TASKS))
        models = {task: each(build(arm, seed), training_set([task], seed), seed) for task in TASKS}
    found = {task: exact_match(models[task], task, seed) for task in TASKS}
    return {
        "mean": sum(found.values()) / len(TASKS),
        "worst": min(found.values()),
        **found,
        "steps": STEPS,
        "parameters": sum(count_parameters(model) for model in {id(one): one for one in models.values()}.values()),
    }
