"""A recipe is carried out step by step, by one process or by several, from a state that can be written and read."""

import math
import time
from dataclasses import asdict
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

from lib.pretrain.masked_reviews import Batch, MaskedReviews, generator
from lib.pretrain.recipes import Recipe

FIRST = 20  # steps whose losses are kept one by one, for whoever compares a run of their own
EXAMINED = 512  # validation texts for a point of the curve


class Training:
    """Carries out a recipe.

    Args:
        recipe: What to do.
        rank: Number of this process; only number 0 measures on the validation texts.
        processes: How many there are, in torch.distributed's default group when more than one; each takes every
            so-many-th text of a batch, and their gradients are summed.

    Raises:
        ValueError: When a batch has fewer texts than there are processes.
    """

    def __init__(self, recipe: Recipe, *, rank: int = 0, processes: int = 1) -> None:
        if recipe.batch < processes:
            raise ValueError(f"a batch of {recipe.batch} texts cannot be shared by {processes} processes")
        self.recipe, self.rank, self.processes = recipe, rank, processes
        self.task = MaskedReviews(recipe)
        self.weights = list(self.task.model.parameters())
        groups = [
            {"params": [w for w in self.weights if w.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [w for w in self.weights if w.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups)
        self.step = 0
        self.seconds = self.processor_seconds = 0.0  # the latter however busy the machine is
        self.first: list[float] = []  # loss of each of the first steps
        self.recent: list[float] = []  # losses since the last point of the curve
        self.curve: list[dict[str, float]] = []

    def advance(self) -> float:
        """Take one step.

        Returns:
            The loss of the whole batch before the step.

        Raises:
            FloatingPointError: When the loss is not finite.
        """
        begun = time.perf_counter(), time.process_time()
        whole = self.task.batch(self.step)
        # Dropout, where a recipe has it, depends on the step too: no state of a generator has to outlive it.
        torch.manual_seed(generator("dropout", self.recipe.seed, self.step, self.rank).initial_seed())
        logits, wanted = self.task.guesses(Batch(*(part[self.rank :: self.processes] for part in whole)))
        loss = F.cross_entropy(logits, wanted, reduction="sum") / whole.chosen.sum()  # this process's share of the mean
        self.optimizer.zero_grad()
        loss.backward()
        number = self._together(loss.detach())
        if not math.isfinite(number):
            raise FloatingPointError(f"the loss is {number} at step {self.step} of {self.recipe.steps}")
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        self.optimizer.step()
        self.step += 1
        self.first += [number] if self.step <= FIRST else []
        self.recent.append(number)
        self._point()
        self.seconds += time.perf_counter() - begun[0]
        self.processor_seconds += time.process_time() - begun[1]
        return number

    def _together(self, loss: torch.Tensor) -> float:
        """Sum loss and gradients over the processes."""
        if self.processes == 1:
            return loss.item()
        flat = torch.cat([loss.reshape(1), *(w.grad.flatten() for w in self.weights)])
        dist.all_reduce(flat)
        for w, grad in zip(self.weights, flat[1:].split([w.numel() for w in self.weights]), strict=True):
            w.grad.copy_(grad.view_as(w))
        return flat[0].item()

    def _point(self) -> None:
        """Add a point to the curve when it is time."""
        if not self.recipe.is_point(self.step):
            return
        mean, self.recent = sum(self.recent) / len(self.recent), []
        if self.rank == 0:
            found = self.task.evaluate("validation", EXAMINED)
            kept = {"loss": found["loss"], "accuracy": found["accuracy"]}
            self.curve.append({"step": self.step, "training_loss": mean, **kept})

    def _characters(self) -> str:
        return self.task.vocabulary.characters

    def state(self) -> dict[str, Any]:
        """Give all that has to be kept."""
        story = ("step", "seconds", "processor_seconds", "first", "recent", "curve")
        return {
            "recipe": asdict(self.recipe),
            "vocabulary": self._characters(),
            "model": self.task.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "story": {name: getattr(self, name) for name in story},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; its recipe may be longer or shorter, as long as the learning rate has not begun to fall.

        Raises:
            ValueError: When the state belongs to another recipe or vocabulary.
        """
        then, now = dict(state["recipe"]), asdict(self.recipe)
        if state["story"]["step"] <= min(recipe["steps"] - recipe["decay"] for recipe in (then, now)):
            then |= {key: now[key] for key in ("steps", "decay")}
        for name, old, new in (("recipe", then, now), ("vocabulary", state["vocabulary"], self._characters())):
            if old != new:
                raise ValueError(f"the state was written with another {name}: remove it to begin anew")
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["story"].items():
            setattr(self, name, value)
