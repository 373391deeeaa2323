"""`python -m lib.pretrain NAME` makes a checkpoint, or goes on making it."""

import argparse
import io
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm

from lib.pretrain.checkpoints import FOLDER, load, paths, store, write
from lib.pretrain.recipes import RECIPES
from lib.pretrain.training import Training
from lib.training import shows_progress


def pretrain(name: str, *, folder: Path = FOLDER, pause: float = 30.0) -> Path | None:
    """Carry out a recipe from its beginning, or from the state that an interrupted run has left.

    Args:
        name: Of the recipe.
        folder: Gets NAME.safetensors and NAME.json, and NAME.state.partial until these are there.
        pause: Seconds between two writings of the state.

    Returns:
        The path of the weights; None in all processes but the first.

    Raises:
        ValueError: When the state belongs to another recipe or vocabulary.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    path = folder / f"{name}.state.partial"
    training = Training(RECIPES[name], rank=rank, processes=processes)
    state = _shared(torch.load(path, weights_only=True) if rank == 0 and path.is_file() else None)
    if state is not None:
        training.restore(state)
    steps = range(training.step, training.recipe.steps)
    bar = tqdm(
        steps, desc=name, initial=training.step, total=training.recipe.steps, disable=rank or not shows_progress()
    )
    written = time.monotonic()
    for _ in bar:
        bar.set_postfix(loss=f"{training.advance():.3f}", refresh=False)
        if rank:
            continue
        if training.recipe.is_point(training.step):
            tqdm.write(_told(training))
        if time.monotonic() - written >= pause or training.step == training.recipe.steps:
            buffer = io.BytesIO()
            torch.save(training.state(), buffer)
            write(path, buffer.getvalue())
            written = time.monotonic()
    if rank:
        return None
    weights = store(name, training, folder=folder)
    path.unlink(missing_ok=True)
    return weights


def _shared(found: Any) -> Any:
    """Give every process what the first one has found: the others may stand on a machine without the files."""
    if not dist.is_initialized():
        return found
    box = [found]
    dist.broadcast_object_list(box)
    return box[0]


def _told(training: Training) -> str:
    point = training.curve[-1]
    return (
        f"step {point['step']} of {training.recipe.steps}: training loss {point['training_loss']:.3f}, validation loss "
        f"{point['loss']:.3f}, masked accuracy {point['accuracy']:.3f}, {training.seconds:.0f} s"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m lib.pretrain", description="Make a checkpoint; resumable.")
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the checkpoint goes (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=30.0, help="seconds between two writings of the state")
    given = parser.parse_args()
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # set by torchrun
    if several:
        dist.init_process_group("gloo")
    if _shared(all(path.is_file() for path in paths(given.name, given.folder))):
        if not several or dist.get_rank() == 0:
            load(given.name, folder=given.folder)
            print(f"{given.name} is already there; remove {given.folder / given.name}.json to make it anew")
    elif weights := pretrain(given.name, folder=given.folder, pause=given.pause):
        print(f"wrote {weights} and its .json")
    if several:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
