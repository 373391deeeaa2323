"""What of DIN is its attention (chapter 09)? The same network with equal weights, trained by the same recipe.

With equal weights each candidate gathers the same vector, so that it needs to be computed only once: an average of the
last ten films, a linear map, a dot product with each film. DIN's queries and keys fall away; everything else stays.
"""

from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.movielens import histories
from lib.experiments.recommenders import CHOSEN, STEPS, batches, hit_rate, ndcg, network, ranks
from lib.models.recommender import ItemEmbedding, ItemScores, RecommenderConfig, recent, start_from_popularity
from lib.training import count_parameters, fit, seed_everything

ARMS = ("DIN, equal weights",)


class EqualWeights(nn.Module):
    """Target attention in which every film of the history has the same weight for every candidate."""

    def __init__(self, config: RecommenderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = ItemEmbedding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.w_value = nn.Linear(config.d_model, config.d_model, bias=False)
        self.output = ItemScores(config)

    def forward(self, history: Tensor) -> Tensor:
        """Give logits (B, T, 1 + num_items) for histories (B, T)."""
        _, T = history.shape
        near = recent(T, self.config.window)
        count = (near & (history > 0)[:, None, :]).sum(dim=-1, keepdim=True).clamp(min=1)  # (B, T, 1)
        mean = near.to(torch.float32) @ self.w_value(self.dropout(self.embedding(history))) / count
        return self.output(mean)


def train(seed: int) -> nn.Module:
    """Train as `recommenders.train` trains DIN: the same batches, steps, learning rate and start."""
    generator, everyone = seed_everything(seed), histories("test")
    chosen = CHOSEN["DIN"]
    model = EqualWeights(RecommenderConfig(everyone.num_films, window=chosen["window"]))
    start_from_popularity(model, everyone.counts / everyone.counts.sum())
    draw = batches(everyone.training(), generator)
    model.train()

    def loss(step: int) -> Tensor:
        films = draw()  # (BATCH, LENGTH + 1)
        return F.cross_entropy(model(films[:, :-1]).flatten(0, 1), films[:, 1:].flatten(), ignore_index=0)

    settings = {"learning_rate": chosen["learning_rate"], "warmup": STEPS // 10, "clip": 1.0}
    fit(loss, model.parameters(), steps=STEPS, label=f"equal weights, seed {seed}", **settings)
    return model.eval()


def run(arm: str, seed: int) -> dict:
    """Train and rank as in `recommenders`."""
    started = process_time()
    model = train(seed)
    spent = process_time() - started
    found = ranks(histories("test"), network(model))
    return {
        "HR@10": hit_rate(found).mean(),
        "NDCG@10": ndcg(found).mean(),
        "CPU seconds": spent,
        "steps": STEPS,
        "parameters": count_parameters(model),
    }
