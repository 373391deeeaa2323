"""A checkpoint is two files: NAME.safetensors, the weights in half precision, and NAME.json, their story and hash."""

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from lib.data.reviews import Vocabulary
from lib.models.bert import BERTConfig, BERTForMaskedLM
from lib.models.checkpoint import load_weights
from lib.pretrain.training import Training
from lib.training import count_parameters

FOLDER = Path(__file__).resolve().parents[2] / "checkpoints"


class Pretrained(NamedTuple):
    """A checkpoint, ready to be used."""

    model: BERTForMaskedLM  # float32, in evaluation mode; the encoder without its head is `model.bert`
    vocabulary: Vocabulary
    record: dict[str, Any]  # NAME.json: recipe, command, curve, seconds, versions, results


def load(name: str, *, folder: Path = FOLDER) -> Pretrained:
    """Read a checkpoint of ours, if it is the one that its record describes.

    Args:
        name: Such as `"reviews_bert"`.
        folder: Where it lies.

    Returns:
        Model, vocabulary and record.

    Raises:
        FileNotFoundError: When one of the two files is missing; the message says how to make them.
        ValueError: When the weights are not those whose hash the record holds.

    Example:
        >>> from lib.data.reviews import MASK
        >>> model, vocabulary, record = load("reviews_bert")
        >>> tokens = torch.tensor([vocabulary.encode("房间很干净，服务也好。")])
        >>> tokens[0, 4] = MASK
        >>> vocabulary.decode(model(tokens)[:, 4].argmax(dim=-1))
        '干'
    """
    weights, record = paths(name, folder)
    for path in (weights, record):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: `python -m lib.pretrain {name}` makes it")
    story = json.loads(record.read_text(encoding="utf-8"))
    data = weights.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != story["sha256"]:
        raise ValueError(
            f"{weights} is not the file that {record.name} describes: its SHA-256 is {found[:12]}… but must be "
            f"{story['sha256'][:12]}…. Fetch both files again, or remove them and run `python -m lib.pretrain {name}`"
        )
    model = BERTForMaskedLM(BERTConfig(**story["model"]))
    load_weights(model, from_bytes(data))
    return Pretrained(model.eval(), Vocabulary(story["vocabulary"]), story)


def store(name: str, training: Training, *, folder: Path = FOLDER) -> Path:
    """Write the weights of a finished training in half precision, measure them as they are written, tell the story.

    Returns:
        The path of the weights.
    """
    model, story = training.task.model, training.state()["story"]
    half = {key: tensor.to(torch.float16).contiguous() for key, tensor in model.state_dict().items()}
    load_weights(model, half)
    data = to_bytes(half)
    record = {
        "name": name,
        "command": f"python -m lib.pretrain {name}",
        "recipe": {key: value for key, value in asdict(training.recipe).items() if key != "model"},
        "model": asdict(model.config),
        "parameters": count_parameters(model),
        "validation": training.task.evaluate("validation"),
        "test": training.task.evaluate("test"),
        "first_losses": story["first"],
        "curve": story["curve"],
        "seconds": round(story["seconds"]),
        "processor_seconds": round(story["processor_seconds"]),
        "processes": training.processes,
        "versions": {"python": platform.python_version(), "torch": version("torch"), "snownlp": version("snownlp")},
        "sha256": hashlib.sha256(data).hexdigest(),
        "vocabulary": training.task.vocabulary.characters,
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items()]
    weights, path = paths(name, folder)
    write(weights, data)
    write(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    return weights


def write(path: Path, data: bytes) -> None:
    """Write a file so that at any moment either the old one or the new one is there, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def paths(name: str, folder: Path) -> tuple[Path, Path]:
    """Say where the weights of a checkpoint lie, and where its record."""
    return folder / f"{name}.safetensors", folder / f"{name}.json"
