"""The `{reference-list}` directive: what the chapters refer to, collected from their own lists of references.

An item of such a list reads `Authors (year). Title. [arXiv:…](address). What to read it for.`, the Chinese half beside
it the same with Chinese punctuation. A work is known by its address; what another chapter says of it stands below it.
A work that a chapter links to in its text alone is listed by the words of that link.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from _ext.bilingual import BilingualPair
from _ext.book_pages import written
from _ext.pairs import FENCED, pairs

HEADING = re.compile(r"^## References\b", re.M)
LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)")
WORK = re.compile(r"https?://(?:arxiv\.org|doi\.org)/")
BETWEEN = re.compile(r"^[\s,;.，；。]*(?:and\s+)?")
LANGUAGES = ("en", "zh")


class Mention(NamedTuple):
    """What one chapter says of a work: its citation, the words of the link and a note, each by language."""

    chapter: int
    page: str
    citation: dict[str, str]
    label: dict[str, str]
    note: dict[str, str]


def key(address: str) -> str:
    """Return by what a work is known: its address without the version.

    Example:
        >>> key("https://arxiv.org/abs/1906.08237v1")
        'https://arxiv.org/abs/1906.08237'
    """
    return re.sub(r"(arxiv\.org/abs/[\d.]+)v\d+$", r"\1", address)


def split_item(item: str) -> list[tuple[str, str, str, str]]:
    """Split an item into its works: citation, words of the link, address, and the note behind the last.

    Example:
        >>> split_item("Lee (2020). One. [a:1](https://a.org/1), and Li (2021). Two. [b:2](https://b.org/2). Good.")[1]
        ('Li (2021). Two.', 'b:2', 'https://b.org/2', 'Good.')
    """
    links = list(LINK.finditer(item))
    note = BETWEEN.sub("", item[links[-1].end() :]) if links else ""
    starts = [0, *(link.end() for link in links[:-1])]
    return [
        (BETWEEN.sub("", item[start : link.start()]).strip(), link[1], link[2], note.strip())
        for start, link in zip(starts, links, strict=True)
    ]


def collect(chapters: dict[int, Path]) -> dict[str, list[Mention]]:
    """Return every work with what the chapters say of it, in the order of authors.

    Raises:
        ValueError: when the halves of a chapter's list do not name the same works in the same order.
    """
    works: dict[str, list[Mention]] = {}
    for number, path in chapters.items():
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        page = path.name
        for address, mention in _listed(cells, number, page):
            works.setdefault(key(address), []).append(mention)
        for address, mention in _in_text(cells, number, page):
            if not any(one.chapter == number for one in works.get(key(address), [])):
                works.setdefault(key(address), []).append(mention)
    return dict(sorted(works.items(), key=lambda work: best(work[1]).citation["en"].casefold()))


def _listed(cells: list[str], number: int, page: str):
    for english, chinese in (pair for cell in cells if HEADING.search(cell) for pair in pairs(cell)):
        halves = [
            [work for line in half.splitlines() if line.startswith("- ") for work in split_item(line[2:])]
            for half in (english, chinese)
        ]
        if [work[2] for work in halves[0]] != [work[2] for work in halves[1]]:
            raise ValueError(f"chapter {number}: the two lists of references differ")
        for both in zip(*halves, strict=True):
            fields = [dict(zip(LANGUAGES, texts, strict=True)) for texts in zip(*both, strict=True)]
            yield fields[2]["en"], Mention(number, page, fields[0], fields[1], fields[3])


def _in_text(cells: list[str], number: int, page: str):
    """Works that are linked outside the list: in prose, and in the texts of verdicts, whose lines are joined."""
    for cell in cells:
        links: dict[str, list[str]] = {}
        text = re.sub(r'"\s*\n\s*"', "", FENCED.sub("", cell))
        for words, address in LINK.findall(text if not HEADING.search(cell) else ""):
            if WORK.match(address):
                links.setdefault(address, []).append(words)
        for address, words in links.items():
            said = {"en": words[0], "zh": words[-1]}
            yield (
                address,
                Mention(number, page, said, dict.fromkeys(LANGUAGES, _name(address)), dict.fromkeys(LANGUAGES, "")),
            )


def _name(address: str) -> str:
    return address.replace("https://arxiv.org/abs/", "arXiv:").replace("https://doi.org/", "doi:")


def best(mentions: list[Mention]) -> Mention:
    """Return the mention with the fullest citation."""
    return max(mentions, key=lambda mention: len(mention.citation["en"]))


class References(SphinxDirective):
    """Print every work once, and below it what each chapter says of it."""

    def run(self) -> list[nodes.Node]:
        """Build the list and note the notebooks, so that a change rebuilds the page."""
        chapters = written(self.env, Path(self.env.doc2path(self.env.docname)).parent)
        for path in chapters.values():
            self.env.note_dependency(str(path))
        return [self._entry(address, mentions) for address, mentions in collect(chapters).items()]

    def _entry(self, address: str, mentions: list[Mention]) -> nodes.container:
        entry = nodes.container(classes=["work"])
        entry += BilingualPair("", *(self._half(language, address, mentions) for language in LANGUAGES), rows=2)
        return entry

    def _half(self, language: str, address: str, mentions: list[Mention]) -> nodes.container:
        half = nodes.container(classes=["half", f"language-{language}"])
        full = best(mentions)
        space, end = ("", "。") if full.citation[language].endswith("，") else (" ", "")
        text = [f"{full.citation[language]}{space}[{full.label[language]}]({address}){end}", ""]
        named, colon, stop = ("第 {:02d} 章", "：", "。") if language == "zh" else ("Chapter {:02d}", ": ", ".")
        for one in mentions:
            note = colon + one.note[language] if one.note[language] else stop
            text.append(f"- [{named.format(one.chapter)}]({one.page}){note}")
        self.state.nested_parse(StringList(text, "references"), self.content_offset, half)
        return half


def setup(app) -> None:
    """Register the directive."""
    app.add_directive("reference-list", References)
