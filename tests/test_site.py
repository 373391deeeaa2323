"""The built site in a real browser: what `How to read this book` promises, and what a reader may expect of any page."""

import json
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from site_browser import DESKTOP, PHONE, weight

LANGUAGES = ("en", "zh", "both")
HAN = re.compile(r"[\u3400-\u9fff]")
THREE_WORDS = re.compile(r"[A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,}")

# Every text that is seen, with the language that it is marked with, or "". Code, mathematics and the names in the
# glossary belong to no language.
SEEN = """(selector) => {
  const found = [];
  for (const root of document.querySelectorAll(selector)) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
      if (!text || parent.closest("pre, code, .katex, .keep, script, style, .claim-evidence")) continue;
      if (parent.checkVisibility()) found.push([text, parent.closest("body [lang]")?.lang || ""]);
    }
  }
  return found;
}"""
CHROME = "header, nav, footer, summary, h1, h2, h3, h4"


def choose(page, language):
    page.locator(f".languages button[data-language={language}]").click()


def seen(page, selector="body"):
    return page.evaluate(SEEN, selector)


# --- Two languages ------------------------------------------------------------------------------------------------


def test_each_language_shows_its_own_words_only(visit, pages):
    for path in [*pages, "search.html"]:
        with visit(f"{path}?lang=en") as page:
            assert not [text for text, lang in seen(page) if lang == "zh" or (not lang and HAN.search(text))], path
            choose(page, "zh")
            assert not [text for text, lang in seen(page) if lang == "en"], path
            assert not [text for text, lang in seen(page, CHROME) if not lang and THREE_WORDS.search(text)], path
            assert HAN.search(page.locator("h1").inner_text()), path
            choose(page, "both")
            words = seen(page)
            assert {"en", "zh"} <= {lang for _, lang in words}, path
            assert not [text for text, lang in words if not lang and HAN.search(text)], path


def test_titles_labels_and_placeholders_follow(visit, chapter):
    labels = """() => [...document.querySelectorAll("[aria-label], [title], [placeholder], img")].flatMap(
      one => ["aria-label", "title", "placeholder", "alt"].map(name => one.getAttribute(name))).filter(Boolean)"""
    with visit(f"chapters/{chapter}?lang=zh") as page:
        chinese, title = page.evaluate(labels), page.title()
        assert chinese
        assert all(HAN.search(label) and " · " not in label for label in [*chinese, title])
        assert page.evaluate("document.documentElement.lang") == "zh"
        choose(page, "en")
        assert not [label for label in [*page.evaluate(labels), page.title()] if HAN.search(label)]
        assert page.evaluate("document.documentElement.lang") == "en"
        choose(page, "both")
        assert HAN.search(page.title())
        assert " · " in page.title()


def test_the_choice_is_remembered_and_stands_in_the_address(visit, chapter):
    with visit(f"chapters/{chapter}") as page:
        assert page.evaluate("document.documentElement.dataset.language") == "en"
        choose(page, "zh")
        assert page.url.endswith("?lang=zh")
        page.locator(".neighbours a").first.click()
        page.wait_for_load_state()
        assert chapter not in page.url
        assert page.evaluate("document.documentElement.dataset.language") == "zh"
        choose(page, "both")
        page.go_back()
        page.wait_for_function("document.documentElement.dataset.language === 'both'")  # the last choice holds
        page.wait_for_function("new URLSearchParams(location.search).get('lang') === 'both'")
        page.reload()
        assert page.evaluate("document.documentElement.dataset.language") == "both"
        page.goto(page.url.replace("lang=both", "lang=en"))  # an address that names a language wins
        assert page.evaluate("document.documentElement.dataset.language") == "en"


def test_a_chinese_browser_starts_in_chinese(visit):
    with visit("index.html", locale="zh-CN") as page:
        page.wait_for_url("**/chapters/index.html")
        assert page.evaluate("document.documentElement.dataset.language") == "zh"
    with visit("index.html?lang=both") as page:
        page.wait_for_url("**/chapters/index.html?lang=both")


