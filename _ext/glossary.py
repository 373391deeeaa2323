"""The `{glossary-table}` directive: the terms of glossary.toml in both languages, each with an anchor."""

import tomllib
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from _ext.bilingual import BilingualPair


def load_terms(path: Path) -> list[dict[str, str]]:
    """Return the terms of a glossary file, sorted by their English name."""
    with path.open("rb") as file:
        return sorted(tomllib.load(file)["term"], key=lambda term: term["en"].casefold())


def anchor(term: dict[str, str]) -> str:
    """Return the name under which an entry can be reached.

    Example:
        >>> anchor({"en": "policy gradient (REINFORCE)"})
        'term-policy-gradient-reinforce'
    """
    return f"term-{nodes.make_id(term['en'])}"


class Glossary(SphinxDirective):
    """Print every term: its two names, then a sentence in each language."""

    def run(self) -> list[nodes.Node]:
        """Build the list and note the file, so that a change rebuilds the page."""
        relative, absolute = self.env.relfn2path("glossary.toml")
        self.env.note_dependency(relative)
        return [self._entry(term) for term in load_terms(Path(absolute))]

    def _entry(self, term: dict[str, str]) -> nodes.container:
        entry = nodes.container(classes=["term"], ids=[anchor(term)])
        names = [nodes.inline("", term["en"], classes=["language-en", "keep"])]
        if term["zh"] != term["en"]:
            names += [nodes.inline("", " · "), nodes.inline("", term["zh"], classes=["language-zh", "keep"])]
        entry += nodes.paragraph("", "", *names, classes=["name"])
        entry += BilingualPair("", self._half("en", term), self._half("zh", term), rows=1)
        return entry

    def _half(self, language: str, term: dict[str, str]) -> nodes.container:
        half = nodes.container(classes=["half", f"language-{language}"])
        text = StringList([term[f"sentence_{language}"]], "glossary.toml")
        self.state.nested_parse(text, self.content_offset, half)
        return half


def setup(app) -> None:
    """Register the directive."""
    app.add_directive("glossary-table", Glossary)
