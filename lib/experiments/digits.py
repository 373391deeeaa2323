"""Is a Vision Transformer competitive on small images (chapter 08)? Set beside a CNN, an SVM and logistic regression.

Every arm learns from the training images of a seed's draw and is tested on the same 497 images, by which no choice was
made. The networks have the same number of parameters (within 1 %), steps and batches, and a step takes them about as
long; their recipes were chosen by the validation images of another draw. The classical models choose theirs by the
validation images of each draw. "shifts" moves every training image by up to one pixel, and trains twice as long.
"shuffled" cuts all images, of training and test, into tiles of 2 by 2 pixels and puts these in one wrong order.
"""

from functools import partial

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Tensor, nn

from lib.attention import watch
from lib.baselines import SmallCNN
from lib.data.digits import Digits, handwritten_digits, shifted
from lib.models.vit import ViT, ViTConfig, sinusoidal_start
from lib.positional import LearnedPositions
from lib.training import adamw, count_parameters, fit, muon, seed_everything

STEPS, BATCH, TRAINING_IMAGES = 200, 64, 1000
LEARNING_RATES = {"ViT": 1e-2, "CNN": 3e-2}  # of 3e-3, 1e-2 and 3e-2; the CNN is as good at 1e-1
ARMS = (
    "ViT",
    "CNN",
    "SVM",
    "logistic",
    "ViT, shifts",
    "CNN, shifts",
    "SVM, shifts",
    "logistic, shifts",
    "ViT, a quarter of the steps",
    "CNN, a quarter of the steps",
    "ViT, noise",
    "ViT, noise, plain 2",
    "ViT, noise, plain 4",
    "ViT, no positions",
    "ViT, noise, shuffled",
    "ViT, noise, plain 2, shuffled",
    "CNN, shuffled",
)
SHUFFLE = torch.randperm(16, generator=torch.Generator().manual_seed(8))  # which tile comes to each place


def build(arm: str) -> nn.Module:
    """Build the untrained network of an arm.

    "ViT": overlapping patches of 4 by 4 every 2 pixels, learned positions with a sinusoidal start; "noise" starts them
    as the paper does; "plain 2" and "plain 4" have patches of that side without overlap.
    """
    parts = arm.split(", ")
    if parts[0] == "CNN":
        return SmallCNN(1, (24, 48, 65), 10)
    side = next((int(part[-1]) for part in parts if part.startswith("plain")), None)
    cut = {"patch_size": side, "stride": side} if side else {"patch_size": 4, "stride": 2}
    positions = LearnedPositions if "noise" in parts else nn.Identity if "no positions" in parts else sinusoidal_start
    return ViT(ViTConfig.tiny(d_model=48, d_ff=96, num_layers=2, dropout=0.1, **cut), positions=positions)


def scaled(images: Tensor) -> Tensor:
    """Bring pixels from 0 ... 1 to about mean 0 and variance 1."""
    return (images - 0.3) / 0.38


def shuffled_tiles(images: Tensor, order: Tensor = SHUFFLE) -> Tensor:
    """Cut images (N, 1, 8, 8) into 16 tiles of 2 by 2 pixels and put tile order[i] at place i."""
    tiles = images.reshape(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 2, 2)[:, order]
    return tiles.reshape(-1, 4, 4, 2, 2).transpose(2, 3).reshape(-1, 1, 8, 8)


def seen(arm: str, split: str, seed: int) -> Digits:
    """Give the images of a split as an arm sees them, before any shift."""
    images, labels = handwritten_digits(split, draw=seed)
    return Digits(shuffled_tiles(images) if "shuffled" in arm else images, labels)


def steps_of(arm: str) -> int:
    """Say how many steps an arm is trained."""
    return STEPS // 4 if "quarter" in arm else 2 * STEPS if "shifts" in arm else STEPS


def train(arm: str, seed: int, *, size: int = TRAINING_IMAGES) -> nn.Module:
    """Train a network on the first `size` training images of a draw."""
    seed_everything(seed)
    model, generator = build(arm), torch.Generator().manual_seed(seed)
    images, labels = (part[:size] for part in seen(arm, "train", seed))
    model.train()

    def loss(step: int) -> Tensor:
        chosen = torch.randint(size, (BATCH,), generator=generator)
        batch = images[chosen]
        if "shifts" in arm:
            batch = shifted(batch, generator=generator)
        return F.cross_entropy(model(scaled(batch)), labels[chosen], label_smoothing=0.1)

    fit(
        loss,
        model.parameters(),
        steps=steps_of(arm),
        learning_rate=LEARNING_RATES[arm[:3]],
        warmup=steps_of(arm) // 10,
        weight_decay=0.05,
        clip=1.0,
        optimizers=muon(model.encoder.parameters()) if isinstance(model, ViT) else adamw,
        label=f"{arm}, seed {seed}",
    )
    return model.eval()


