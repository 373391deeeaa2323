"""Does attention know you better than your average (chapter 09)? Three networks and four counting methods on MovieLens.

Everybody learns from the same events, those before each user's last ten ratings, and is asked for each of these ten in
turn, given all that came before it. All films compete, except those that the user has already rated. Every setting was
chosen by NDCG@10 on the ten ratings before the last ten ("validation"), with these forgotten, at one seed. The networks
get the same steps and batches, and about ten trials each of learning rates and of how much they read, or how deep they
are; the last trials stand beside `CHOSEN`. SASRec has a fifth more parameters than the other two.
"""

from collections.abc import Callable
from functools import lru_cache
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.movielens import Histories, histories
from lib.models.neighbours import ItemNeighbours, Markov, Popularity
from lib.models.recommender import AveragePooling, RecommenderConfig, SASRec, TargetAttention, start_from_popularity
from lib.training import count_parameters, fit, seed_everything

STEPS, BATCH, LENGTH = 500, 16, 30
NETWORKS = {"pooling": AveragePooling, "DIN": TargetAttention, "SASRec": SASRec}
CHOSEN = {
    "pooling": {"window": 5, "learning_rate": 3e-2},  # NDCG@10 .077; window 3 .076, 10 .074
    "DIN": {"window": 10, "learning_rate": 3e-2},  # .099; window 5 .093, 20 .092
    "SASRec": {"num_layers": 2, "learning_rate": 1e-2},  # .078; 2e-2 .060; with 1 layer less, too
}
NEIGHBOURS = {"item-kNN": {"window": None, "decay": 0.6}, "item-kNN, near": {"window": 5, "decay": 0.6}}
COUNTING = ("popularity", "Markov", *NEIGHBOURS)
ARMS = ("pooling", "DIN", "SASRec")

Scorer = Callable[[np.ndarray, int], np.ndarray]


def counted(arm: str, everyone: Histories) -> Callable[[np.ndarray], np.ndarray]:
    """Make a counting method from the training events: it scores all films for one history (T,)."""
    learnt, num_films = everyone.training(), everyone.num_films
    if arm in NEIGHBOURS:
        return ItemNeighbours(learnt, num_films, **NEIGHBOURS[arm])
    return {"popularity": Popularity, "Markov": Markov}[arm](learnt, num_films)


def build(arm: str, num_films: int, **changes) -> nn.Module:
    """Build the untrained network of an arm; `changes` replace fields of its config."""
    chosen = {name: value for name, value in CHOSEN[arm].items() if name != "learning_rate"}
    return NETWORKS[arm](RecommenderConfig(num_films, **{**chosen, **changes}))


def batches(learnt: list[np.ndarray], generator: np.random.Generator) -> Callable[[], Tensor]:
    """Draw pieces of training histories, long ones more often: (BATCH, LENGTH + 1) with 0 behind the end."""
    usable = [films for films in learnt if len(films) > 1]
    lengths = np.array([len(films) for films in usable])

    def draw() -> Tensor:
        batch = np.zeros((BATCH, LENGTH + 1), dtype=np.int64)
        for row, user in enumerate(generator.choice(len(usable), BATCH, p=lengths / lengths.sum())):
            first = generator.integers(max(1, lengths[user] - LENGTH))
            piece = usable[user][first : first + LENGTH + 1]
            batch[row, : len(piece)] = piece
        return torch.from_numpy(batch)

    return draw


