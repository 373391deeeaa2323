"""Where a chapter first uses a term of the glossary, in each language, the term leads to its entry.

Only running text counts: no heading, code, formula, link or measured number. A longer term goes before a shorter one
that it contains, and a Chinese term of one character, which may be a part of another word, only between characters
that end or begin a word.
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


@cache
def pattern(names: tuple[str, ...], language: str) -> re.Pattern:
    """Return what finds any of some terms in a text, the longest first.

    Example:
        >>> pattern(("key", "attention weight"), "en").findall("Keys, keyboards, Attention weights")
        ['Keys', 'Attention weights']
        >>> pattern(("键", "注意力", "自注意力"), "zh").findall("关键是自注意力的键")
        ['自注意力', '键']
    """
    ordered = sorted(names, key=len, reverse=True)
    if language == "en":
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, ordered))})s?(?![\w-])", re.I)
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
        if not CHAPTER.fullmatch(self.env.docname) or glossary not in self.env.found_docs:
            return
        source = Path(self.env.srcdir, folder, f"{GLOSSARY}.toml")
        self.env.note_dependency(str(source))
        terms = [term for term in load_terms(source) if term["en"] not in OF_THE_BOOK]
        for language in ("en", "zh"):
            places = {COMMENT.sub("", term[language]).strip().casefold(): anchor(term) for term in terms}
            halves = [half for half in self.document.findall(nodes.container) if _is_half(half, language)]
            for text in [text for half in halves for text in half.findall(nodes.Text)]:
                if places and _is_running(text):
                    self._link(text, places, language)

    @staticmethod
    def _link(text: nodes.Text, places: dict[str, str], language: str) -> None:
        """Replace the terms in one text that still have no link; those found leave `places`."""
        pieces, done = [], 0
        everything = pattern(tuple(places), language)
        for found in everything.finditer(text):
            said = found[0].casefold()
            name = said if said in places else said.removesuffix("s")
            if name in places:
                link = nodes.reference(found[0], found[0], internal=True, refuri=f"{GLOSSARY}.html#{places.pop(name)}")
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
