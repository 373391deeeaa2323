"""The equations in NumPy, float64: nothing else."""
