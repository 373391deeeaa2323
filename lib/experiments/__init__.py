"""Experiments too long for a notebook: `ARMS` and `run(arm, seed)` a module."""
