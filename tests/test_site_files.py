"""The built files of the site, and the parts of the extension that need no browser."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from site_browser import CONTENTS
from sphinx.errors import ConfigError

from _ext import bilingual, build, mathematics, search_language
from _ext.book import repository_links

ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """The links, the anchors and the tags of one built page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.loads = [], Counter(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        held = dict(attributes)
        self.anchors.update([held["id"]] if "id" in held else [])
        address = held.get("href") or held.get("src") or held.get("action")
        if address:
            self.links.append(address)
            if tag not in ("a", "form"):
                self.loads.append(address)


@pytest.fixture(scope="module")
def built(site):
    """Every page of the site, read."""
    return {path: Page(path) for path in site.rglob("*.html")}


def test_no_link_is_broken(built, site):
    missing = []
    for path, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                missing.append(f"{path.name}: {link}")
            elif parts.fragment and parts.fragment not in built[target].anchors:
                missing.append(f"{path.name}: no anchor {link}")
    assert not missing
    assert len(built) > 5


def test_no_anchor_stands_twice(built):
    twice = {path.name: [name for name, n in page.anchors.items() if n > 1] for path, page in built.items()}
    assert not {path: names for path, names in twice.items() if names}


def test_pages_load_nothing_from_elsewhere(built, site):
    for path, page in built.items():
        assert not [address for address in page.loads if re.match(r"(https?:)?//", address)], path.name
    for style in (*(ROOT / "_static").rglob("*.css"), *(ROOT / "_static").rglob("*.js")):
        assert not re.search(r"(https?:)?//[a-z]+\.[a-z]", style.read_text(encoding="utf-8")), style.name
    assert not [path for path in site.rglob("*") if "mathjax" in path.name.lower()]


def test_every_page_of_the_contents_is_built(site):
    built = [page.relative_to(site).with_suffix("").as_posix() for page in site.glob("chapters/*.html")]
    assert sorted(built) == sorted(CONTENTS)


def test_the_glossary_holds_every_term(site):
    from _ext.glossary import load_terms

    page = Page(site / "chapters" / "glossary.html")
    terms = load_terms(ROOT / "chapters" / "glossary.toml")
    assert len(terms) > 20
    assert sum(name.startswith("term-") for name in page.anchors) == len(terms)


# --- What the build refuses -----------------------------------------------------------------------------------------


def small_book(folder, text):
    """Write a book of one page with our configuration and return its folder."""
    source = folder / "book"
    for part in ("_ext", "_static"):
        shutil.copytree(ROOT / part, source / part)
    shutil.copy(ROOT / "_config.yml", source)
    (source / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (source / "page.md").write_text(f"# Title · 标题\n\n{text}\n", encoding="utf-8")
    return source


def test_the_build_is_strict(tmp_path, capfd):
    """An unreadable formula, a link to nowhere and an open half are refused, each by the name of its page."""
    faults = [r"A formula $\frac{1}$ here.", "See [there](nowhere.md).", '<div lang="en">\n\nOpen for ever.']
    source = small_book(tmp_path, "\n\n".join(faults))
    assert build.build(tmp_path, source=source) != 0
    said = capfd.readouterr().err
    for complaint in (r"page.*\\frac\{1\}", "page.*nowhere", "page.*half is not closed"):
        assert re.search(complaint, said), said
    assert build.build(tmp_path, source=source) != 0, "a second try must not pass over what the first one refused"


def test_repository_links_notes_and_folded_cells(tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_REPOSITORY", "https://github.com/me/book")
    source = small_book(tmp_path, "```{note}\nOne.\n```")
    cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["hide-input"]}, "source": "1", "outputs": []}
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    title = {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "# One · 一"}
    notebook = {"cells": [title, {**cell, "execution_count": 1}], "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    (source / "one.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (source / "_toc.yml").write_text("format: jb-book\nroot: page\nchapters:\n  - file: one\n")
    assert build.build(tmp_path, source=source) == 0
    html = tmp_path / "_build" / "html"
    links = Page(html / "page.html").links
    assert "https://github.com/me/book/edit/main/page.md" in links
    assert "https://github.com/me/book" in links
    assert "https://colab.research.google.com/github/me/book/blob/main/one.ipynb" in Page(html / "one.html").links
    assert f'admonition-title">{bilingual.spans("Note", "说明")}<' in (html / "page.html").read_text(encoding="utf-8")
    assert f"<summary>{bilingual.spans('Code', '代码')}</summary>" in (html / "one.html").read_text(encoding="utf-8")


# --- Parts ----------------------------------------------------------------------------------------------------------


def test_formulas_are_set_for_the_eye_and_for_a_screen_reader():
    html = mathematics.typeset(r"\operatorname{softmax}(QK^\top / \sqrt{d_k})", display=True)
    assert "<math" in html
    assert 'class="katex-html" aria-hidden="true"' in html
    with pytest.raises(mathematics.MathError, match="ParseError"):
        mathematics.typeset(r"\frac{1}", display=False)


@pytest.mark.parametrize(
    ("title", "halves"),
    [
        ("Why divide? · 为什么要除？", ("Why divide?", "为什么要除？")),
        ("A · B · 甲 · 乙", ("A · B · 甲", "乙")),
        ("04 Why · 为什么", ("04 Why", "04 为什么")),
        ("甲 · Transformer", None),
        ("Plain", None),
    ],
)
def test_titles_split_at_the_last_dot_before_chinese(title, halves):
    assert bilingual.split_title(title) == halves


def test_search_cuts_both_languages():
    language = search_language.EnglishAndChinese({})
    assert language.split("自注意 x_1 scores") == ["自", "自注", "注", "注意", "意", "x_1", "scores"]
    assert language.stem("scores") == language.stem("score")


def test_links_to_elsewhere_need_a_repository():
    chapter = "chapters/01_introduction.ipynb"
    assert repository_links("", "main", chapter) == []
    links = {link["en"]: link["url"] for link in repository_links("https://github.com/me/book.git", "trunk", chapter)}
    assert links == {
        "Colab": f"https://colab.research.google.com/github/me/book/blob/trunk/{chapter}",
        "Binder": f"https://mybinder.org/v2/gh/me/book/trunk?urlpath=lab/tree/{chapter}",
        "Edit": f"https://github.com/me/book/edit/trunk/{chapter}",
    }
    assert [link["en"] for link in repository_links("https://github.com/me/book", "main", "chapters/index.md")] == [
        "Edit"
    ]
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        repository_links("me/book", "main", chapter)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no interrupt to one child process")
def test_the_server_ends_cleanly(site):
    command = [sys.executable, "-m", "_ext.serve", str(site)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
        with urllib.request.urlopen(address) as answer:
            assert b"chapters/index.html" in answer.read()
        server.send_signal(signal.SIGINT)
        try:
            _, complaint = server.communicate(timeout=10)
        finally:
            server.kill()  # or leaving the block would wait for ever
    assert server.returncode == 0
    assert complaint == ""
