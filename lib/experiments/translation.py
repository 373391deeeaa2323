"""Can a model without recurrence translate (chapter 02)? English number words and dates into Chinese.

Three models, their sizes within 3 % of each other: the Transformer, a recurrent pair whose writer looks back at the
source before each character (Bahdanau et al. 2014), and one whose writer has a single vector (Cho et al. 2014). All see
the same batches, with Muon for their matrices, which served each of them much better here than AdamW alone. Learning
rates are the best of three by validation loss after 250 steps, seed 0. The arms of equal seconds have as many steps as
fit into the Transformer's time, by the processor time of a step: about 42 ms, 60 ms and 36 ms when this was planned.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import watch, without_heads
from lib.data.number_words import PAD, VOCABULARY, Batch, Pair, decode, draw_pairs, encode
from lib.models.recurrent import BahdanauTranslator, RecurrentConfig, RecurrentTranslator
from lib.models.transformer import Transformer, TransformerConfig
from lib.training import count_parameters, fit, muon, seed_everything
from lib.transformer import PreNorm

BATCH, BATCHES = 64, 200  # of training pairs, the same for all seeds and arms
TESTED, LONGEST = 1000, 24
LONG = 12  # characters from which on an output counts as long
STEPS = 500
EQUAL_SECONDS = {"GRU, attention": 350, "GRU, no attention": 600}
ARMS = ("Transformer", *EQUAL_SECONDS, *(f"{arm}, equal seconds" for arm in EQUAL_SECONDS))
RATES = {"Transformer": 1e-2, "GRU, attention": 2e-2, "GRU, no attention": 1e-2}  # of 5e-3, 1e-2, 2e-2 and 4e-2


def build(arm: str) -> nn.Module:
    """Build the untrained model of an arm."""
    if arm == "Transformer":  # pre-norm, which learns faster here than the paper's post-norm
        return Transformer(TransformerConfig.tiny(len(VOCABULARY)), connection=PreNorm)
    if arm.startswith("GRU, attention"):
        return BahdanauTranslator(RecurrentConfig(len(VOCABULARY), hidden=54))
    if arm.startswith("GRU, no attention"):
        return RecurrentTranslator(RecurrentConfig(len(VOCABULARY), hidden=56))
    raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")


@cache
def training_batches() -> list[Batch]:
    """Draw the training pairs and put those of similar length into a batch, which saves padding."""
    pairs, some = draw_pairs(BATCH * BATCHES, part="train", seed=0), 8 * BATCH
    pieces = [sorted(pairs[at : at + some], key=_length) for at in range(0, len(pairs), some)]
    return [encode(piece[at : at + BATCH]) for piece in pieces for at in range(0, some, BATCH)]


def _length(pair: Pair) -> int:
    return len(pair.english) + len(pair.chinese)


def held_out(seed: int, part: str = "test", count: int = TESTED) -> tuple[list[Pair], Batch]:
    """Draw pairs of numbers and dates that no training pair shares."""
    pairs = draw_pairs(count, part=part, seed=seed)
    return pairs, encode(pairs)


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Measure the cross-entropy of each character, given the source and the characters before it."""
    logits = model(batch.source, batch.target[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), batch.target[:, 1:].flatten(), ignore_index=PAD)


def steps_of(arm: str) -> int:
    """Say how many steps an arm is trained for."""
    name, _, seconds = arm.partition(", equal")
    return EQUAL_SECONDS[name] if seconds else STEPS


def train(arm: str, seed: int) -> nn.Module:
    """Train an arm on batches that come in a new order in each epoch."""
    seed_everything(seed)
    model, steps = build(arm), steps_of(arm)
    batches, generator = training_batches(), torch.Generator().manual_seed(seed)
    epochs = [torch.randperm(len(batches), generator=generator) for _ in range(1 + steps // len(batches))]
    order = torch.cat(epochs).tolist()
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "embedding" not in name]

    def loss(step: int) -> Tensor:
        return loss_of(model, batches[order[step]])

    rate = {"steps": steps, "learning_rate": RATES[arm.partition(", equal")[0]], "warmup": steps // 10}
    fit(loss, model.parameters(), **rate, clip=1.0, optimizers=muon(matrices), label=f"{arm}, seed {seed}")
    return model.eval()


def matches(model: nn.Module, pairs: list[Pair], batch: Batch) -> list[bool]:
    """Translate greedily, and say for each pair whether every character is right."""
    written = decode(model.translate(batch.source, max_length=LONGEST))
    return [text == pair.chinese for text, pair in zip(written, pairs, strict=True)]


def exact_match(model: nn.Module, seed: int) -> dict[str, float]:
    """Measure the share of test pairs with every character right: of all, of the long ones, and of the dates."""
    pairs, batch = held_out(seed)
    right = matches(model, pairs, batch)
    groups = {
        "exact match": range(len(pairs)),
        "long outputs": [place for place, pair in enumerate(pairs) if len(pair.chinese) >= LONG],
        "dates": [place for place, pair in enumerate(pairs) if pair.chinese.endswith("日")],
    }
    return {name: sum(right[place] for place in places) / len(places) for name, places in groups.items()}


@torch.no_grad()
def looks(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Give where the writer looks in the source as it writes each character: by head, (B, T, S)."""
    with watch(model) as weights:
        model(batch.source, batch.target[:, :-1])
    if isinstance(model, BahdanauTranslator):
        return {"attention": torch.stack(weights["attention"], dim=1)}
    crossed = {name: calls[0] for name, calls in weights.items() if name.endswith("cross_attention")}
    return {
        f"layer {layer}, head {head + 1}": heads[:, head]
        for layer, heads in enumerate(crossed.values(), start=1)
        for head in range(heads.shape[1])
    }


def pointed(weights: Tensor, alignment: Tensor) -> float:
    """Measure how often the largest of the weights (B, T, S) falls on the word that the character translates."""
    known = alignment >= 0
    return (weights.argmax(-1) == alignment)[known].double().mean().item()


def aligned_head(model: nn.Module, seed: int) -> str:
    """Choose the head that points best on pairs of the validation part."""
    _, batch = held_out(seed, "validation", 300)
    found = {head: pointed(weights, batch.alignment) for head, weights in looks(model, batch).items()}
    return max(found, key=found.get)


def silenced(model: Transformer, kind: str):
    """Silence all attention of a kind while the block runs: `encoder`, `decoder` or `cross` (attention)."""
    ends = {"encoder": "encoder.layers.*.attention", "decoder": "*.self_attention", "cross": "*.cross_attention"}[kind]
    first, _, last = ends.partition("*")
    names = [name for name, _ in model.named_modules() if name.startswith(first) and name.endswith(last)]
    return without_heads(model, {name: range(model.config.num_heads) for name in names})


def run(arm: str, seed: int) -> dict:
    """Train an arm and test it; where it has attention, measure where it points and what it is worth."""
    model = train(arm, seed)
    result = exact_match(model, seed)
    if "no attention" not in arm:
        _, batch = held_out(seed)
        result["alignment"] = pointed(looks(model, batch)[aligned_head(model, seed)], batch.alignment)
    else:
        result["alignment"] = 0.0
    for kind in ("encoder", "decoder", "cross"):
        result[f"without {kind}"] = 0.0
        if arm == "Transformer":
            with silenced(model, kind):
                result[f"without {kind}"] = exact_match(model, seed)["exact match"]
    return result | {"steps": steps_of(arm), "parameters": count_parameters(model)}