@torch.no_grad()
def right(model: nn.Module, data: Digits) -> Tensor:
    """Say for each image whether the network is right: (N,) booleans."""
    return model(scaled(data.images)).argmax(dim=-1) == data.labels


def accuracy(model: nn.Module, data: Digits) -> float:
    """Measure the share of images that a network gets right."""
    return right(model, data).double().mean().item()


def classical(arm: str, seed: int, *, size: int = TRAINING_IMAGES) -> SVC | LogisticRegression:
    """Fit an SVM or a logistic regression on the pixels, with what does best on the validation images.

    With shifts it then learns from all nine shifted copies of every training image.
    """
    train_on, validation = (seen(arm, split, seed) for split in ("train", "validation"))
    x, y = train_on.images[:size], train_on.labels[:size]
    if arm.startswith("SVM"):
        makes = [partial(SVC, C=c, gamma=gamma) for c in (1, 10, 100) for gamma in (0.03, 0.1, 0.3, 1.0)]
    else:
        makes = [partial(LogisticRegression, C=c, max_iter=300, tol=1e-3) for c in (0.1, 1, 10, 100)]
    fitted = [make().fit(*pixels(Digits(x, y))) for make in makes]
    best = max(range(len(makes)), key=lambda number: fitted[number].score(*pixels(validation)))
    if "shifts" not in arm:
        return fitted[best]
    padded = F.pad(x, (1, 1, 1, 1))
    copies = [padded[:, :, top : top + 8, left : left + 8] for top in range(3) for left in range(3)]
    return makes[best]().fit(*pixels(Digits(torch.cat(copies), y.repeat(9))))


def pixels(data: Digits) -> tuple:
    """Give images and labels as scikit-learn wants them: (N, 64) and (N,) arrays."""
    return data.images.flatten(1).numpy(), data.labels.numpy()


@torch.no_grad()
def class_token_looks(model: ViT, images: Tensor) -> Tensor:
    """Measure how much the class token attends to each patch, mean over layers and heads: (B, N), rows sum to 1."""
    with watch(model) as weights:
        model(scaled(images))
    layers = torch.stack([one for calls in weights.values() for one in calls])  # (L, B, H, T, T)
    looks = layers.mean(dim=(0, 2))[:, 0, 1:]  # (B, N)
    return looks / looks.sum(dim=-1, keepdim=True)


@torch.no_grad()
def without_patches(model: ViT, data: Digits, order: Tensor, hidden: int) -> float:
    """Measure the accuracy when nobody may look at the `hidden` first patches of each image's order (B, N)."""
    mask = torch.ones(len(data.labels), 1, 1 + order.shape[1], dtype=torch.bool)
    mask.scatter_(2, 1 + order[:, None, :hidden], False)
    answer = model.answer(model.encoder(model.embed(scaled(data.images)), mask)).argmax(dim=-1)
    return (answer == data.labels).double().mean().item()


def hidden_patches(model: ViT, data: Digits, seed: int) -> dict[str, float]:
    """Hide a third of the patches: those most looked at, those least, or any."""
    looks = class_token_looks(model, data.images)
    hidden = looks.shape[1] // 3
    chance = torch.rand(looks.shape, generator=torch.Generator().manual_seed(seed))
    return {
        f"without {which}": without_patches(model, data, by.argsort(dim=-1, descending=True), hidden)
        for which, by in (("most", looks), ("any", chance), ("least", -looks))
    }


def neighbours_alike(model: ViT) -> float:
    """Measure how much more alike the position vectors of adjacent patches are than others: the mean cosines differ."""
    vectors = model.positions.weight[1:].detach()
    side = round(len(vectors) ** 0.5)
    vectors = F.normalize(vectors - vectors.mean(dim=0), dim=-1)
    place = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).reshape(-1, 2)
    apart = (place[:, None] - place).abs().sum(dim=-1)  # (N, N)
    alike = vectors @ vectors.T
    return (alike[apart == 1].mean() - alike[apart > 1].mean()).item()


def run(arm: str, seed: int) -> dict:
    """Train an arm and test it; a ViT is also asked what it looks at."""
    test = seen(arm, "test", seed)
    if arm.startswith(("SVM", "logistic")):
        model = classical(arm, seed)
        numbers = model.support_vectors_.size + model.dual_coef_.size if arm.startswith("SVM") else model.coef_.size
        found = {"accuracy": float(model.score(*pixels(test)))}
        return {**found, "steps": int(model.n_iter_.sum()), "parameters": int(numbers + model.intercept_.size)}
    model = train(arm, seed)
    found = {"accuracy": accuracy(model, test)}
    if isinstance(model, ViT):
        found |= hidden_patches(model, test, seed)
        if isinstance(model.positions, LearnedPositions):
            found["neighbours alike"] = neighbours_alike(model)
    return {**found, "steps": steps_of(arm), "parameters": count_parameters(model)}
