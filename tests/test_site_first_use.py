"""The first use of a term in a chapter, in each language, leads to the glossary; nothing else does."""

import re

import pytest
from docutils import nodes
from site_browser import HAN, ROOT

from _ext import first_use
from _ext.glossary import anchor, load_terms

TERMS = load_terms(ROOT / "chapters" / "glossary.toml")
LINKS = """all => all.map(link => [link.getAttribute("href"), link.textContent, link.closest("[lang]").lang,
  Boolean(link.closest("h1, h2, h3, h4, code, pre, .katex, data, figure, .claim-card, #references"))])"""
# The running text of each half, without what may hold no link; a mark stands where a link to the glossary begins.
TEXTS = """language => {
  const half = `.half[lang=${language}]`, aside = "h1, h2, h3, h4, code, pre, .math, .katex, data, a, summary";
  const halves = document.querySelectorAll(`article section:not(#references) > .pair > ${half}, details ${half}`);
  return [...halves].map(half => {
    const copy = half.cloneNode(true);
    for (const link of copy.querySelectorAll(".first-use")) link.replaceWith("⟦" + link.textContent + "⟧");
    for (const other of copy.querySelectorAll(aside)) other.replaceWith(" x ");
    return copy.textContent;
  }).join("\\n");
}"""


def test_first_uses_lead_to_the_glossary_and_only_those(visit, notebooks):
    anchors = {anchor(term): term for term in TERMS}
    for notebook in notebooks:
        with visit(f"chapters/{notebook.stem}.html?lang=both") as page:
            links = page.locator("a.first-use").evaluate_all(LINKS)
            texts = {language: page.evaluate(TEXTS, language) for language in ("en", "zh")}
        assert len(links) > 15, notebook.stem
        assert len({(href, language) for href, _, language, _ in links}) == len(links), "a term is linked twice"
        for href, said, language, inside in links:
            page_name, _, name = href.partition("#")
            plain = re.sub(r"[（(].*?[）)]", "", anchors[name][language]).strip().casefold()
            assert page_name == "glossary.html"
            assert said.casefold() in (plain, f"{plain}s"), (notebook.stem, href, said)
            assert not inside, (notebook.stem, href)
            assert bool(HAN.search(said)) <= (language == "zh")
        for term in ("attention weight", "residual connection", "mask"):  # nothing before the link uses the term
            for language in ("en", "zh"):
                name = next(one for one in TERMS if one["en"] == term)
                marked = texts[language].partition("⟦" + name[language])
                plain = first_use.pattern((name[language],), language).search(marked[0])
                longer = any(name[language] in other[language] != name[language] for other in TERMS)
                assert longer or not plain, (notebook.stem, term, language)


def test_the_link_arrives_at_the_entry(visit, chapter):
    with visit(f"chapters/{chapter}?lang=zh") as page:
        link = page.locator(".half[lang=zh] a.first-use").first
        target = link.get_attribute("href").partition("#")[2]
        link.click()
        page.wait_for_url(f"**/glossary.html*#{target}")
        assert page.locator(f"#{target}").is_visible()


@pytest.mark.parametrize(
    ("language", "names", "text", "found"),
    [
        ("en", ("head", "induction head"), "An induction head, a headline, heads.", ["induction head", "heads"]),
        ("en", ("pre-norm", "key"), "pre-norm, key-value, monkey, Key", ["pre-norm", "Key"]),
        ("zh", ("值", "均值"), "均值，数值，值得，每个值，值。", ["均值", "值", "值"]),
        ("zh", ("头", "多头注意力"), "开头的头，多头注意力，里头", ["头", "多头注意力"]),
        ("zh", ("Transformer",), "一个 Transformer，Transformers", ["Transformer"]),
        ("zh", ("用户-物品互动",), "这是用户-物品互动。", ["用户-物品互动"]),
    ],
)
def test_words_are_told_from_their_parts(language, names, text, found):
    assert first_use.pattern(names, language).findall(text) == found


def test_no_link_in_code_links_or_between_written_tags():
    def text_of(*children):
        half = nodes.container("", nodes.paragraph("", "", *children), classes=["half", "language-en"])
        return next(text for text in half.findall(nodes.Text) if text == "key")

    assert first_use._is_running(text_of(nodes.Text("key")))
    assert first_use._is_running(text_of(nodes.strong("", "key")))
    assert first_use._is_running(text_of(nodes.raw("", "</data>", format="html"), nodes.Text("key")))
    assert not first_use._is_running(text_of(nodes.raw("", '<a href="x">', format="html"), nodes.Text("key")))
    assert not first_use._is_running(text_of(nodes.literal("", "key")))
    assert not first_use._is_running(text_of(nodes.reference("", "key")))
