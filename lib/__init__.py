"""Attention Highlights: the shared implementation that the chapters import."""
