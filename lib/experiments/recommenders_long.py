"""What does patience bring (chapter 09)? The networks of `recommenders`, three times as long, at a rate chosen for it.

The rates were chosen by NDCG@10 on the validation events, with the test events forgotten, at seed 0: for each network
three rates, one run of up to 1,500 steps each, looked at after 500, 1,000 and 1,500 (`trial`). A rate that lay far
behind after 500 steps was given up there, the same way for all; the best rates of DIN and SASRec lie at the ends of
what was tried. How much each network reads, and how deep it is, stays as in `recommenders`. Every run that went on was
best at its end. As `fit` lowers the rate along a cosine to 0, a run nearly always is, so that this does not show where
improvement would stop: 1,500 steps are what was paid.

With "1200 steps" pooling has the seconds that DIN took for 500 steps in `recommenders` (21.7, at 18.1 milliseconds a
step). "250 steps" is what the notebook trains while its reader waits, at the rate of the 500 steps.
"""

import copy
from collections.abc import Callable
from functools import lru_cache
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.movielens import Histories, histories
from lib.experiments.recommenders import (
    CHOSEN,
    COUNTING,
    batches,
    build,
    counted,
    each_prefix,
    hit_rate,
    interval,
    ndcg,
    network,
    ranks,
    stranger,
)
from lib.experiments.recommenders_plain import EqualWeights
from lib.models.recommender import RecommenderConfig, TargetAttention, start_from_popularity
from lib.training import count_parameters, fit, seed_everything

RECIPES = {  # network, steps, learning rate
    "pooling": ("pooling", 1500, 1e-2),  # NDCG@10 .1015; 3e-2 .1004; 3e-3 .063 after 500 steps, where 1e-2 had .083
    "DIN, equal weights": ("DIN, equal weights", 1500, 3e-2),  # .0994; 1e-2 .0923; 3e-3 .066 after 500 (1e-2: .089)
    "DIN": ("DIN", 1500, 3e-2),  # .1066; 1e-2 .1048; 3e-3 .065 after 500 (1e-2: .090)
    "SASRec": ("SASRec", 1500, 3e-3),  # .0960; 1e-2 .0899; 3e-2 .0823
    "pooling, 1200 steps": ("pooling", 1200, 1e-2),
    "DIN, 250 steps": ("DIN", 250, 3e-2),
}
ARMS = tuple(RECIPES)
OPPONENTS = ("item-kNN", "item-kNN, near", "pooling", "DIN, equal weights")


def untrained(name: str, everyone: Histories) -> nn.Module:
    """Build a network whose biases are those of popularity."""
    if name == "DIN, equal weights":
        model = EqualWeights(RecommenderConfig(everyone.num_films, window=CHOSEN["DIN"]["window"]))
    else:
        model = build(name, everyone.num_films)
    start_from_popularity(model, everyone.counts / everyone.counts.sum())
    return model


def train(
    name: str,
    everyone: Histories,
    seed: int,
    *,
    steps: int,
    learning_rate: float,
    before: Callable[[int, nn.Module], None] = lambda step, model: None,
) -> nn.Module:
    """Train as `recommenders.train` does, for as many steps as wished; `before` is called before each."""
    generator = seed_everything(seed)
    model = untrained(name, everyone)
    draw = batches(everyone.training(), generator)
    model.train()

    def loss(step: int) -> Tensor:
        before(step, model)
        films = draw()  # (BATCH, LENGTH + 1)
        return F.cross_entropy(model(films[:, :-1]).flatten(0, 1), films[:, 1:].flatten(), ignore_index=0)

    settings = {"learning_rate": learning_rate, "warmup": steps // 10, "clip": 1.0}
    fit(loss, model.parameters(), steps=steps, label=f"{name}, seed {seed}", **settings)
    return model.eval()


def trial(name: str, learning_rate: float, *, steps: int = 1500, every: int = 500) -> list[tuple[int, float, float]]:
    """Train without the test events; give HR@10 and NDCG@10 on the validation events after each `every` steps."""
    everyone, found = histories("validation"), []

    def look(step: int, model: nn.Module) -> None:
        if step and step % every == 0:
            places = ranks(everyone, network(model.eval()))
            found.append((step, float(hit_rate(places).mean()), float(ndcg(places).mean())))
            model.train()

    look(steps, train(name, everyone, 0, steps=steps, learning_rate=learning_rate, before=look))
    return found


def largest_shares(everyone: Histories, model: TargetAttention) -> np.ndarray:
    """Say which share the film that came next gives to the one that it looks at most: (people with ten films before,).

    Only the first held-out film of each is asked. With equal weights each share would be a tenth.
    """
    shares = []
    for films, n in zip(everyone.films, everyone.held_out.tolist(), strict=True):
        if n and len(films) >= 10 + n:
            with torch.no_grad():
                scores = model.scores(torch.tensor(films[None, -n - 10 : -n]))  # (1, 10, 1 + num_films)
            shares.append(float(scores[0, :, films[-n]].softmax(dim=0).max()))
    return np.array(shares)


def levelled(model: TargetAttention) -> TargetAttention:
    """Copy a trained network and give all its weights the same size, by keys of zero."""
    model = copy.deepcopy(model)
    nn.init.zeros_(model.w_key.weight)
    return model


@lru_cache(maxsize=32)
def _trained(arm: str, seed: int) -> tuple[nn.Module, float]:
    """Train for the test; give the network with the seconds of processor time."""
    (name, steps, rate), everyone = RECIPES[arm], histories("test")
    started = process_time()
    return train(name, everyone, seed, steps=steps, learning_rate=rate), process_time() - started


@lru_cache(maxsize=32)
def _found(arm: str, seed: int) -> list[np.ndarray]:
    everyone = histories("test")
    return ranks(everyone, each_prefix(counted(arm, everyone)) if arm in COUNTING else network(_trained(arm, seed)[0]))


def run(arm: str, seed: int) -> dict:
    """Train and rank as in `recommenders`; compare with neighbours, pooling and equal weights, user by user.

    Both measures, and each difference in HR@10, come with the ends of their intervals over users.
    """
    everyone = histories("test")
    model, spent = _trained(arm, seed)
    hits = hit_rate(_found(arm, seed))
    result = {}
    for name, values in (("HR@10", hits), ("NDCG@10", ndcg(_found(arm, seed)))):
        low, high = interval(values)
        result |= {name: values.mean(), f"{name}, low": low, f"{name}, high": high}
    result |= {
        "of a stranger": hit_rate(ranks(everyone, network(model), shown=stranger(everyone))).mean(),
        "CPU seconds": spent,
        "steps": RECIPES[arm][1],
        "parameters": count_parameters(model),
    }
    if RECIPES[arm][0] == "DIN":
        result["largest share"] = largest_shares(everyone, model).mean()
        result["levelled"] = hit_rate(ranks(everyone, network(levelled(model)))).mean()
    for opponent in OPPONENTS:
        gap = hits - hit_rate(_found(opponent, 0 if opponent in COUNTING else seed))
        low, high = interval(gap)
        result |= {f"minus {opponent}": gap.mean(), f"minus {opponent}, low": low, f"minus {opponent}, high": high}
    return result
