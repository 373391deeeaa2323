"""Learner checks: one module a chapter, one function an exercise."""
