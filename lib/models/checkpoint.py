"""Published weights: a Hugging Face checkpoint folder is read, renamed and copied into one of our models.

A folder holds `config.json` and the weights as safetensors, in one file (`model.safetensors`) or in several with an
index (`model.safetensors.index.json`). Pickled weights (`pytorch_model.bin`) are never opened: they can run code.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def read_config(folder: str | Path, *, model_type: str | Iterable[str]) -> dict[str, Any]:
    """Read `config.json` of a checkpoint folder.

    Args:
        folder: The folder.
        model_type: What the checkpoint must be, as its config says it: `"bert"`, or several names.

    Returns:
        The config as it stands there; asked for a key that is not there, it raises a ValueError that names both.

    Raises:
        FileNotFoundError: When the folder or the file is missing.
        ValueError: When the checkpoint is of another type, or the file is no JSON.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a checkpoint folder holds config.json and {WEIGHTS}")
    config = _read_json(path)
    known = (model_type,) if isinstance(model_type, str) else tuple(model_type)
    if config.get("model_type") not in known:
        raise ValueError(f"{path} has model_type {config.get('model_type')!r} but expected {' or '.join(known)}")
    return config


def require(config: Mapping[str, Any], **expected: Any) -> None:
    """Refuse a checkpoint's config that asks for something which our model does not do.

    Args:
        config: What `read_config` gave.
        **expected: For each key the value that we implement; a key that the config leaves out passes.

    Raises:
        ValueError: On another value, naming key, value and what was expected.

    Example:
        >>> require({"hidden_act": "relu"}, hidden_act="gelu")
        Traceback (most recent call last):
        ...
        ValueError: this checkpoint has hidden_act='relu' but only 'gelu' is implemented
    """
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ValueError(f"this checkpoint has {key}={config[key]!r} but only {value!r} is implemented")


def read_tensors(folder: str | Path) -> dict[str, Tensor]:
    """Read all weights of a checkpoint folder, from one file or from shards.

    Args:
        folder: The folder.

    Returns:
        Each tensor by its published name, in the stored dtype.

    Raises:
        FileNotFoundError: When there are no safetensors, or a shard that the index names is missing.
        ValueError: When a file is cut short or not what its name says.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).is_file():
        return _load(folder / WEIGHTS)
    if not (folder / INDEX).is_file():
        pickled = " (pickled weights such as pytorch_model.bin can run code and are never opened)"
        hint = pickled if any(folder.glob("*.bin")) else ""
        raise FileNotFoundError(f"{folder} holds neither {WEIGHTS} nor {INDEX}{hint}")
    shards = sorted(set(_read_json(folder / INDEX)["weight_map"].values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which its {INDEX} names")
    return {name: tensor for shard in shards for name, tensor in _load(folder / shard).items()}


class _Described(dict):
    """What a JSON file says; a key that it lacks is an error that names the file."""

    def __init__(self, path: Path, said: dict[str, Any]) -> None:
        super().__init__(said)
        self._path = path

    def __missing__(self, key: str) -> None:
        raise ValueError(f"{self._path} has no {key!r}")


def _read_json(path: Path) -> _Described:
    try:
        return _Described(path, json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON object: {error}") from error


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error


def renamed(tensors: Mapping[str, Tensor], rules: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    r"""Rename tensors: each regular expression in turn is replaced, wherever it is found in a name.

    Example:
        >>> list(renamed({"h.0.ln_1.weight": torch.ones(1)}, [(r"^h\.", "layers."), ("ln_1", "norm")]))
        ['layers.0.norm.weight']
    """
    names = {name: name for name in tensors}
    for pattern, replacement in rules:
        names = {old: re.sub(pattern, replacement, new) for old, new in names.items()}
    return {new: tensors[old] for old, new in names.items()}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], *, ignore: Iterable[str] = ()) -> None:
    r"""Copy tensors into a model; every weight of the model must be there, and nothing else.

    Args:
        model: Gets the weights; its dtype stays.
        tensors: By the model's own names. A tensor of the model that is used under two names (tied) needs one of them.
        ignore: Regular expressions; tensors whose names match from the start may be there without being used.

    Raises:
        ValueError: When weights are missing, unexpected or of the wrong shape; all of them are named.

    Example:
        >>> load_weights(nn.Linear(2, 1), {"weight": torch.ones(1, 3), "biased": torch.ones(1)})
        Traceback (most recent call last):
        ...
        ValueError: the weights do not fit Linear
        missing: bias
        unexpected: biased
        wrong shape: weight is (1, 3) but must be (1, 2)
    """
    own = model.state_dict(keep_vars=True)
    given = {id(own[name]) for name in tensors if name in own}
    missing = [name for name, weight in own.items() if name not in tensors and id(weight) not in given]
    unexpected = [n for n in tensors if n not in own and not any(re.match(pattern, n) for pattern in ignore)]
    wrong = [
        f"{name} is {tuple(tensor.shape)} but must be {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    problems = {"missing": missing, "unexpected": unexpected, "wrong shape": wrong}
    if any(problems.values()):
        lines = [f"{problem}: {', '.join(sorted(names))}" for problem, names in problems.items() if names]
        raise ValueError("\n".join([f"the weights do not fit {type(model).__name__}", *lines]))
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name in own:
                own[name].copy_(tensor)
