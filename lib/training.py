"""One small training loop, the same for every chapter, and what it needs."""

import math
import os
import random
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

Optimizers = Callable[..., list[torch.optim.Optimizer]]


def seed_everything(seed: int) -> np.random.Generator:
    """Seed Python, NumPy and PyTorch, so that the same seed draws the same numbers again.

    Args:
        seed: A number from 0 to 2**32 - 1.

    Returns:
        A NumPy generator with this seed, for what is drawn with NumPy.

    Raises:
        ValueError: When the seed is outside that range.

    Example:
        >>> rng = seed_everything(0)
        >>> first = torch.rand(2)
        >>> rng = seed_everything(0)
        >>> torch.equal(first, torch.rand(2))
        True
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be between 0 and {2**32 - 1} but is {seed}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training adjusts; a weight used in two places counts once.

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def shows_progress() -> bool:
    """Tell whether somebody is watching: no when `BOOK_PROGRESS` is 0 (make sets it) or `CI` is set."""
    return os.environ.get("BOOK_PROGRESS", "1") != "0" and os.environ.get("CI", "").lower() in ("", "0", "false")


def adamw(parameters: list[nn.Parameter], *, learning_rate: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Adjust everything with AdamW.

    Source: Loshchilov and Hutter 2017, arXiv:1711.05101.

    Args:
        parameters: What is adjusted.
        learning_rate: The highest learning rate.
        weight_decay: Decay of the weights towards 0.

    Returns:
        One optimiser.
    """
    return [torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)]


