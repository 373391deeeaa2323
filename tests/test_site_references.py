"""The page of references holds what the chapters hold, and each work can be found by a DOI or an arXiv id."""

import json
import re

import notebook_rules
import pytest
from site_browser import ROOT

from _ext import references

PAGE = "chapters/references.html"
ADDRESS = re.compile(r"https?://(?:arxiv\.org/abs|doi\.org)/[\w./;:%-]*\w")
# Works that have neither a DOI nor an arXiv id, where publisher or authors keep them; the page names each.
ELSEWHERE = re.compile(
    r"https://(?:www\.jstor\.org/stable|transformer-circuits\.pub|cdn\.openai\.com|kellerjordan\.github\.io/posts)/"
)


def linked(notebook):
    """Every DOI and arXiv link of a notebook: prose, code and the texts of its verdicts."""
    sources = [re.sub(r'"\s*\n\s*"', "", notebook_rules.source(cell)) for cell in notebook["cells"]]
    return {references.key(address) for source in sources for address in ADDRESS.findall(source)}


def test_the_page_and_the_chapters_name_the_same_works(visit, notebooks):
    by_chapter = {path: linked(json.loads(path.read_text(encoding="utf-8"))) for path in notebooks}
    with visit(f"{PAGE}?lang=both") as page:
        entries = page.locator(".work").evaluate_all(
            """all => all.map(entry => ["en", "zh"].map(language => {
              const half = entry.querySelector(`.half[lang=${language}]`);
              return {works: [...half.querySelectorAll(":scope > p a")].map(link => link.href), said: half.textContent,
                chapters: [...half.querySelectorAll("li a")].map(link => link.getAttribute("href"))};
            }))"""
        )
    shown = [references.key(one) for english, _ in entries for one in english["works"]]
    assert len(shown) == len(set(shown)) == len(entries)
    assert {one for one in shown if ADDRESS.match(one)} == set().union(*by_chapter.values())
    assert not [one for one in shown if not ADDRESS.fullmatch(one) and not ELSEWHERE.match(one)]
    for (english, chinese), address in zip(entries, shown, strict=True):
        assert english["works"] == chinese["works"]
        assert english["chapters"] == chinese["chapters"]
        users = [f"{path.stem}.html" for path, works in by_chapter.items() if address in works]
        if ADDRESS.match(address):
            assert english["chapters"] == users, address
        assert "](" not in english["said"] + chinese["said"]


def test_every_reference_has_authors_and_a_year_in_both_languages(notebooks):
    works = references.collect({int(path.name[:2]): path for path in notebooks})
    listed = [one for mentions in works.values() for one in mentions if one.note["en"]]
    assert len(listed) > 40
    for one in listed:
        assert re.match(r"[^()]+ \(\d{4}\)\. .+\.?$", one.citation["en"]), one
        assert re.match(r"[^（）]+（\d{4}）：.+", one.citation["zh"]), one
        assert re.search(r"\d{4}", one.citation["en"])[0] == re.search(r"\d{4}", one.citation["zh"])[0]


def test_with_all_chapters_no_work_stands_there_by_the_words_of_a_link_alone():
    """What one chapter links to in passing, a chapter that is about it has in its list, with title and year."""
    chapters = {int(path.name[:2]): path for path in sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))}
    works = references.collect(chapters)
    bare = [address for address, said in works.items() if not re.search(r"\d{4}", references.best(said).citation["en"])]
    due = {"https://arxiv.org/abs/1910.10683": 13, "https://arxiv.org/abs/1706.06978": 9}  # named in chapter 01
    assert [address for address in bare if due.get(address) in {None, *chapters}] == []


def test_the_page_names_the_works_that_have_neither_a_doi_nor_an_arxiv_id():
    chapters = {int(path.name[:2]): path for path in sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))}
    works = {key: references.best(said).citation["en"] for key, said in references.collect(chapters).items()}
    without = [re.match(r"(\w+).*?\((\d{4})\)", said).groups() for key, said in works.items() if ELSEWHERE.match(key)]
    text = (ROOT / "chapters" / "references.md").read_text(encoding="utf-8")
    english, chinese = text.split('<div lang="zh">')
    assert sorted(re.findall(r"(\w+)(?: et al\.)? \((\d{4})\)", english)) == sorted(without)
    assert sorted(re.findall(r"(\w+)(?: et al\.)?（(\d{4})）", chinese)) == sorted(without)
    assert ("Five" in english, "五篇" in chinese, len(without)) == (True, True, 5)


def test_lists_that_differ_between_the_languages_are_refused(tmp_path):
    half = '<div lang="{}">\n\n{}\n\n</div>\n'
    one, two = (f"- A (2020). B. [x](https://doi.org/1{number}). C." for number in (1, 2))
    cell = "## References · 参考文献\n\n" + half.format("en", one) + half.format("zh", two)
    path = tmp_path / "01_x.ipynb"
    path.write_text(json.dumps({"cells": [{"source": cell}]}))
    with pytest.raises(ValueError, match="chapter 1: the two lists of references differ"):
        references.collect({1: path})
