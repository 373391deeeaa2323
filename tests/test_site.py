"""The built site in a real browser: what a reader may expect of any page."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from site_browser import DESKTOP, HAN, LANGUAGES, PHONE, THREE_WORDS, choose, seen, weight

# --- Every page -----------------------------------------------------------------------------------------------------


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


def test_chapters_hold_mathematics(site, notebooks):
    for notebook in notebooks:
        assert 'class="katex-display"' in (site / "chapters" / f"{notebook.stem}.html").read_text(encoding="utf-8")


# Inline formulas have the colour of their text, and coloured code has a test of its own: thousands of elements less.
# The rule left out takes a column headed by a formula for one without a head.
PLAIN = """() => {
  for (const formula of document.querySelectorAll("article :not(.math-block) > .katex")) formula.remove();
  for (const code of document.querySelectorAll("article pre")) code.textContent = code.textContent;
}"""
RUN_AXE = """([rules]) => axe.run({
  resultTypes: ["violations"], ...rules, rules: {"empty-table-header": {enabled: false}}
})"""


def test_accessibility(visit, pages, chapter):
    """axe-core finds nothing: each page with both languages, one chapter in each language; light and dark."""
    looks = [(f"chapters/{chapter}", *look) for look in (("en", PHONE), ("zh", DESKTOP), ("both", PHONE))]
    for path, language, viewport in [*looks, *((path, "both", DESKTOP) for path in [*pages, "search.html"])]:
        with visit(f"{path}?lang={language}&q=softmax", viewport=viewport) as page:
            page.evaluate(PLAIN)
            page.evaluate(Axe().axe_script)
            for colours, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
                page.emulate_media(color_scheme=colours)
                found = page.evaluate(RUN_AXE, [rules])["violations"]
                short = [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]
                assert not short, (path, language, colours, viewport)


def test_coloured_code_is_legible(visit, notebooks):
    """Each kind of token has a contrast of 4.5 or more (WCAG AA) with what it stands on, light and dark."""
    contrasts = """() => {
      const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
      const light = colour => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(
          part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = light(getComputedStyle(document.querySelector(".cell_input .highlight")).backgroundColor);
      return [...document.querySelectorAll(".cell_input .highlight span[class]")].map(token => {
        const ink = light(getComputedStyle(token).color);
        return [token.className, (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)];
      });
    }"""
    for notebook in notebooks:
        with visit(f"chapters/{notebook.stem}.html") as page:
            for colours in ("light", "dark"):
                page.emulate_media(color_scheme=colours)
                tokens = dict(page.evaluate(contrasts))
                assert len(tokens) > 5
                assert not {kind: ratio for kind, ratio in tokens.items() if ratio < 4.5}, (notebook.stem, colours)


def test_images_are_described_in_both_languages(visit, notebooks):
    for notebook in notebooks:
        described = [
            c["metadata"]["alt"]
            for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            if "alt" in c["metadata"]
        ]
        with visit(f"chapters/{notebook.stem}.html?lang=en") as page:
            for language in ("en", "zh"):
                choose(page, language)
                alts = page.locator(".cell_output img").evaluate_all("all => all.map(image => image.alt)")
                assert set(alts) == {alt[language] for alt in described}, notebook.stem


def test_figures_keep_their_shape_and_their_place(visit, notebooks):
    """A figure is never wider than the phone, never squeezed, and its place is kept while it loads."""
    for notebook in notebooks:
        with visit(f"chapters/{notebook.stem}.html", viewport=PHONE) as page:
            figures = page.locator(".cell_output img")
            before = figures.evaluate_all("all => all.map(image => image.clientHeight)")
            figures.evaluate_all("all => Promise.all(all.map(image => (image.loading = 'eager', image.decode())))")
            shapes = figures.evaluate_all(
                "all => all.map(i => [i.clientWidth, i.clientHeight, i.naturalWidth, i.naturalHeight])"
            )
            assert before == [height for _, height, _, _ in shapes], notebook.stem
            assert all(width <= 390 and abs(width / height - w / h) < 0.02 for width, height, w, h in shapes)


# --- Colours, phone, notebook, search -------------------------------------------------------------------------------


def test_colours_follow_the_system_and_the_switch(visit, chapter):
    light = "parseInt(getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0]) > 128"
    turned = "getComputedStyle(document.querySelector('.cell_output img')).filter.includes('invert')"
    with visit(f"chapters/{chapter}", color_scheme="dark") as page:
        assert not page.evaluate(light)
        assert page.evaluate(turned)
        page.locator("#colours").click()
        assert page.evaluate(light)
        assert not page.evaluate(turned)
        page.reload()
        assert page.evaluate(light)
        page.locator("#colours").click()
        assert not page.evaluate(light)
        assert page.evaluate(turned)


def test_the_chapters_slide_in_on_a_phone(visit, chapter):
    with visit(f"chapters/{chapter}", viewport=PHONE) as page:
        link = page.locator(".navigation a").first
        assert not link.is_visible()
        small = """all => all.filter(button => button.checkVisibility({visibilityProperty: true})
          && Math.min(button.offsetWidth, button.offsetHeight) < 44).map(button => button.outerHTML)"""
        assert page.locator("header .button, .navigation .button, .notebook-links .button").evaluate_all(small) == []
        page.locator("#open-navigation").click()
        link.wait_for(state="visible")
        assert page.locator("#close-navigation").evaluate("button => button === document.activeElement")
        page.keyboard.press("Escape")
        link.wait_for(state="hidden")
        assert page.locator("#open-navigation").evaluate("button => button === document.activeElement")


def test_code_can_be_copied(visit, chapter):
    with visit(f"chapters/{chapter}", permissions=["clipboard-read", "clipboard-write"]) as page:
        block = page.locator(".cell_input").first
        code = block.locator("pre").text_content()
        block.hover()
        block.locator(".copy").click()
        block.locator(".copy [lang=en]", has_text="Copied").wait_for(state="attached")  # writing takes its time
        assert page.evaluate("navigator.clipboard.readText()") == code


@pytest.mark.parametrize(
    ("language", "query"),
    [("zh", "缩放点积注意力"), ("zh", "softmax 的梯度"), ("en", "dividing by the square roots"), ("both", "键")],
)
def test_search(visit, site, language, query):
    words = query.split()
    with visit(f"search.html?lang={language}") as page:
        page.fill("#query", query)
        page.keyboard.press("Enter")
        page.wait_for_selector("#results li")
        found = page.locator("#results a").evaluate_all("all => all.map(link => link.pathname.split('/').pop())")
        articles = {file.name: file.read_text(encoding="utf-8") for file in site.glob("chapters/*.html")}
        texts = {name: re.sub("<[^>]+>", "", re.split("</?article>", text)[1]) for name, text in articles.items()}
        assert {name for name, text in texts.items() if all(word in text for word in words)} <= set(found)
        if language != "both":
            heads = {name: re.search("<h1>(.*?)</h1>", text)[1] for name, text in articles.items()}
            number, words = re.compile(r"\d\d |"), re.compile(f'<span lang="{language}">(.*?)</span>')
            titles = {name: number.match(head)[0] + words.search(head)[1] for name, head in heads.items()}
            assert page.locator("#results a").all_inner_texts() == [titles[name] for name in found]
        page.wait_for_selector("#results mark")
        results = seen(page, "main")
        if language == "zh":
            assert not [text for text, _ in results if THREE_WORDS.search(text)]
        if language == "en":
            assert not [text for text, _ in results if HAN.search(text)]
        page.fill("#query", "量子引力 gluon")
        page.keyboard.press("Enter")
        assert page.locator("#results li").count() == 0
        assert page.locator("#found").inner_text()


def test_search_starts_from_every_page(visit, chapter):
    with visit(f"chapters/{chapter}?lang=zh") as page:
        page.fill(".navigation input[name=q]", "注意力")
        page.keyboard.press("Enter")
        page.wait_for_selector("#results li")
        assert page.evaluate("document.documentElement.dataset.language") == "zh"
