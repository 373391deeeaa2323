"""What attention costs as the sequence grows (chapter 14): seconds and peak memory of five ways to compute it.

An arm is a length. `run` starts a fresh process, in which the ways take turns on the same numbers, one head of 64, one
thread, float32. Memory is what the process needed at its highest beyond what it held before the call; time is processor
time. The naive form stops at 16,384 tokens.
"""

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lib.attention import scaled_dot_product_attention
from lib.efficient import blockwise_attention, linear_attention, sliding_window_attention

ARMS = ("1024", "4096", "16384", "32768")
D_K, WINDOW, NAIVE_MOST = 64, 256, 16_384
WAYS = ("linear", "window", "torch", "blockwise", "naive")


def naive(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with all its weights in memory."""
    return torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, dim=-1) @ value


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "naive": naive,
    "blockwise": blockwise_attention,
    "torch": scaled_dot_product_attention,
    "window": lambda query, key, value: sliding_window_attention(query, key, value, WINDOW),
    "linear": linear_attention,
}


def draw(length: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a query, a key and a value (1, 1, length, D_K)."""
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(1, 1, length, D_K, generator=generator) for _ in range(3))
    return query, key, value


def in_fresh_process(length: int, seed: int, ways: tuple[str, ...], repeats: int) -> dict[str, float]:
    """Measure these ways in a process of their own: `WAY ms`, the least of the repeats, and `WAY MiB`, of the first."""
    call = f"from lib.experiments.attention_cost import compare; compare({length}, {seed}, {ways!r}, {repeats})"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def compare(length: int, seed: int, ways: tuple[str, ...], repeats: int) -> None:
    """Measure in this process and print the result as JSON."""
    torch.set_num_threads(1)
    for way in ways:  # libraries set themselves up on the first call
        FUNCTIONS[way](*draw(128, seed))
    inputs, found, outputs = draw(length, seed), {}, {}
    with torch.no_grad():
        for turn in range(repeats):
            for way in ways:
                before = _reset_peak()
                started = time.process_time()
                outputs[way] = FUNCTIONS[way](*inputs)
                milliseconds = 1000 * (time.process_time() - started)
                needed = (_kibibytes("VmHWM") - before) / 1024
                found[f"{way} ms"] = min(found.get(f"{way} ms", milliseconds), milliseconds)
                if turn == 0:
                    found[f"{way} MiB"] = needed
    if "naive" in ways and "blockwise" in ways:
        found["error"] = (outputs["blockwise"] - outputs["naive"]).abs().max().item()
    print(json.dumps(found))


def _reset_peak() -> int:
    """Hand back what earlier calls have freed, forget the highest memory so far, and give what is held now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _kibibytes("VmRSS")


def _kibibytes(field: str) -> int:
    """Read a size of this process from the kernel; only Linux keeps it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def run(arm: str, seed: int) -> dict:
    """Measure every way at one length."""
    length = int(arm)
    ways = WAYS if length <= NAIVE_MOST else WAYS[:-1]
    repeats = 3 if length <= 4096 else 1
    return {**in_fresh_process(length, seed, ways, repeats), "steps": repeats, "parameters": 0}