class Muon(torch.optim.Optimizer):
    r"""Adjust matrices by updates whose singular values are all near 1, as long as AdamW's usually are.

    $$B \leftarrow \mu B + G, \quad W \leftarrow W - \eta \left(0.2 \sqrt{\max(rows, columns)}
    \ \mathrm{NewtonSchulz}(G + \mu B) + \lambda W\right)$$

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025, section 2.2, equation 4,
    arXiv:2502.16982 (the factor).
    Differs: in float32, and matrices of one shape together; `torch.optim.Muon` computes in bfloat16, which processors
    without instructions for it do dozens of times slower.

    Args:
        matrices: Parameters with two axes.
        lr: Learning rate $\eta$, the same as would suit AdamW.
        weight_decay: $\lambda$.
        momentum: $\mu$.

    Raises:
        ValueError: When a parameter has another number of axes.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2, 2))
        >>> optimizer = Muon([weight], lr=0.1)
        >>> (weight * torch.tensor([[1.0, 0.0], [0.0, 9.0]])).sum().backward()
        >>> optimizer.step()
        >>> bool(weight[0, 0] < -0.01)  # as large a step as the other entry's, or nearly
        True
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.dim() != 2:
                    raise ValueError(f"Muon adjusts matrices, with 2 axes, but got a parameter with {matrix.dim()}")

    @torch.no_grad()
    def step(self) -> None:
        """Adjust each matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in shapes.items():
                updates = _orthogonal(torch.stack([self._ahead(one, group["momentum"]) for one in matrices]))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.sub_(update, alpha=0.2 * max(shape) ** 0.5 * group["lr"])

    def _ahead(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        """Add the gradient to the matrix's momentum and look one step ahead (Nesterov)."""
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        state["momentum"].mul_(momentum).add_(matrix.grad)
        return matrix.grad + momentum * state["momentum"]


def _orthogonal(matrices: Tensor) -> Tensor:
    """Move the singular values of each matrix (N, rows, columns) near 1, by five Newton-Schulz steps."""
    if matrices.shape[1] > matrices.shape[2]:
        return _orthogonal(matrices.mT).mT
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x  # the authors' coefficients
    return x


def muon(matrices: Iterable[nn.Parameter]) -> Optimizers:
    r"""Adjust the matrices among the given parameters with Muon, and everything else with AdamW.

    One learning rate serves both. Meant for the matrices inside a stack's layers; embeddings and the layer of the
    answers belong to AdamW.

    Source: as `Muon`.

    Args:
        matrices: Of these the parameters with two axes are Muon's, such as of `model.encoder.parameters()`.

    Returns:
        A function for the argument `optimizers` of `fit`.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> made = muon(model[0].parameters())(list(model.parameters()), learning_rate=0.1, weight_decay=0.0)
        >>> [(type(one).__name__, count) for one in made for count in [len(one.param_groups[0]["params"])]]
        [('Muon', 1), ('AdamW', 3)]
    """
    chosen = {id(parameter) for parameter in matrices if parameter.dim() == 2}

    def optimizers(parameters, *, learning_rate, weight_decay):
        inner = [parameter for parameter in parameters if id(parameter) in chosen]
        outer = [parameter for parameter in parameters if id(parameter) not in chosen]
        options = {"lr": learning_rate, "weight_decay": weight_decay}
        made = [Muon(inner, **options)] if inner else []
        return made + adamw(outer, learning_rate=learning_rate, weight_decay=weight_decay) if outer else made

    return optimizers


def fit(
    loss: Callable[[int], Tensor],
    parameters: Iterable[nn.Parameter],
    *,
    steps: int,
    learning_rate: float,
    warmup: int = 0,
    final: float = 0.0,
    weight_decay: float = 0.0,
    clip: float | None = None,
    optimizers: Optimizers = adamw,
    label: str = "training",
) -> list[float]:
    r"""Lower a loss step by step, with AdamW unless other optimisers are given.

    The learning rate rises in a straight line over the first `warmup` steps and then falls along half a cosine to the
    fraction `final` of itself; `final=1` keeps it where it is.

    Source: Loshchilov and Hutter 2017, arXiv:1711.05101 (AdamW) and arXiv:1608.03983 (cosine).

    Args:
        loss: Called with the number of the step, 0 ... steps - 1; draws a batch and returns its loss, one number.
        parameters: What is adjusted, such as `model.parameters()`.
        steps: Number of updates.
        learning_rate: The highest learning rate.
        warmup: Number of steps in which the learning rate rises; fewer than `steps`.
        final: Learning rate at the end, as a fraction of the highest.
        weight_decay: Decay of the weights towards 0.
        clip: Longest norm of the gradient; longer ones are shortened to it. Never when left out.
        optimizers: Makes the optimisers, each for its share of the parameters: `adamw`, or `muon(...)`.
        label: What the progress bar says. The bar is off where `shows_progress` says so.

    Returns:
        The loss before each update, `steps` numbers. The same seed gives the same numbers.

    Raises:
        ValueError: When there are no parameters or steps, `warmup` is not below `steps`, or the loss is not one number.
        FloatingPointError: When the loss is not finite, naming the step.

    Example:
        >>> weight = nn.Parameter(torch.tensor(5.0))
        >>> losses = fit(lambda step: (weight - 2) ** 2, [weight], steps=100, learning_rate=0.3)
        >>> losses[0], round(weight.item(), 1)
        (9.0, 2.0)
    """
    parameters = list(parameters)
    if not parameters:
        raise ValueError("fit got no parameters")
    if steps < 1:
        raise ValueError(f"steps must be at least 1 but is {steps}")
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup={warmup} must be at least 0 and below steps={steps}")
    chosen = optimizers(parameters, learning_rate=learning_rate, weight_decay=weight_decay)
    highest = [(group, group["lr"]) for optimizer in chosen for group in optimizer.param_groups]
    losses = []
    bar = tqdm(range(steps), desc=label, disable=not shows_progress())
    for step in bar:
        for group, rate in highest:
            group["lr"] = rate * _rate(step, steps, warmup, final)
        value = loss(step)
        losses.append(_checked(value, step, steps))
        for optimizer in chosen:
            optimizer.zero_grad()
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        for optimizer in chosen:
            optimizer.step()
        bar.set_postfix(loss=f"{losses[-1]:.4g}", refresh=False)
    return losses


def _rate(step: int, steps: int, warmup: int, final: float) -> float:
    """Say which fraction of the highest learning rate this step uses."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / (steps - warmup)  # 0 ... just below 1
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def _checked(value: Tensor, step: int, steps: int) -> float:
    """Turn the loss into a number, and refuse what is not one."""
    if value.numel() != 1:
        raise ValueError(f"the loss must be one number but has shape {tuple(value.shape)}: take its mean")
    number = value.item()
    if not math.isfinite(number):
        raise FloatingPointError(
            f"the loss is {number} at step {step} of {steps}: try a lower learning rate, or clip=1.0"
        )
    return number
