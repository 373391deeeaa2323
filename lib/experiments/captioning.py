"""Where is it looking as it says the word (chapter 11)? One writer, six ways to see the image.

All arms write English and Chinese, about scenes of two and of three digits in turn; they share the reader of single
cells, which has learned to tell digits apart beforehand (as Xu et al. take a network trained on ImageNet) and stays as
it is. Steps, batches, learning rate, optimiser and, within 2 %, parameters are equal. The learning rate is the soft
arm's, chosen on validation scenes; every arm uses it.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data.digits import handwritten_digits, shifted
from lib.data.scenes import LANGUAGES, PAD, VOCABULARY, Captions, Scenes, caption, draw_scenes
from lib.experiments.glimpses import RunningMean
from lib.hard import score_function_loss
from lib.models.captioner import (
    Captioner,
    CaptionerConfig,
    Choose,
    FlatCaptioner,
    MeanCaptioner,
    greedy_look,
    mixed_look,
    soft_look,
    straight_through_look,
)
from lib.training import count_parameters, fit, muon, seed_everything

STEPS, BATCH, TESTED, LEARNING_RATE = 320, 48, 300, 1.5e-2
ARMS = ("soft", "mean", "flat", "REINFORCE + mixing", "REINFORCE", "straight-through")
HIDDEN = {"mean": 69, "flat": 41}  # 64 where something attends


def build(arm: str) -> Captioner:
    """Build the untrained captioner of an arm, around the trained reader of cells."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    kind = {"mean": MeanCaptioner, "flat": FlatCaptioner}.get(arm, Captioner)
    model = kind(CaptionerConfig(len(VOCABULARY), hidden=HIDDEN.get(arm, 64)))
    model.encoder.read.load_state_dict(cell_reader())
    model.encoder.read.requires_grad_(False)
    return model


@cache
def cell_reader(steps: int = 200) -> dict[str, Tensor]:
    """Teach the encoder's first layers to tell single digits apart: their weights, the same for all arms and seeds."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        reader = MeanCaptioner(CaptionerConfig(len(VOCABULARY))).encoder.read
        digit = nn.Sequential(nn.ReLU(), nn.Linear(reader[-1].out_features, 10))
        images, labels = handwritten_digits("train")

        def loss(_: int) -> Tensor:
            return F.cross_entropy(digit(reader(shifted(images).flatten(1))), labels, label_smoothing=0.1)

        parameters = [*reader.parameters(), *digit.parameters()]
        fit(loss, parameters, steps=steps, learning_rate=1e-2, weight_decay=0.1, label="reader of cells")
    return reader.state_dict()


def draw(
    digits: int, count: int, generator: torch.Generator, *, split: str = "train", languages=LANGUAGES
) -> tuple[Scenes, Captions]:
    """Draw scenes, and a caption of each in a random one of the languages."""
    scenes = draw_scenes(count, digits=digits, split=split, generator=generator)
    chosen = torch.randint(len(languages), (count,), generator=generator).tolist()
    return scenes, caption(scenes, [languages[place] for place in chosen])


def caption_losses(logits: Tensor, words: Tensor) -> Tensor:
    """Add up the cross-entropies of each caption's words: (B,)."""
    each = F.cross_entropy(logits.transpose(1, 2), words[:, 1:], ignore_index=PAD, reduction="none")  # (B, T)
    return each.sum(dim=1)


def loss_of(arm: str, model: Captioner, scenes: Scenes, captions: Captions, baseline: RunningMean) -> Tensor:
    """Measure the loss of a word, with whatever gradient the arm has for its looks."""
    words, said = captions.words, (captions.words[:, 1:] != PAD).sum()
    if not arm.startswith("REINFORCE"):
        look = straight_through_look if arm == "straight-through" else soft_look
        return caption_losses(model(scenes.images, words[:, :-1], look).logits, words).sum() / said
    soft = torch.rand(len(words)) < (0.5 if arm.endswith("mixing") else 0.0)  # (B,)
    made = model(scenes.images, words[:, :-1], mixed_look(soft))
    losses = caption_losses(made.logits, words)
    usual = baseline.update(losses[~soft])
    drawn = score_function_loss(made.log_probability.sum(dim=1), losses, usual)
    return torch.where(soft, losses, drawn).sum() / said