def train(arm: str, everyone: Histories, seed: int, *, learning_rate: float | None = None, **changes) -> nn.Module:
    """Train a network to name the next film at every place of the training histories, by softmax over all films."""
    generator = seed_everything(seed)
    model = build(arm, everyone.num_films, **changes)
    start_from_popularity(model, everyone.counts / everyone.counts.sum())
    draw = batches(everyone.training(), generator)
    model.train()

    def loss(step: int) -> Tensor:
        films = draw()  # (BATCH, LENGTH + 1)
        logits = model(films[:, :-1])  # (BATCH, LENGTH, 1 + num_films)
        return F.cross_entropy(logits.flatten(0, 1), films[:, 1:].flatten(), ignore_index=0)

    fit(
        loss,
        model.parameters(),
        steps=STEPS,
        learning_rate=learning_rate or CHOSEN[arm]["learning_rate"],
        warmup=STEPS // 10,
        clip=1.0,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


def each_prefix(score: Callable[[np.ndarray], np.ndarray]) -> Scorer:
    """Let a counting method score what follows: for films (T,) the scores at the last n places, (n, 1 + num_films)."""
    return lambda films, n: np.stack([score(films[:place]) for place in range(len(films) - n, len(films))])


def network(model: nn.Module) -> Scorer:
    """Let a network score what follows: for films (T,) its logits at the last n places, (n, 1 + num_films).

    It reads the last LENGTH films before the end in one pass; being causal, it sees at each place only what is earlier.
    """

    @torch.no_grad()
    def score(films: np.ndarray, n: int) -> np.ndarray:
        history = torch.from_numpy(films[:-1][-LENGTH:])
        return model(history[None])[0, len(history) - n :].numpy()

    return score


def ranks(everyone: Histories, score: Scorer, *, shown: Callable[[int], np.ndarray] | None = None) -> list[np.ndarray]:
    """Rank each held-out film among all films that its user had not rated before; 1 is the best.

    Equal scores count against the film: whoever scores everything alike finds nothing.

    Args:
        everyone: Histories with held-out films.
        score: Gives the scores of all films at the last n places of a user's films.
        shown: Replaces what is read by something else: for a user's number, films (T,) that end in as many held-out
            ones. What counts as rated and what is looked for stays the user's own.

    Returns:
        For each user the ranks (n,) of the films held out that have one before them; empty for a user without any.
    """
    found = []
    for user, (films, n) in enumerate(zip(everyone.films, everyone.held_out.tolist(), strict=True)):
        n = min(n, len(films) - 1)  # nothing to go by: nobody is asked
        scores = np.array(score(films if shown is None else shown(user), n), dtype=np.float64) if n > 0 else []
        places = []
        for row, place in zip(scores, range(len(films) - n, len(films)), strict=True):
            row[0] = row[films[:place]] = -np.inf
            places.append(np.count_nonzero(row >= row[films[place]]))
        found.append(np.array(places, dtype=np.int64))
    return found


def hit_rate(found: list[np.ndarray], k: int = 10) -> np.ndarray:
    """Say for each user with held-out films which share of them stood among the first k: (users,)."""
    return np.array([(places <= k).mean() for places in found if len(places)])


def ndcg(found: list[np.ndarray], k: int = 10) -> np.ndarray:
    """Say the same with a discount: a film at rank r counts 1 / log2(1 + r), beyond k nothing: (users,)."""
    return np.array([np.where(p <= k, 1 / np.log2(1 + p), 0).mean() for p in found if len(p)])


def interval(values: np.ndarray, *, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Give the 95 % interval of a mean over users, by drawing as many users again with replacement.

    Source: Efron 1979, doi:10.1214/aos/1176344552; the percentiles of the means of `draws` such samples.
    """
    chosen = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def stranger(everyone: Histories) -> Callable[[int], np.ndarray]:
    """Show a user the films of another one instead, who has as many: the next longer history, the longest the next."""
    order = np.argsort([len(films) for films in everyone.films], kind="stable")
    other = dict(zip(order.tolist(), [*order[1:].tolist(), order[-2]], strict=True))
    return lambda user: everyone.films[other[user]]


@lru_cache(maxsize=16)
def _trained(arm: str, seed: int) -> tuple[nn.Module, float]:
    """Train a network for the test; give it with the seconds of processor time."""
    started = process_time()
    return train(arm, histories("test"), seed), process_time() - started


@lru_cache(maxsize=16)
def _hits(arm: str, seed: int) -> np.ndarray:
    everyone = histories("test")
    score = each_prefix(counted(arm, everyone)) if arm in COUNTING else network(_trained(arm, seed)[0])
    return hit_rate(ranks(everyone, score))


def run(arm: str, seed: int) -> dict:
    """Train a network and rank the held-out films; compare it with the neighbours and with pooling, user by user."""
    everyone = histories("test")
    model, spent = _trained(arm, seed)
    found = ranks(everyone, network(model))
    hits = hit_rate(found)
    result = {
        "HR@10": hits.mean(),
        "NDCG@10": ndcg(found).mean(),
        "of a stranger": hit_rate(ranks(everyone, network(model), shown=stranger(everyone))).mean(),
        "CPU seconds": spent,
        "steps": STEPS,
        "parameters": count_parameters(model),
    }
    for opponent in ("item-kNN", "item-kNN, near", "pooling"):
        gap = hits - (hits if opponent == arm else _hits(opponent, 0 if opponent in COUNTING else seed))
        low, high = interval(gap)
        result |= {f"minus {opponent}": gap.mean(), f"minus {opponent}, low": low, f"minus {opponent}, high": high}
    return result
