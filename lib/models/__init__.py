"""Models by their published names, put together from `lib.attention` and `lib.transformer`."""
