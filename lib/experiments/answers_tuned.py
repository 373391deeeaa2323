"""BERT's own recipe for question answering (chapter 10): a span head on the tokens, everything fine-tuned.

The questions, the draws of labels and the scores are those of `answers`. A question and its passage are read together,
[CLS] question [SEP] passage [SEP], cut into MiniLM's tokens. *MiniLM, tuned* starts from the real checkpoint, *from
scratch* from random weights of the same architecture: 6 layers, 384 wide. On both stands a new span head, and all
weights are trained, for the same steps. The answer is the best span of at most 8 tokens, as characters of the passage.

The learning rate of each arm was chosen by `validated` among 1.5e-4, 5e-4 and 1.5e-3: one draw of 64 labels (seed
100), asked 50 more questions about the people and in the wordings of training. It matched .24, .38 and .10 of them
exactly from the checkpoint, .22, .18 and .18 from random weights. No test question was looked at. Batches of 8 and the
numbers of steps were set by the time there was, not by trials.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lib.data.minilm import Pairs, minilm_pairs
from lib.data.questions import Question, questions
from lib.experiments.answers import draw, f1, known_questions, normalised
from lib.experiments.text_classes import minilm
from lib.masks import padding_mask
from lib.models.bert import BERT
from lib.models.spans import SpanHead, best_spans, span_loss
from lib.training import count_parameters, fit, seed_everything

ARMS = "MiniLM, tuned", "from scratch"
STEPS = {16: 30, 64: 60}  # for each number of labels: 15 and 7.5 times through them
BATCH = 8
LEARNING_RATE = {"MiniLM, tuned": 5e-4, "from scratch": 1.5e-4}


class Reader(nn.Module):
    """A BERT and a span head."""

    def __init__(self, bert: BERT) -> None:
        super().__init__()
        self.bert = bert
        self.head = SpanHead(bert.config.d_model)

    def forward(self, batch: Pairs) -> Tensor:
        """Score each token as start and as end: (B, T, 2)."""
        mask = padding_mask(batch.lengths, batch.tokens.shape[1])
        return self.head(self.bert(batch.tokens, batch.segments, mask))


def build(arm: str) -> Reader:
    """Build the reader of an arm: with the checkpoint's weights, or with random ones."""
    bert = BERT(minilm().config, pooler=False)
    if arm == "MiniLM, tuned":
        bert.load_state_dict(
            {name: one for name, one in minilm().state_dict().items() if not name.startswith("pooler")}
        )
    return Reader(bert)


def batch_of(asked: list[Question]) -> Pairs:
    """Cut questions and their passages into tokens."""
    return minilm_pairs([one.question for one in asked], [one.passage for one in asked])


def answer_places(batch: Pairs, asked: list[Question]) -> Tensor:
    """Find the first and the last token of each answer: (B, 2)."""
    begins = batch.inside & (batch.characters[..., 0] == torch.tensor([one.start for one in asked])[:, None])
    ends = batch.inside & (batch.characters[..., 1] == torch.tensor([one.end for one in asked])[:, None])
    return torch.stack([begins.int().argmax(dim=1), ends.int().argmax(dim=1)], dim=1)


def fused_adamw(parameters, *, learning_rate, weight_decay):
    """Adjust everything with AdamW, in one pass over the numbers: most of them are embeddings of words not met here."""
    return [torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)]


def train(arm: str, seed: int, labelled: list[Question], steps: int, *, learning_rate: float) -> Reader:
    """Fine-tune a reader on the labelled questions, in epochs of a new order each."""
    rng = seed_everything(seed)
    model = build(arm).train()
    size = min(BATCH, len(labelled))
    order = np.concatenate([rng.permutation(len(labelled)) for _ in range(size * steps // len(labelled) + 1)])

    everything = batch_of(labelled)
    places = answer_places(everything, labelled)

    def loss(step):
        chosen = order[step * size : (step + 1) * size]
        longest = int(everything.lengths[chosen].max())
        batch = Pairs(*(part[chosen][:, :longest] if part.dim() > 1 else part[chosen] for part in everything))
        return span_loss(model(batch), places[chosen], batch.inside)

    settings = {"steps": steps, "warmup": steps // 10, "weight_decay": 0.01, "clip": 1.0}
    label = f"{arm}, {len(labelled)} labels, seed {seed}"
    fit(loss, model.parameters(), learning_rate=learning_rate, optimizers=fused_adamw, label=label, **settings)
    return model.eval()


@torch.no_grad()
def read(model: Reader, asked: list[Question]) -> list[str]:
    """Answer the questions, each with a part of its passage."""
    answers = []
    for start in range(0, len(asked), 20):
        some = asked[start : start + 20]
        batch = batch_of(some)
        for one, (first, last), places in zip(
            some, best_spans(model(batch), batch.inside).tolist(), batch.characters.tolist(), strict=True
        ):
            answers.append(one.passage[places[first][0] : places[last][1]])
    return answers


def scored(said: list[str], asked: list[Question]) -> tuple[float, float]:
    """Give exact match and F1, averaged over the questions."""
    exact = [normalised(one) == normalised(right.answer) for one, right in zip(said, asked, strict=True)]
    return float(np.mean(exact)), float(np.mean([f1(one, [r.answer]) for one, r in zip(said, asked, strict=True)]))


def validated(arm: str, learning_rate: float) -> tuple[float, float]:
    """Try a learning rate: train on one draw of 64 labels and ask 50 other questions about people of training."""
    model = train(arm, 100, draw(100, 64), STEPS[64], learning_rate=learning_rate)
    asked = questions(50, seed=2)
    return scored(read(model, asked), asked)


def run(arm: str, seed: int) -> dict:
    """Give exact match and F1 of an arm for each number of labels, on the test in both wordings and on the labels."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    found = {}
    for labels, steps in STEPS.items():
        labelled = draw(seed, labels)
        model = train(arm, seed, labelled, steps, learning_rate=LEARNING_RATE[arm])
        for name, asked in (("same", "same wordings"), ("other", "other wordings")):
            part = known_questions()[asked]
            found[f"{name}_{labels}"], found[f"{name}_f1_{labels}"] = scored(read(model, part), part)
        found[f"own_{labels}"], _ = scored(read(model, labelled), labelled)
    return found | {"steps": sum(STEPS.values()), "parameters": count_parameters(build(arm))}
