"""Looking facts up in a memory (chapter 16): a hard look-up that is shown the facts, against ones that are not.

A question names a subject. With one hop the answer is what the fact about this subject says; with three hops the chain
goes on: what that fact names, the next is about. All arms have the same parameters, steps, batches and grid of learning
rates.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import softmax
from lib.data.facts import Facts, chained_facts
from lib.experiments.glimpses import RunningMean
from lib.hard import argmax_attention, gumbel_noise, sample_attention, score_function_loss
from lib.training import count_parameters, fit, seed_everything

ITEMS, NAMES, STEPS, BATCH, MARGIN = 12, 30, 500, 64, 1.0
LEARNING_RATES = (1e-2, 3e-2)
WAYS = ("shown the facts", "soft", "sampled")
ARMS = tuple(f"{way}, {hops} hop{'s' * (hops > 1)}" for hops in (1, 3) for way in WAYS)


class Memory(nn.Module):
    """Find the fact whose subject matches the state; what it says is the next state, and in the end the answer."""

    def __init__(self, d_model: int = 32) -> None:
        super().__init__()
        self.questions = nn.Embedding(NAMES, d_model)
        self.subjects = nn.Embedding(NAMES, d_model)
        self.objects = nn.Embedding(NAMES, d_model)
        self.next_state = nn.Linear(d_model, d_model)
        self.answer = nn.Linear(d_model, NAMES)

    def scores(self, state: Tensor, data: Facts) -> Tensor:
        """Compare the state (B, D) with the subject of every fact: (B, S)."""
        subjects = self.subjects(data.subjects)
        return torch.einsum("bd,bsd->bs", state, subjects) / state.shape[-1] ** 0.5

    def say(self, weights: Tensor, data: Facts) -> Tensor:
        """Give what the facts say, weighted: (B, D)."""
        return torch.einsum("bs,bsd->bd", weights, self.objects(data.objects))


def margin_ranking(scores: Tensor, support: Tensor) -> Tensor:
    r"""Ask that the supporting fact score at least MARGIN above every other: $\sum_i \max(0, \gamma - s_+ + s_i)$.

    Source: Weston et al. 2014, section 3.1, arXiv:1410.3916; here the sum runs over all other facts.
    """
    others = torch.ones_like(scores, dtype=torch.bool).scatter(1, support[:, None], False)
    return (F.relu(MARGIN - scores.gather(1, support[:, None]) + scores) * others).sum(dim=-1).mean()


def hops_of(
    model: Memory, data: Facts, choose: Callable[[Tensor, int], Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Follow the hops; `choose(scores, hop)` gives the weights of each. Returns logits, scores and weights."""
    state = model.questions(data.question)
    all_scores, all_weights = [], []
    for hop in range(data.support.shape[1]):
        all_scores.append(model.scores(state, data))
        all_weights.append(choose(all_scores[-1], hop))
        state = model.next_state(model.say(all_weights[-1], data))
    return model.answer(F.relu(state)), all_scores, all_weights


def loss_of_lookup(way: str, generator: torch.Generator) -> Callable[[Memory, Facts], Tensor]:
    """Give the function that turns a model and a batch into the loss that this way of looking up lowers."""
    baseline = RunningMean()

    def shown(model: Memory, data: Facts) -> Tensor:
        logits, scores, _ = hops_of(model, data, lambda s, hop: F.one_hot(data.support[:, hop], ITEMS).to(s.dtype))
        ranking = sum(margin_ranking(s, data.support[:, hop]) for hop, s in enumerate(scores))
        return F.cross_entropy(logits, data.answer) + ranking

    def soft(model: Memory, data: Facts) -> Tensor:
        return F.cross_entropy(hops_of(model, data, lambda s, _: softmax(s))[0], data.answer)

    def sampled(model: Memory, data: Facts) -> Tensor:
        log_probabilities = []

        def choose(scores: Tensor, _: int) -> Tensor:
            drawn = sample_attention(scores, gumbel_noise(scores.shape, generator=generator))
            log_probabilities.append(drawn.log_probability)
            return drawn.weights

        logits = hops_of(model, data, choose)[0]
        losses = F.cross_entropy(logits, data.answer, reduction="none")
        return score_function_loss(sum(log_probabilities), losses, baseline.update(losses)).mean()

    return {"shown the facts": shown, "soft": soft, "sampled": sampled}[way]


def train_memory(way: str, hops: int, seed: int, *, steps: int = STEPS, learning_rate: float = 1e-2) -> Memory:
    """Train one model at one learning rate."""
    seed_everything(seed)
    model = Memory()
    generator = torch.Generator().manual_seed(seed)
    loss = loss_of_lookup(way, generator)

    def step_loss(_: int) -> Tensor:
        return loss(model, chained_facts(BATCH, ITEMS, hops=hops, names=NAMES, generator=generator))

    options = {"steps": steps, "learning_rate": learning_rate, "warmup": steps // 20, "clip": 1.0}
    fit(step_loss, model.parameters(), label=f"{way}, {hops}, seed {seed}", **options)
    return model.eval()


@torch.no_grad()
def evaluate_memory(way: str, hops: int, model: Memory, seed: int, *, batch: int = 2000) -> dict[str, float]:
    """Measure a model on fresh stories: as it was trained, with every choice made hard, and the facts it finds."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    data = chained_facts(batch, ITEMS, hops=hops, names=NAMES, generator=generator)
    hard, _, weights = hops_of(model, data, lambda s, _: argmax_attention(s))
    own = hops_of(model, data, lambda s, _: softmax(s))[0] if way == "soft" else hard
    found = torch.stack([w.argmax(dim=-1) for w in weights], dim=-1) == data.support  # (B, hops)
    return {
        "accuracy": (own.argmax(-1) == data.answer).double().mean().item(),
        "read hard": (hard.argmax(-1) == data.answer).double().mean().item(),
        "all facts found": found.all(dim=-1).double().mean().item(),
        "loss": F.cross_entropy(own, data.answer).item(),
    }


def run(arm: str, seed: int) -> dict:
    """Train at each learning rate, keep the one with the lowest loss on a validation draw, and test it."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    way, hops = arm.rpartition(", ")[0], int(arm.rpartition(", ")[2][0])
    models = {rate: train_memory(way, hops, seed, learning_rate=rate) for rate in LEARNING_RATES}
    rate = min(models, key=lambda rate: evaluate_memory(way, hops, models[rate], 10_000 + seed)["loss"])
    found = evaluate_memory(way, hops, models[rate], seed)
    return {**found, "learning rate": rate, "steps": STEPS, "parameters": count_parameters(models[rate])}
