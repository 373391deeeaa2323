"""Every page of the built site in a real browser: opened once, on a phone, then made wide, for all that look at it."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from site_browser import CHROME, DESKTOP, HAN, LANGUAGES, PAGES, PHONE, THREE_WORDS, choose, jumped, seen, weight

CHAPTER = re.compile(r"/chapters/(\d\d_\w+)\.html")
# Inline formulas have the colour of their text, and coloured code has a test of its own: thousands of elements less.
# The rule left out takes a column headed by a formula for one without a head.
PLAIN = """() => {
  for (const formula of document.querySelectorAll("article :not(.math-block) > .katex")) formula.remove();
  for (const code of document.querySelectorAll("article pre")) code.textContent = code.textContent;
}"""
LEFT_OUT = ("empty-table-header", "color-contrast", "link-in-text-block")
RUN_AXE = """out => axe.run({
  resultTypes: ["violations"], rules: Object.fromEntries(out.map(rule => [rule, {enabled: false}]))
})"""
# The two rules about colours cost most of axe's time. Of all elements that look alike, on whatever page, one is enough.
RUN_COLOURS = """async known => {
  const looks = new Map(), clear = "rgba(0, 0, 0, 0)";
  for (const element of document.querySelectorAll("body *")) {
    const said = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!said && element.tagName !== "A") continue;
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    let ground = element;
    while (ground.parentElement && getComputedStyle(ground).backgroundColor === clear) ground = ground.parentElement;
    const ink = getComputedStyle(element), paper = getComputedStyle(ground).backgroundColor;
    const kinds = [element, element.parentElement].map(
      one => [one.tagName, one.className, getComputedStyle(one).color]);
    const look = [kinds, ink.fontSize, ink.fontWeight, ink.textDecoration, paper].join();
    if (!looks.has(look)) looks.set(look, element);
  }
  for (const look of known) looks.delete(look);
  if (!looks.size) return [[], []];
  const found = await axe.run(
    [...looks.values()], {resultTypes: ["violations"], runOnly: ["color-contrast", "link-in-text-block"]});
  return [[...looks.keys()], found.violations];
}"""
CODE_CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = colour => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(
      part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.querySelector(".cell_input .highlight")).backgroundColor);
  const tokens = [...document.querySelectorAll(".cell_input .highlight span[class]")];
  return [...new Map(tokens.map(token => [token.className, token]))].map(([kind, token]) => {
    const ink = light(getComputedStyle(token).color);
    return [kind, (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)];
  });
}"""


@pytest.fixture(scope="module", params=PAGES)
def page(request, visit):
    with visit(request.param, viewport=PHONE) as opened:
        yield opened


@pytest.fixture(scope="module")
def legible():
    """The looks whose colours can be told apart, by colour scheme."""
    return {"light": set(), "dark": set()}


def test_it_loads_light_and_stays_in_its_place(page):
    assert weight(page) <= 450 * 1024
    assert jumped(page) < 0.02


@pytest.mark.parametrize("path", ["chapters/index.html", "chapters/claims.html", "chapters/04_scaled_dot_product.html"])
def test_it_stays_in_its_place_on_a_desk(visit, path):
    with visit(path, viewport=DESKTOP) as opened:
        assert jumped(opened) < 0.02


def test_nothing_sticks_out_on_a_phone(page):
    for language in LANGUAGES:
        choose(page, language)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], language


def test_figures_keep_their_shape_and_are_described_in_both_languages(page, site):
    """A figure is never wider than the phone, never squeezed, and its place is kept while it loads."""
    chapter = CHAPTER.search(page.url)
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


def test_each_language_fits_a_desk_and_shows_its_own_words_only(page):
    page.set_viewport_size(DESKTOP)
    texts = {}
    for language in LANGUAGES:
        choose(page, language)
        assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"], language
        texts[language] = seen(page)
        if language == "zh":
            assert HAN.search(page.locator("h1").inner_text())
            assert not [text for text, lang in seen(page, CHROME) if not lang and THREE_WORDS.search(text)]
    assert not [text for text, lang in texts["en"] if lang == "zh" or (not lang and HAN.search(text))]
    assert not [text for text, lang in texts["zh"] if lang == "en"]
    assert {"en", "zh"} <= {lang for _, lang in texts["both"]}
    assert not [text for text, lang in texts["both"] if not lang and HAN.search(text)]


def test_mathematics_is_set(page):
    formulas = page.locator(".katex-html")
    assert not formulas.evaluate_all("all => all.filter(f => f.checkVisibility() && !f.getClientRects().length).length")
    assert not page.locator(".katex-error").count()
    assert not [text for text, _ in seen(page) if re.search(r"\$[^$]+\$|\\[a-z]{3,}", text)]


def test_nothing_failed_and_nothing_came_from_elsewhere(page):
    assert not page.problems
    assert not page.elsewhere


def test_coloured_code_is_legible(page):
    """Each kind of token has a contrast of 4.5 or more (WCAG AA) with what it stands on, light and dark."""
    if not CHAPTER.search(page.url):
        return  # only a chapter has cells
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        tokens = dict(page.evaluate(CODE_CONTRASTS))
        assert len(tokens) > 5
        assert not {kind: ratio for kind, ratio in tokens.items() if ratio < 4.5}, colours


def test_it_is_accessible_in_both_languages(page, legible):
    page.set_viewport_size(DESKTOP)
    choose(page, "both")
    assert_accessible(page, legible)


@pytest.mark.parametrize(("language", "viewport"), [("en", PHONE), ("zh", DESKTOP), ("both", PHONE)])
def test_a_chapter_is_accessible(visit, chapter, legible, language, viewport):
    with visit(f"chapters/{chapter}?lang={language}", viewport=viewport) as opened:
        assert_accessible(opened, legible)


def test_search_results_are_accessible(visit, legible):
    with visit("search.html?lang=both&q=softmax", viewport=DESKTOP) as opened:
        opened.wait_for_selector("#results li")
        assert_accessible(opened, legible)


def assert_accessible(page, legible):
    """axe-core finds nothing; every kind of text has enough contrast and every kind of link shows, light and dark."""
    page.evaluate(PLAIN)
    page.evaluate(Axe().axe_script)
    found = page.evaluate(RUN_AXE, LEFT_OUT)["violations"]
    for colours, known in legible.items():
        page.emulate_media(color_scheme=colours)
        looks, poor = page.evaluate(RUN_COLOURS, list(known))
        found += poor
        if not poor:
            known.update(looks)
    assert not [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]
