"""Every page of the built site in a real browser, on a phone; opened once, for all tests that look at it."""

import json
import re

import pytest
from site_browser import LANGUAGES, PAGES, PHONE, choose, jumped

SOURCE = re.compile(r"/chapters/(\d\d_\w+)\.html")


@pytest.fixture(scope="module", params=PAGES)
def page(request, visit):
    with visit(request.param, viewport=PHONE) as opened:
        yield opened


def test_it_stays_in_its_place(page):
    assert jumped(page) < 0.02


def test_nothing_sticks_out_sideways(page):
    for language in LANGUAGES:
        choose(page, language)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], language


def test_figures_keep_their_shape_and_are_described_in_both_languages(page, site):
    """A figure is never wider than the phone, never squeezed, and its place is kept while it loads."""
    chapter = SOURCE.search(page.url)
    if not chapter:
        assert not page.locator(".cell_output img").count()
        return
    notebook = json.loads((site / "_sources" / "chapters" / f"{chapter[1]}.ipynb").read_text(encoding="utf-8"))
    described = [cell["metadata"]["alt"] for cell in notebook["cells"] if "alt" in cell["metadata"]]
    figures = page.locator(".cell_output img")
    for language in ("zh", "en"):
        choose(page, language)
        assert set(figures.evaluate_all("all => all.map(image => image.alt)")) == {alt[language] for alt in described}
    before = figures.evaluate_all("all => all.map(image => image.clientHeight)")
    figures.evaluate_all("all => Promise.all(all.map(image => (image.loading = 'eager', image.decode())))")
    shapes = figures.evaluate_all(
        "all => all.map(i => [i.clientWidth, i.clientHeight, i.naturalWidth, i.naturalHeight])"
    )
    assert before == [height for _, height, _, _ in shapes]
    assert all(width <= 390 and abs(width / height - w / h) < 0.02 for width, height, w, h in shapes)


def test_nothing_failed_and_nothing_came_from_elsewhere(page):
    assert not page.problems
    assert not page.elsewhere
