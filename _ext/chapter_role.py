"""The role `{chapter}` with a number in it: a link with the chapter's title, or a note that it is not written yet."""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxRole

from _ext.bilingual import split_title
from _ext.book_pages import written

TITLE = re.compile(r"^# (.+?) *$", re.M)


class ChapterName(nodes.Inline, nodes.TextElement):
    """A place where a chapter is named; `number` says which."""


class Chapter(SphinxRole):
    """Leave a place; its language is known once the halves are."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the place."""
        return [ChapterName(number=int(self.text))], []


class NameChapters(SphinxTransform):
    """Fill the places in the language of the half in which they stand."""

    default_priority = 515  # after the halves, before spaces beside Chinese punctuation are looked at

    def apply(self) -> None:
        """Run on one page."""
        places = list(self.document.findall(ChapterName))
        chapters = written(self.env, Path(self.env.doc2path(self.env.docname)).parent) if places else {}
        for place in places:
            place.parent.replace(place, _named(place["number"], chapters, _language(place)))


def _language(node: nodes.Node) -> str:
    while node is not None and not {"language-en", "language-zh"} & set(node.get("classes", [])):
        node = node.parent
    return "zh" if node is not None and "language-zh" in node["classes"] else "en"


def _named(number: int, chapters: dict[int, Path], language: str) -> nodes.Node:
    if number not in chapters:
        waiting = f"{number:02d}（还没有写）" if language == "zh" else f"{number:02d} (not written yet)"
        return nodes.inline("", waiting, classes=["unwritten"])
    path = chapters[number]
    title = title_of(json.loads(path.read_text(encoding="utf-8")))
    halves = split_title(title) or (title, title)
    name = halves[language == "zh"]
    return nodes.reference("", name, refuri=f"{path.stem}.html", internal=True)


def title_of(notebook: dict) -> str:
    r"""Return the title of a notebook, in both languages.

    Example:
        >>> title_of({"cells": [{"cell_type": "markdown", "source": ["# 01 A · 甲\n", "text"]}]})
        '01 A · 甲'
    """
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return TITLE.search(text)[1]


def setup(app) -> None:
    """Register the role."""
    app.add_node(ChapterName)
    app.add_role("chapter", Chapter())
    app.add_transform(NameChapters)