@pytest.mark.parametrize(("language", "hidden"), [("en", "zh"), ("zh", "en")])
def test_the_other_language_never_flashes(browser, address, chapter, language, hidden):
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/book.js*", lambda route: route.abort())  # as on a line so slow that it has not come yet
        page.goto(f"{address}chapters/{chapter}?lang={language}", wait_until="commit")
        page.wait_for_selector(f".half[lang={language}]")
        assert page.locator(f".half[lang={hidden}]").first.is_hidden()
        assert page.locator(f"h1 [lang={hidden}]").is_hidden()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_switching_keeps_the_place(visit, chapter, viewport):
    """The paragraph at the top of the window, or its counterpart, stays where it is."""
    top_paragraph = """() => {
      const halves = [...document.querySelectorAll('.half')].filter(half => half.checkVisibility());
      const all = halves.flatMap(half => [...half.children].map((block, place) => ({block, place, half})));
      const {place, half} = all.find(({block}) => block.tagName === 'P' && block.getBoundingClientRect().top > 60);
      return [[...document.querySelectorAll('.pair')].indexOf(half.parentElement), place];
    }"""
    height = """([pair, place]) => [...document.querySelectorAll('.pair')[pair].children]
      .filter(half => half.checkVisibility()).map(half => half.children[place].getBoundingClientRect().top)"""
    with visit(f"chapters/{chapter}?lang=en", viewport=viewport) as page:
        kept = 0
        for part in (0.15, 0.3, 0.45, 0.6):
            choose(page, "en")
            page.evaluate(f"scrollTo({{top: {part} * document.body.scrollHeight, behavior: 'instant'}})")
            paragraph = page.evaluate(top_paragraph)
            # Let that paragraph be the first thing under the header, so that it is the one to stay.
            page.evaluate("y => scrollBy({top: y - 60, behavior: 'instant'})", page.evaluate(height, paragraph)[0])
            before = page.evaluate(height, paragraph)[0]
            if abs(before - 60) > 1:
                continue  # too near the end of the page to stand at the top
            kept += 1
            for language in ("zh", "both", "en"):
                choose(page, language)
                after = page.evaluate(height, paragraph)
                assert min(abs(y - before) for y in after) < 5, (part, language, before, after)
        assert kept >= 2


def test_the_switch_works_from_the_keyboard(visit, chapter):
    with visit(f"chapters/{chapter}") as page:
        button = page.locator(".languages button[data-language=zh]")
        for _ in range(10):
            page.keyboard.press("Tab")
            if button.evaluate("button => button === document.activeElement"):
                break
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "true"
        assert button.evaluate("button => button === document.activeElement && button.matches(':focus-visible')")
        assert page.locator(".languages [aria-pressed=true]").count() == 1
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        assert page.evaluate("document.documentElement.dataset.language") == "en"


def test_both_stand_side_by_side_where_there_is_room(visit, chapter):
    halves = "[...document.querySelector('.pair').children].map(half => half.getBoundingClientRect().toJSON())"
    with visit(f"chapters/{chapter}?lang=both", viewport={"width": 1100, "height": 800}) as page:
        english, chinese = page.evaluate(halves)
        assert english["right"] < chinese["left"]
        assert abs(english["top"] - chinese["top"]) < 2
        page.set_viewport_size({"width": 1000, "height": 800})
        english, chinese = page.evaluate(halves)
        assert english["bottom"] <= chinese["top"] + 1


def test_without_a_script_everything_is_readable(visit, chapter):
    with visit(f"chapters/{chapter}", java_script_enabled=False, viewport=PHONE) as page:
        for language in ("en", "zh"):
            assert page.locator(f".half[lang={language}]").first.is_visible()
            assert page.locator(f"h1 [lang={language}]").is_visible()
        assert page.locator(".katex-html").first.bounding_box()["width"] > 5
        assert page.locator(".navigation a").first.is_visible()
        assert page.locator("a[download]").is_visible()
        assert not page.locator(".js-only").locator("visible=true").count()
        page.locator("article details").first.locator("summary").click()
        assert page.locator("article details").first.locator("pre").first.is_visible()


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


# Formulas have the colour of their text and are slow to check; the rule left out takes a formula for an empty head.
RUN_AXE = """() => axe.run({exclude: [".katex"]}, {
  resultTypes: ["violations"], rules: {"empty-table-header": {enabled: false}}
})"""


def test_accessibility(visit, pages, chapter):
    """axe-core finds nothing: one chapter in every look, each other page with both languages, dark and light."""
    every = [(f"chapters/{chapter}", language, size) for language in LANGUAGES for size in (DESKTOP, PHONE)]
    others = [(path, "both", DESKTOP) for path in [*pages, "search.html"] if not path.endswith(chapter)]
    for path, language, viewport in [*every, *others]:
        with visit(f"{path}?lang={language}&q=softmax", viewport=viewport) as page:
            page.evaluate(Axe().axe_script)
            for colours in ("light", "dark"):
                page.emulate_media(color_scheme=colours)
                found = page.evaluate(RUN_AXE)["violations"]
                short = [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]
                assert not short, (path, language, colours, viewport)


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


def test_a_chapter_offers_its_notebook(visit, notebooks):
    root = Path(__file__).parent.parent
    for source in notebooks:
        with visit(f"chapters/{source.stem}.html") as page:
            with page.expect_download() as download:
                page.locator("a[download]").click()
            assert download.value.suggested_filename == source.name
            assert Path(download.value.path()).read_bytes() == (root / "chapters" / source.name).read_bytes()
            assert page.locator(".notebook-links li").count() == 1  # no repository is configured: no other link


def test_code_can_be_copied(visit, chapter):
    with visit(f"chapters/{chapter}", permissions=["clipboard-read", "clipboard-write"]) as page:
        block = page.locator(".cell_input").first
        code = block.locator("pre").text_content()
        block.hover()
        block.locator(".copy").click()
        assert block.locator(".copy [lang=en]").text_content() == "Copied"
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
            titles = {n: re.search(f'<h1>.*<span lang="{language}">([^<]*)', text)[1] for n, text in articles.items()}
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
