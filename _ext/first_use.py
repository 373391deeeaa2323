"""Where a chapter first uses a term of the glossary, in each language, the term leads to its entry.

Only running text counts: no heading, code, formula, link or measured number. A term is used where any of its names
stands (`also_en` and `also_zh` of the glossary beside the name of the entry), in English in the plural, too, except in
chapters where the word means something else (`not_in`). A longer name goes before a shorter one that it contains,
everywhere: a causal mask is no use of "mask". A Chinese name of one character, which may be a part of another word,
counts only between characters that end or begin a word.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

from _ext.bilingual import HAN
from _ext.book_pages import CHAPTER
from _ext.glossary import anchor, load_terms

GLOSSARY = "glossary"
NOT_HERE = (nodes.title, nodes.literal, nodes.reference, nodes.math, nodes.math_block, nodes.literal_block, nodes.raw)
BEFORE = "的个和与或把对给在每这那各一是该此从到由有向比让"  # words that stand before a noun of one character
AFTER = "的和与或都是在也就只不被上里会来可要"
OF_THE_BOOK = {
    "claim",
    "evidence",
    "verdict",
    "supported",
    "qualified",
    "not supported",
    "exercise",
    "hint",
    "solution",
}
COMMENT = re.compile(r"[（(].*?[）)]")  # REINFORCE in brackets: the name is said without it, too


def names(term: dict, language: str) -> list[str]:
    """Return the names of an entry of the glossary as they are looked for: without brackets, in small letters.

    Example:
        >>> names({"en": "policy gradient (REINFORCE)", "also_en": ["score function"]}, "en")
        ['policy gradient', 'score function']
    """
    every = (term[language], *term.get(f"also_{language}", ()))
    return [COMMENT.sub("", name).strip().casefold() for name in every]


def forms(name: str, language: str) -> tuple[str, ...]:
    """Return a name and, in English, its plural.

    Example:
        >>> [forms(name, "en")[1] for name in ("query", "key", "patch", "loss", "mask")]
        ['queries', 'keys', 'patches', 'losses', 'masks']
    """
    if language != "en":
        return (name,)
    if re.search("[^aeiou]y$", name):
        return name, f"{name[:-1]}ies"
    return name, name + ("es" if re.search("(?:ch|sh|s|x)$", name) else "s")


def linked_in(chapter: int, terms: list[dict]) -> list[dict]:
    """Return the terms whose names a chapter uses in their sense, without those of the book itself.

    Example:
        >>> terms = [{"en": "head"}, {"en": "window", "not_in": [7, 8]}, {"en": "claim"}]
        >>> [[term["en"] for term in linked_in(chapter, terms)] for chapter in (7, 14)]
        [['head'], ['head', 'window']]
    """
    return [term for term in terms if term["en"] not in OF_THE_BOOK and chapter not in term.get("not_in", ())]


@cache
def pattern(looked_for: tuple[str, ...], language: str) -> re.Pattern:
    """Return what finds any form of some names in a text, the longest first.

    Example:
        >>> pattern(("query", "attention weight"), "en").findall("Queries, queried, Attention weights")
        ['Queries', 'Attention weights']
        >>> pattern(("键", "注意力", "自注意力"), "zh").findall("关键是自注意力的键")
        ['自注意力', '键']
    """
    ordered = sorted((form for name in looked_for for form in forms(name, language)), key=len, reverse=True)
    if language == "en":
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, ordered))})(?![\w-])", re.I)
    return re.compile("|".join(map(_chinese, ordered)), re.I)


def _chinese(name: str) -> str:
    if not re.fullmatch(f"[{HAN}]+", name):
        return rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])"
    if len(name) > 1:
        return re.escape(name)
    begins, ends = f"(?:(?<![{HAN}])|(?<=[{BEFORE}]))", f"(?:(?![{HAN}])|(?=[{AFTER}]))"
    return f"{begins}{name}{ends}"


class LinkFirstUse(SphinxTransform):
    """Make the first use of each term in each language of a chapter a link to the glossary."""

    default_priority = 560

    def apply(self) -> None:
        """Run on one page."""
        folder = self.env.docname.rpartition("/")[0]
        glossary = f"{folder}/{GLOSSARY}".lstrip("/")
        chapter = CHAPTER.fullmatch(self.env.docname)
        if not chapter or glossary not in self.env.found_docs:
            return
        source = Path(self.env.srcdir, folder, f"{GLOSSARY}.toml")
        self.env.note_dependency(str(source))
        terms = linked_in(int(chapter[1]), load_terms(source))
        for language in ("en", "zh"):
            entries = {name: anchor(term) for term in terms for name in names(term, language)}
            places = {form: entry for name, entry in entries.items() for form in forms(name, language)}
            finder, linked = pattern(tuple(entries), language), set()
            halves = [half for half in self.document.findall(nodes.container) if _is_half(half, language)]
            for text in [text for half in halves for text in half.findall(nodes.Text)]:
                if entries and _is_running(text):
                    self._link(text, finder, places, linked)

    @staticmethod
    def _link(text: nodes.Text, finder: re.Pattern, places: dict[str, str], linked: set[str]) -> None:
        """Make links of the names in one text whose entries have none yet; these join `linked`."""
        pieces, done = [], 0
        for found in finder.finditer(text):
            place = places[found[0].casefold()]
            if place not in linked:
                linked.add(place)
                link = nodes.reference(found[0], found[0], internal=True, refuri=f"{GLOSSARY}.html#{place}")
                link["classes"] += ["first-use"]
                pieces += [nodes.Text(text[done : found.start()]), link]
                done = found.end()
        if pieces:
            text.parent.replace(text, [piece for piece in [*pieces, nodes.Text(text[done:])] if piece.astext()])


def _is_half(node: nodes.container, language: str) -> bool:
    """Tell whether this is a half in the language; the titles in a list of references are not running text."""
    section = node.parent
    while section is not None and not isinstance(section, nodes.section):
        section = section.parent
    title = section[0].astext() if section is not None else ""
    return {"half", f"language-{language}"} <= set(node["classes"]) and not title.startswith("References")


def _is_running(text: nodes.Text) -> bool:
    """Tell whether a text is prose: not inside a title, code or link, nor between HTML tags that are written out."""
    parent = text.parent
    while parent is not None and not (isinstance(parent, nodes.container) and "half" in parent["classes"]):
        if isinstance(parent, NOT_HERE):
            return False
        parent = parent.parent
    place = text.parent.index(text)
    before = text.parent[place - 1] if place else None
    return not (isinstance(before, nodes.raw) and not before.astext().startswith("</"))


def setup(app) -> None:
    """Register the transform."""
    app.add_transform(LinkFirstUse)
