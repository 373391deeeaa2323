"""Data sets: one module each; seeded, offline, with origin and licence."""