def train(arm: str, seed: int, *, steps: int = STEPS) -> Captioner:
    """Train one captioner on scenes that are never the same twice."""
    seed_everything(seed)
    model, baseline, generator = build(arm), RunningMean(), torch.Generator().manual_seed(seed)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    inner = [w for name, w in trained.items() if w.ndim == 2 and not name.startswith(("embedding", "answer"))]

    def loss(step: int) -> Tensor:
        return loss_of(arm, model, *draw(2 + step % 2, BATCH, generator), baseline)

    rate = {"steps": steps, "learning_rate": LEARNING_RATE, "warmup": steps // 20}
    fit(loss, trained.values(), **rate, clip=1.0, optimizers=muon(inner), label=f"{arm}, seed {seed}")
    return model.eval()


def look_of(arm: str) -> Choose:
    """Say how an arm looks when it is tested: softly, or at the one region with the highest score."""
    return soft_look if arm in ("soft", "mean", "flat") else greedy_look


def exact_matches(model: Captioner, look: Choose, scenes: Scenes, captions: Captions) -> Tensor:
    """Write greedily, and say for each scene whether every word is right: (B,) Boolean."""
    wanted = captions.words[:, 1:]  # (B, T)
    written, _ = model.write(scenes.images, captions.words[:, 0], look, max_length=wanted.shape[1])
    missing = wanted.shape[1] - written.shape[1]
    written = F.pad(written, (0, missing), value=PAD)
    return ((written == wanted) | (wanted == PAD)).all(dim=1)


@torch.no_grad()
def gaze(model: Captioner, look: Choose, scenes: Scenes, captions: Captions) -> dict[str, float]:
    """Measure where the largest weight falls before each word of the right caption, by the kind of the word.

    The keys are `pointing` (digit words: on the digit named), and for relation and other words `... on the first` and
    `... on the second` digit of the clause; what is missing to 1 lies elsewhere.
    """
    best = model(scenes.images, captions.words[:, :-1], look).weights.argmax(-1)  # (B, T)

    def share(right: Tensor, kind: int) -> float:
        return right[captions.kind == kind].double().mean().item()

    found = {"pointing": share(best == captions.target, 0)}
    for kind, name in ((1, "relation"), (2, "other")):
        for place, which in enumerate(("first", "second")):
            found[f"{name} on the {which}"] = share(best == captions.pair[..., place], kind)
    return found


def evaluate(arm: str, model: Captioner, seed: int, *, split: str = "test") -> dict[str, float]:
    """Measure exact match by language and number of digits, and the gaze in scenes of two digits by language."""
    generator, result = torch.Generator().manual_seed(10_000 + seed), {}
    for digits in (2, 3):
        for language in LANGUAGES:
            made = draw(digits, TESTED, generator, split=split, languages=(language,))
            result[f"{digits} digits, {language}"] = exact_matches(model, look_of(arm), *made).double().mean().item()
            found = gaze(model, look_of(arm), *made)
            result[f"pointing, {digits} digits, {language}"] = found.pop("pointing")
            if digits == 2:
                result |= {f"{name}, {language}": value for name, value in found.items()}
    result["exact match"] = sum(result[f"2 digits, {language}"] for language in LANGUAGES) / 2
    result["three digits"] = sum(result[f"3 digits, {language}"] for language in LANGUAGES) / 2
    return result


def run(arm: str, seed: int) -> dict:
    """Train an arm and test it."""
    model = train(arm, seed)
    return evaluate(arm, model, seed) | {"steps": STEPS, "parameters": count_parameters(model)}
