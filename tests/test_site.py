"""The built site in a real browser: what a reader may expect of any page."""

import re

import pytest
from site_browser import HAN, PHONE, THREE_WORDS, seen


def test_chapters_hold_mathematics(site, notebooks):
    for notebook in notebooks:
        assert 'class="katex-display"' in (site / "chapters" / f"{notebook.stem}.html").read_text(encoding="utf-8")


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
