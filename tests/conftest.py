"""Fixtures that several test files use."""

from site_browser import address, browser, chapter, notebooks, site, visit

__all__ = ["address", "browser", "chapter", "notebooks", "site", "visit"]
