"""The first use of a term in a chapter, in each language, leads to the glossary; nothing else does."""

from collections import Counter

import pytest
from docutils import nodes
from site_browser import HAN, ROOT

from _ext import first_use
from _ext.glossary import anchor, load_terms

TERMS = load_terms(ROOT / "chapters" / "glossary.toml")
# A chapter as it is parsed, never laid out: its links to the glossary, and the running text of each language without
# what may hold no link; a mark stands where a link to the glossary begins.
READ = """async address => {
  const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
  const aside = "h1, h2, h3, h4, code, pre, .math, .katex, data, a, summary";
  const nowhere = "h1, h2, h3, h4, code, pre, .katex, data, figure, .claim-card, #references";
  const links = [...page.querySelectorAll("a.first-use")].map(link => [
    link.getAttribute("href"), link.textContent, link.closest("[lang]").lang, Boolean(link.closest(nowhere))]);
  const text = language => {
    const half = `.half[lang=${language}]`;
    const halves = page.querySelectorAll(`article section:not(#references) > .pair > ${half}, details ${half}`);
    return [...halves].map(half => {
      const copy = half.cloneNode(true);
      for (const link of copy.querySelectorAll(".first-use")) link.replaceWith("⟦" + link.textContent + "⟧");
      for (const other of copy.querySelectorAll(aside)) other.replaceWith(" x ");
      return copy.textContent;
    }).join("\\n");
  };
  return [links, {en: text("en"), zh: text("zh")}];
}"""


def places(terms, language):
    """Every form of every name, with the anchor of its entry."""
    return {form: anchor(term) for term in terms for form in all_forms(term, language)}


def all_forms(term, language):
    return [form for name in first_use.names(term, language) for form in first_use.forms(name, language)]


def test_first_uses_lead_to_the_glossary_and_only_those(visit, notebooks):
    anchors = {anchor(term): term for term in TERMS}
    reached = {"en": set(), "zh": set()}
    with visit("chapters/glossary.html") as page:
        chapters = {notebook: page.evaluate(READ, f"{notebook.stem}.html") for notebook in notebooks}
    for notebook, (links, texts) in chapters.items():
        assert len(links) > 15, notebook.stem
        assert len({(href, language) for href, _, language, _ in links}) == len(links), "a term is linked twice"
        for href, said, language, inside in links:
            page_name, _, name = href.partition("#")
            assert page_name == "glossary.html"
            assert said.casefold() in all_forms(anchors[name], language), (notebook.stem, href, said)
            assert not inside, (notebook.stem, href)
            assert bool(HAN.search(said)) <= (language == "zh")
            reached[language].add(name)
        for language in ("en", "zh"):
            assert not used_before(texts[language], int(notebook.stem[:2]), language), (notebook.stem, language)
    linked = {anchor(term) for term in TERMS if term["en"] not in first_use.OF_THE_BOOK}
    assert linked - reached["en"] == set(), "no chapter's English uses these terms: drop them, or say how they are said"
    assert linked - reached["zh"] == set(), "no chapter's Chinese uses these terms: drop them, or say how they are said"


def used_before(text, chapter, language):
    """The terms whose first use in a text is no link, which is marked ⟦so⟧."""
    terms = first_use.linked_in(chapter, TERMS)
    names = tuple(name for term in terms for name in first_use.names(term, language))
    entry_of, first = places(terms, language), {}
    for found in first_use.pattern(names, language).finditer(text):
        first.setdefault(entry_of[found[0].casefold()], found)
    return {
        entry: text[max(0, found.start() - 40) : found.end() + 20]
        for entry, found in first.items()
        if text[found.start() - 1 : found.start()] != "⟦"
    }


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_name_belongs_to_two_entries(language):
    count = Counter(form for term in TERMS for form in all_forms(term, language))
    assert [form for form, times in count.items() if times > 1] == []


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
        ("en", ("query", "key"), "Queries, querying, keys", ["Queries", "keys"]),
        ("en", ("long-range dependency",), "a long-range dependency, dependencies", ["long-range dependency"]),
        ("en", ("patch", "loss", "mask"), "patches, losses, masked", ["patches", "losses"]),
        ("en", ("mask", "causal mask"), "Causal masks are masks", ["Causal masks", "masks"]),
        ("zh", ("值", "均值"), "均值，数值，值得，每个值，值。", ["均值", "值", "值"]),
        ("zh", ("头", "多头注意力"), "开头的头，多头注意力，里头", ["头", "多头注意力"]),
        ("zh", ("Transformer",), "一个 Transformer，Transformers", ["Transformer"]),
        ("zh", ("用户-物品互动",), "这是用户-物品互动。", ["用户-物品互动"]),
    ],
)
def test_words_are_told_from_their_parts(language, names, text, found):
    assert first_use.pattern(names, language).findall(text) == found


def test_another_name_and_a_plural_lead_to_the_entry_once():
    terms = [
        {"en": "attention rollout", "also_en": ["rollout"]},
        {"en": "patch (of an image)"},
        {"en": "mask"},
        {"en": "causal mask"},
        {"en": "window", "not_in": [7]},
    ]
    said = "Rollout of patches: attention rollout, a patch, a causal mask, another causal mask, a window."
    for chapter, ends in ((7, ["causal mask"]), (14, ["causal mask", "window"])):
        here = first_use.linked_in(chapter, terms)
        names = tuple(name for term in here for name in first_use.names(term, "en"))
        paragraph, linked = nodes.paragraph("", said), set()
        first_use.LinkFirstUse._link(paragraph[0], first_use.pattern(names, "en"), places(here, "en"), linked)
        links = list(paragraph.findall(nodes.reference))
        assert paragraph.astext() == said
        assert [link.astext() for link in links] == ["Rollout", "patches", *ends]
        assert [link["refuri"] for link in links][:2] == [
            "glossary.html#term-attention-rollout",
            "glossary.html#term-patch-of-an-image",
        ]
        assert "term-mask" not in linked, "a causal mask is no use of the word mask"


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
