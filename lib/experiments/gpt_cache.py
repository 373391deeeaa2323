"""Writing with and without a key-value cache (chapter 07): our GPT beside transformers' GPT-2 with the same weights."""

import time
import warnings
from collections.abc import Callable
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from lib.models.gpt import GPT

with warnings.catch_warnings():  # in a notebook its progress bar asks for widgets that nothing here needs
    warnings.simplefilter("ignore")
    import transformers

SIZES = {"vocab_size": 83, "n_positions": 256, "n_embd": 256, "n_layer": 4, "n_head": 4}


def twins(seed: int) -> tuple["transformers.GPT2LMHeadModel", GPT]:
    """Draw the weights of transformers' model, save it, and load the same checkpoint into ours."""
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(seed)
    config = transformers.GPT2Config(bos_token_id=None, eos_token_id=None, **SIZES)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return theirs, GPT.from_pretrained(folder)


def writers(seed: int, prompt: Tensor, new_tokens: int) -> dict[str, Callable[[], Tensor]]:
    """Make three ways to continue a prompt (1, T) greedily, with the same weights."""
    theirs, ours = twins(seed)
    options = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "pad_token_id": 0}
    return {
        "no cache": lambda: ours.generate(prompt, new_tokens, temperature=0, cache=False),
        "cache": lambda: ours.generate(prompt, new_tokens, temperature=0),
        "transformers": lambda: theirs.generate(prompt, max_new_tokens=new_tokens, **options),
    }


@torch.no_grad()
def step_milliseconds(model: GPT, read: Tensor, repeats: int = 5) -> tuple[float, float, int]:
    """Time one more token behind `read` (1, T): computed anew, and from a cache of all places but the last.

    Returns:
        Two medians in milliseconds, and the bytes that the cache holds afterwards.
    """
    anew, cached = [], []
    for _ in range(repeats):
        cache = model.encoder.new_cache()
        model.hidden(read[:, :-1], cache=cache)
        for spent, tokens, kept in ((anew, read, None), (cached, read[:, -1:], cache)):
            started = time.perf_counter()
            model.hidden(tokens, cache=kept)
            spent.append(1000 * (time.perf_counter() - started))
    return float(np.median(anew)), float(np.median(cached)), sum(layer.bytes for layer in cache)
