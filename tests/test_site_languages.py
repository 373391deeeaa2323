"""The two languages of the built site in a real browser: the switch and all that it promises."""

import pytest
from site_browser import DESKTOP, HAN, PHONE, choose


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
        # A page that the browser had kept aside follows what was chosen meanwhile.
        page.evaluate("localStorage.language = 'zh'")
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
        assert page.evaluate("document.documentElement.dataset.language") == "zh"


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
        assert page.locator("a[download]").first.is_visible()
        assert not page.locator(".js-only").locator("visible=true").count()
        page.locator("article details").first.locator("summary").click()
        assert page.locator("article details").first.locator("pre").first.is_visible()
