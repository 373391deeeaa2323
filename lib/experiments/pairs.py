"""Two hidden words that depend on each other (chapter 12): what XLNet, BERT and a left-to-right model give them.

Three models of equal size are trained for equally many steps on the same sentences, BERT also for three times as many.
In XLNet's and BERT's training the same one to three neighbouring words are hidden; XLNet predicts them in a random
order, BERT all at once. Then the two words of a place are hidden in sentences that training never saw, and each model
is asked in several ways.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.pairs import FIRST, LENGTH, MASK, SECOND, WORDS, held_out_sentences, sentences
from lib.models.bert import BERTConfig, BERTForMaskedLM
from lib.models.gpt import GPT, GPTConfig
from lib.models.xlnet import Masks, XLNetConfig, XLNetLMHead, permutation_mask
from lib.training import count_parameters, fit, seed_everything

STEPS, LONG, BATCH = 600, 1800, 64  # a step of XLNet takes about as long as two of BERT
# Chosen by the validation loss on another seed, among 3e-3 and 6e-3, for BERT also 1.5e-3.
LEARNING_RATES = {"XLNet": 6e-3, "BERT": 3e-3, "BERT long": 3e-3, "left to right": 3e-3}
ARMS = (
    "XLNet",
    "XLNet, second word first",
    "XLNet, at once",
    "BERT, at once",
    "BERT, one at a time",
    "BERT, second word first",
    "BERT long, at once",
    "BERT long, one at a time",
    "BERT long, second word first",
    "left to right",
    "left to right, searched",
)
SEEN = [place for place in range(LENGTH) if place not in (FIRST, SECOND)]


def build(name: str) -> nn.Module:
    """Build an untrained model: XLNet, BERT or left to right, of the same size up to one per cent."""
    if name == "XLNet":
        return XLNetLMHead(XLNetConfig.tiny(len(WORDS)))
    sizes = {"vocab_size": len(WORDS), "max_length": LENGTH, "d_model": 64, "num_heads": 4, "num_layers": 2}
    if name in ("BERT", "BERT long"):
        return BERTForMaskedLM(BERTConfig(**sizes, d_ff=144, num_segments=1, dropout=0.0))
    if name == "left to right":
        return GPT(GPTConfig(**sizes, d_ff=160))
    raise ValueError(f"no model {name!r}; there are {', '.join(LEARNING_RATES)}")


def steps_of(name: str) -> int:
    """Tell for how many steps a model is trained."""
    return LONG if name == "BERT long" else STEPS


def draw_order(batch: int, generator: torch.Generator) -> tuple[Tensor, int]:
    """Draw for each sentence an order (B, 8) that ends with one to three neighbours, mixed, and how many are known."""
    hidden = int(torch.randint(1, 4, (), generator=generator))
    first = torch.randint(1, LENGTH + 1 - hidden, (batch, 1), generator=generator)  # place 0 is always known
    place = torch.arange(LENGTH)
    late = (place >= first) & (place < first + hidden)  # (B, 8)
    return (torch.rand(batch, LENGTH, generator=generator) + late).argsort(dim=-1), LENGTH - hidden


def training_loss(model: nn.Module, tokens: Tensor, order: Tensor, known: int) -> Tensor:
    """Score a model's guesses of the hidden tokens, in its own way: the mean over them, in nats."""
    if isinstance(model, GPT):
        return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    hidden = torch.zeros_like(tokens, dtype=torch.bool).scatter_(1, order[:, known:], True)  # (B, 8)
    if isinstance(model, BERTForMaskedLM):
        logits = model(tokens.masked_fill(hidden, MASK))
    else:
        logits = model(tokens, permutation_mask(order, known=known))
    return F.cross_entropy(logits[hidden], tokens[hidden])


def train(name: str, seed: int, *, steps: int | None = None, learning_rate: float | None = None, watched=()):
    """Train a model; each of `watched` is called with the step and the model every 25 steps."""
    steps = steps or steps_of(name)
    seed_everything(seed)
    model = build(name)
    generator = torch.Generator().manual_seed(seed)

    def loss(step: int) -> Tensor:
        if step % 25 == 0:
            for look in watched:
                look(step, model)
        return training_loss(model, sentences(BATCH, generator=generator), *draw_order(BATCH, generator))

    rate = LEARNING_RATES[name] if learning_rate is None else learning_rate
    fit(loss, model.parameters(), steps=steps, learning_rate=rate, warmup=20, label=f"{name}, seed {seed}")
    return model.eval()


