"""When does pre-training pay for the sentiment of short Chinese reviews (chapter 10)? Five ways, 64 to 1024 labels.

*pre-trained* goes on from our checkpoint `reviews_bert`, *from scratch* trains the same architecture from random
weights for the same steps, on the same labels. *frozen* leaves the checkpoint as it is and trains a logistic regression
on its averaged hidden states. *n-grams* is a logistic regression on tf-idf of characters and pairs of characters.
*compressed n-grams* reads the same unlabelled reviews as the checkpoint did: its tf-idf and 192 directions of a
singular value decomposition (latent semantic analysis) come from all of them; then as *frozen*.

The first two are trained with 64 and with 256 labels, the others with 1024 as well.

Every seed draws its own labelled reviews from the training part; 64 of them are the first of 256, and so on. How
strongly a logistic regression is held back is chosen by cross-validation among the labelled reviews. The learning rate
was chosen on the validation part, in single runs with other draws (seeds 100 and 101) and with longer reviews, of up to
40 characters: of 1e-4, 3e-4, 5e-4 and 1e-3 for *pre-trained*, of 3e-4 and 1e-3 for *from scratch*. Both took 1e-3.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from torch import Tensor, nn

from lib.data.reviews import PAD, Reviews, reviews
from lib.masks import padding_mask
from lib.models.bert import BERT
from lib.pretrain.checkpoints import Pretrained, load
from lib.training import count_parameters, fit, seed_everything

ARMS = "pre-trained", "from scratch", "frozen", "compressed n-grams", "n-grams"
LABELS = 64, 256, 1024
STEPS = {64: 32, 256: 64}  # of 16 reviews each; with more labels the two trained arms would take minutes
LONGEST, BATCH, LEARNING_RATE = 24, 16, 1e-3


@lru_cache(maxsize=1)
def short_reviews() -> tuple[Reviews, ...]:
    """Give the reviews of at most LONGEST characters: to train, to choose, to report."""
    parts = []
    for part in reviews():
        kept = [(text, label) for text, label in zip(*part, strict=True) if len(text) <= LONGEST]
        parts.append(Reviews(*zip(*kept, strict=True)))
    return tuple(parts)


def draw(seed: int, labels: int) -> Reviews:
    """Draw the labelled reviews of a seed."""
    texts, found = short_reviews()[0]
    chosen = np.random.default_rng(seed).permutation(len(texts))[:labels]
    return Reviews(tuple(texts[i] for i in chosen), tuple(found[i] for i in chosen))


@lru_cache(maxsize=1)
def checkpoint() -> Pretrained:
    """Load the checkpoint once."""
    return load("reviews_bert")


def pooled(bert: BERT, tokens: Tensor) -> Tensor:
    """Average the hidden states of the places that hold a token: (B, T) to (B, d_model)."""
    real = tokens != PAD
    hidden = bert(tokens, mask=padding_mask(real.sum(dim=1), tokens.shape[1]))  # (B, T, d_model)
    return (hidden * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)


class Classifier(nn.Module):
    """A BERT and one linear layer on the average of its hidden states."""

    def __init__(self, bert: BERT, classes: int = 2) -> None:
        super().__init__()
        self.bert = bert
        self.output = nn.Linear(bert.config.d_model, classes)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute logits (B, classes) of tokens (B, T)."""
        return self.output(pooled(self.bert, tokens))


def build(arm: str) -> Classifier:
    """Build the classifier of an arm: with the checkpoint's weights, or with random ones."""
    model, _, _ = checkpoint()
    bert = BERT(model.config, pooler=False)
    if arm == "pre-trained":
        bert.load_state_dict(model.bert.state_dict())
    return Classifier(bert)


def train(arm: str, seed: int, labelled: Reviews, steps: int, *, learning_rate: float = LEARNING_RATE) -> Classifier:
    """Train a classifier on the labelled reviews, in epochs of a new order each."""
    rng = seed_everything(seed)
    model, vocabulary = build(arm), checkpoint().vocabulary
    tokens, labels = vocabulary.batch(labelled.texts), torch.tensor(labelled.labels)
    epochs = BATCH * steps // len(labels) + 1
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(epochs)])

    def loss(step):
        batch = order[step * BATCH : (step + 1) * BATCH]
        longest = int((tokens[batch] != PAD).sum(dim=1).max())
        return F.cross_entropy(model(tokens[batch, :longest]), labels[batch])

    settings = {
        "steps": steps,
        "learning_rate": learning_rate,
        "warmup": steps // 10,
        "weight_decay": 0.01,
        "clip": 1.0,
    }
    fit(loss, model.parameters(), label=f"{arm}, {len(labels)} labels, seed {seed}", **settings)
    return model.eval()


@torch.no_grad()
def in_batches(function, texts: tuple[str, ...]) -> np.ndarray:
    """Apply a function of tokens (B, T) to all texts, texts of equal length together: (N, ...)."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    pieces = [order[start : start + 64] for start in range(0, len(order), 64)]
    found = [function(checkpoint().vocabulary.batch([texts[i] for i in piece])) for piece in pieces]
    return torch.cat(found)[np.argsort(order)].numpy()


@lru_cache(maxsize=1)
def frozen_vectors() -> dict[str, np.ndarray]:
    """Compute the checkpoint's vector of every text that a seed may draw, and of the test: (192,) each."""
    texts = (*short_reviews()[0].texts, *short_reviews()[2].texts)
    return dict(zip(texts, in_batches(lambda tokens: pooled(checkpoint().model.bert, tokens), texts), strict=True))


def tfidf() -> TfidfVectorizer:
    """Count characters and pairs of characters; a hundred times counts less than a hundred."""
    return TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)


@lru_cache(maxsize=1)
def compressor():
    """Learn tf-idf and 192 directions from all unlabelled reviews that the checkpoint was trained with."""
    steps = tfidf().set_params(min_df=3, max_features=20_000), TruncatedSVD(192, random_state=0), Normalizer()
    return make_pipeline(*steps).fit(reviews().train.texts)


def logistic(vectors, labels):
    """Fit a logistic regression; its strength is chosen by four-fold cross-validation among these very labels."""
    choose = {"C": np.logspace(0, 3, 4)}
    return GridSearchCV(LogisticRegression(max_iter=300), choose, cv=min(4, np.bincount(labels).min())).fit(
        vectors, labels
    )


def right(arm: str, seed: int, labels: int) -> np.ndarray:
    """Train an arm and say which test reviews it classifies correctly: boolean (N,)."""
    labelled, test = draw(seed, labels), short_reviews()[2]
    if arm in ("pre-trained", "from scratch"):
        model = train(arm, seed, labelled, STEPS[labels])
        return in_batches(lambda tokens: model(tokens).argmax(dim=-1), test.texts) == test.labels
    if arm == "frozen":
        known, asked = (np.stack([frozen_vectors()[text] for text in part.texts]) for part in (labelled, test))
    else:
        reader = compressor() if arm == "compressed n-grams" else tfidf().fit(labelled.texts)
        known, asked = reader.transform(labelled.texts), reader.transform(test.texts)
    return logistic(known, labelled.labels).predict(asked) == test.labels


def run(arm: str, seed: int) -> dict:
    """Give the test accuracy of an arm for each number of labels."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    trained = arm in ("pre-trained", "from scratch")
    found = {f"labels_{labels}": float(right(arm, seed, labels).mean()) for labels in (STEPS if trained else LABELS)}
    parameters = count_parameters(build(arm)) if trained else 0 if arm == "n-grams" else 192 + 1
    return found | {"steps": sum(STEPS.values()) if trained else 0, "parameters": parameters}
