"""Every page of the built site in a real browser, wide and on a phone.

A file of its own, so that another worker takes it than the rest of the site's tests.
"""

import re

import pytest
from site_browser import DESKTOP, LANGUAGES, PHONE, choose, seen, weight


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_are_sound(visit, pages, viewport):
    """No error, no request to elsewhere, light, mathematics set, nothing jumps, nothing sticks out sideways."""
    watch = """new PerformanceObserver(list => {
      for (const shift of list.getEntries()) window.jumped = (window.jumped || 0) + shift.value;
    }).observe({type: "layout-shift", buffered: true})"""
    for path in [*pages, "search.html"]:
        with visit(path, viewport=viewport) as page:
            page.evaluate(watch)
            assert weight(page) <= 450 * 1024, path
            assert page.evaluate("window.jumped || 0") < 0.02, path
            for language in LANGUAGES:
                choose(page, language)
                width = page.evaluate("document.documentElement.scrollWidth")
                assert width <= viewport["width"], (path, language)
            formulas = page.locator(".katex-html")
            empty = formulas.evaluate_all(
                "all => all.filter(f => f.checkVisibility() && f.getClientRects().length === 0)"
            )
            assert not empty, path
            assert not page.locator(".katex-error").count(), path
            assert not [text for text, _ in seen(page) if re.search(r"\$[^$]+\$|\\[a-z]{3,}", text)], path
            assert not page.problems, path
            assert not page.elsewhere, path