@torch.no_grad()
def log_probabilities(model: nn.Module, tokens: Tensor, way: str = "") -> Tensor:
    """Ask a model for the log-probability (B,) of the two words of the place, everything else being given.

    Args:
        model: XLNet, BERT or the left-to-right model.
        tokens: (B, 8) sentences.
        way: The part of an arm's name behind the comma: for XLNet and BERT "at once" or "second word first", else
            (BERT: "one at a time") the first word first; for the left-to-right model "searched" or nothing.
    """
    pair = (SECOND, FIRST) if way == "second word first" else (FIRST, SECOND)
    if isinstance(model, GPT):
        return _searched(model, tokens) if way == "searched" else _read(model, tokens)[:, FIRST - 1 : SECOND].sum(-1)
    if isinstance(model, BERTForMaskedLM):
        return _guessed(model, tokens, pair, pair) if way == "at once" else _one_by_one(model, tokens, pair)
    content, query = permutation_mask(torch.tensor([*SEEN, *pair]), known=len(SEEN))
    if way == "at once":
        query[pair[1], pair[0]] = False
    return _of(model(tokens, Masks(content, query)), tokens, pair)


def _of(logits: Tensor, tokens: Tensor, places) -> Tensor:
    """Add up the log-probabilities of the tokens at some places."""
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[:, list(places), 0].sum(-1)


def _guessed(model, tokens, hidden, places) -> Tensor:
    """Hide some places and let BERT guess some of them."""
    covered = tokens.clone()
    covered[:, list(hidden)] = MASK
    return _of(model(covered), tokens, places)


def _one_by_one(model, tokens, pair) -> Tensor:
    return _guessed(model, tokens, pair, pair[:1]) + _guessed(model, tokens, pair[1:], pair[1:])


def _read(model: GPT, tokens: Tensor) -> Tensor:
    """Give the log-probability of each token but the first from those before it, (B, 7)."""
    return model(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]


def _searched(model: GPT, tokens: Tensor) -> Tensor:
    """Compare each sentence with those that have any other two words in its place: all of them, 62 times 62."""
    words = torch.arange(len(WORDS))
    answers, known = [], {}
    for sentence in tokens:
        context = tuple(sentence[SEEN].tolist())
        if context not in known:
            candidates = sentence.repeat(len(words) ** 2, 1)
            candidates[:, [FIRST, SECOND]] = torch.cartesian_prod(words, words)
            known[context] = _read(model, candidates)[:, FIRST - 1 :].sum(-1).log_softmax(-1).reshape(len(words), -1)
        answers.append(known[context][sentence[FIRST], sentence[SECOND]])
    return torch.stack(answers)


def results(model: nn.Module, way: str = "") -> dict[str, float]:
    """Ask a model about all held-out sentences: 16 contexts with 8 fitting places each, all alike."""
    logs = log_probabilities(model, held_out_sentences(), way).double()
    return {"joint": logs.mean().item(), "valid": 8 * logs.exp().mean().item()}


def disagreement(model: nn.Module) -> float:
    """Compare the two orders, sentence by sentence: by how much their log-probabilities differ, on average."""
    tokens = held_out_sentences()
    one, other = (log_probabilities(model, tokens, way) for way in ("one at a time", "second word first"))
    return (one - other).abs().mean().item()


@cache
def trained(name: str, seed: int) -> nn.Module:
    """Train a model once for all the ways in which it is asked."""
    return train(name, seed)


def run(arm: str, seed: int) -> dict:
    """Ask the model of an arm; one that was trained for an earlier arm is not trained again."""
    name, _, way = arm.partition(", ")
    model = trained(name, seed)
    found = results(model, way)
    if way in ("", "one at a time") and not isinstance(model, GPT):
        found["disagreement"] = disagreement(model)
    return {**found, "steps": steps_of(name), "parameters": count_parameters(model)}
